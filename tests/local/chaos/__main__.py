"""Many faults, one by one and at random, and a long series of runs: `make chaos`, with SEED=... to reproduce one."""

import argparse
import contextlib
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.measure import resident
from tests.local.chaos.faults import KINDS, TRIALS, of_kind
from tests.local.chaos.invariants import Findings, check, check_all
from tests.local.chaos.scenarios import CLUSTER, STACK, TRANSIENT, Scenario, random_faults, random_scenario
from tests.local.chaos.simulated import attempts
from tests.local.chaos.world import World, world

_AT_A_TIME = 25
_AT_EACH_KIND = 5  # enough for every call to be made
_OFTEN, _SELDOM = 0.3, 0.1  # how much of all calls and events
_WARM = 100  # after so many runs a server has what it needs
_MORE_FILES = 5  # what it may need more in the end
_MIB_OF_A_RUN = 0.2  # what stays of each run: its record, its job runs and the histories of its executions
_OF_A_WORKER = 10  # pipes to it and connections from its clients


@dataclass
class Figures:
    """A line of the table."""

    tried: int = 0
    runs: int = 0
    found: Findings = field(default_factory=Findings)


class Resources(NamedTuple):
    """What a server holds."""

    memory: float
    files: int
    channels: int  # sockets and pipes
    workers: int
    temporary: int

    @classmethod
    def of(cls, made: World) -> "Resources":
        """Look at a server."""
        server = made.stack.aws.server
        process = Path(f"/proc/{server.pid}")
        opened = list(_opened(process))
        files = sum(name.startswith("/") for name in opened)
        workers = [
            child for thread in (process / "task").iterdir() for child in (thread / "children").read_text().split()
        ]
        temporary = list((server.data_dir / "tmp").iterdir())
        return cls(resident(server.pid), files, len(opened) - files, len(workers), len(temporary))

    def __str__(self) -> str:
        return (
            f"{self.memory:.0f} MiB, {self.files} open files, {self.workers} workers with {self.channels} pipes and "
            f"sockets, {self.temporary} temporary entries"
        )


class Chaos:
    """Runs everything and keeps the figures."""

    def __init__(self, seed: int, console: Console) -> None:
        self.figures: dict[str, Figures] = {}
        self._seed = seed
        self._console = console

    def simulate(self) -> None:
        """Let everything happen at every moment of a simulated run."""
        for attempt in attempts():
            with contextlib.redirect_stdout(None):  # the functions' metrics
                found = list(attempt.problems())
            self._note(
                f"simulated, at every moment: {attempt.name}",
                len(found),
                len(found),
                Findings(lies=[*filter(None, found)]),
            )

    def try_events(self, made: World) -> None:
        """Try each fault of events and drivers with a run of its own."""
        for trial in TRIALS:
            made.faults(seed=self._seed, calls=trial.calls, events=trial.events)
            self._end(made, trial.name, [trial.scenario])

    def try_calls(self, made: World) -> None:
        """Try each kind of fault once with each call of each function, while some runs are under way."""
        for kind in KINDS:
            # Otherwise nobody has to ask EMR.
            made.faults(seed=self._seed, calls=of_kind(kind), events=[{"effect": "drop", "probability": 0.2}])
            places = (TRANSIENT, CLUSTER, STACK)
            self._end(made, f"each call, {kind}", [Scenario(where=where) for where in places] * _AT_EACH_KIND)

    def try_at_random(self, made: World, kind: str, runs: int, share: float) -> Iterator[int]:
        """Try runs, some at a time; yield how many there have been after each time."""
        for first in range(0, runs, _AT_A_TIME):
            made.faults(**random_faults(self._seed + first, share))
            numbers = range(first, min(first + _AT_A_TIME, runs))
            self._end(made, kind, [random_scenario(f"{self._seed}/{number}") for number in numbers])
            yield numbers.stop

    def look_at_all(self, made: World) -> None:
        """Look for what all of the runs have left."""
        self._note("all of these runs together", 0, 0, check_all(made, made.started))

    def look_at_resources(self, before: Resources, after: Resources, runs: int) -> None:
        """Look for what the server has kept since it was warm, so many runs ago."""
        has_grown = (
            after.files > before.files + _MORE_FILES
            or after.temporary > before.temporary + _MORE_FILES
            or after.memory > before.memory + _MIB_OF_A_RUN * runs
            or after.channels > _OF_A_WORKER * (after.workers + 1)
        )
        leaked = [f"{before}, then {after}"] * has_grown
        self._note(f"the server: {before} before {runs} runs, {after} in the end", 0, 0, Findings(leaked=leaked))

    def _end(self, made: World, kind: str, scenarios: list[Scenario]) -> None:
        before = made.tried
        started = [made.start(scenario) for scenario in scenarios]
        found = check(made, started)
        made.faults()
        self._note(kind, made.tried - before, len(started), found)

    def _note(self, kind: str, tried: int, runs: int, found: Findings) -> None:
        figures = self.figures.setdefault(kind, Figures())
        figures.tried += tried
        figures.runs += runs
        figures.found += found
        for problem in found.all():
            self._console.print(f"{kind}: {problem}", markup=False, soft_wrap=True)


def main() -> int:
    """Try everything; return 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="the same faults and runs again")
    parser.add_argument("--random", type=int, default=50, help="how many runs with many faults at once")
    parser.add_argument("--soak", type=int, default=300, help="how many runs in a row with faults on 10 %% of calls")
    asked = parser.parse_args()
    console = Console()
    console.print(f"SEED={asked.seed}")
    chaos = Chaos(asked.seed, console)
    chaos.simulate()
    with world() as made:
        chaos.try_events(made)
        chaos.try_calls(made)
        for _ in chaos.try_at_random(made, "anything, on 30 % of calls and events", asked.random, _OFTEN):
            pass
        warm, since = Resources.of(made), asked.soak
        for runs in chaos.try_at_random(made, "anything, on 10 % of calls and events, in a row", asked.soak, _SELDOM):
            console.print(f"after {runs} runs: {Resources.of(made)}")
            if runs == _WARM:
                warm, since = Resources.of(made), asked.soak - runs
        chaos.look_at_all(made)
        chaos.look_at_resources(warm, Resources.of(made), since)
    console.print(_table(chaos.figures, asked.seed))
    console.print(f"{made.redriven} messages came to a dead-letter queue and were sent again from there.")
    return int(any(figures.found for figures in chaos.figures.values()))


def _opened(process: Path) -> Iterator[str]:
    """Yield what a process has open."""
    for path in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed just now
            yield str(path.readlink())


def _table(figures: dict[str, Figures], seed: int) -> Table:
    table = Table(title=f"What make chaos has tried, SEED={seed}", title_justify="left")
    table.add_column("fault")
    for name in ("faults", "runs", *(kind.name for kind in fields(Findings))):
        table.add_column(name, justify="right")
    for kind, row in figures.items():
        found = (len(getattr(row.found, column.name)) for column in fields(Findings))
        table.add_row(kind, *map(str, (row.tried, row.runs, *found)))
    return table


if __name__ == "__main__":
    sys.exit(main())
