"""Many faults, one by one and at random, and a long series of runs: `make chaos`, with SEED=... to reproduce one."""

import argparse
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import resident
from tests.local.chaos.faults import DIRECTED, Trial
from tests.local.chaos.invariants import Findings, check, check_all
from tests.local.chaos.scenarios import random_faults, random_scenario
from tests.local.chaos.world import World, world

_AT_A_TIME = 10
_OFTEN, _SELDOM = 0.3, 0.1  # how much of all calls and events


@dataclass
class Figures:
    """A line of the table."""

    runs: int = 0
    tried: int = 0
    found: Findings = field(default_factory=Findings)


class Chaos:
    """Runs everything and keeps the figures."""

    def __init__(self, made: World, seed: int, console: Console) -> None:
        self.figures: dict[str, Figures] = {}
        self._world = made
        self._seed = seed
        self._console = console

    def try_one_by_one(self, chosen: str) -> None:
        """Try each fault whose name contains a text with a run of its own."""
        for trial in DIRECTED:
            if chosen in trial.name:
                self._try(trial)

    def try_at_random(self, kind: str, runs: int, share: float) -> Iterator[int]:
        """Try runs, some at a time; yield how many there have been after each time."""
        for first in range(0, runs, _AT_A_TIME):
            seed = self._seed + first
            before = self._begin()
            self._world.faults(**random_faults(seed, share))
            numbers = range(first, min(first + _AT_A_TIME, runs))
            started = [self._world.start(random_scenario(f"{self._seed}/{number}")) for number in numbers]
            self._end(kind, before, len(started), check(self._world, started))
            yield first + len(started)

    def look_at_all(self) -> None:
        """Look for what all of the runs have left."""
        self._end("all of these runs together", self._begin(), 0, check_all(self._world, self._world.started))

    def _try(self, trial: Trial) -> None:
        before = self._begin()
        self._world.faults(seed=self._seed, calls=trial.calls, events=trial.events)
        run = self._world.start(trial.scenario)
        self._end(trial.kind, before, 1, check(self._world, [run]), trial.name)

    def _begin(self) -> int:
        self._world.faults()
        return self._world.tried

    def _end(self, kind: str, before: int, runs: int, found: Findings, name: str = "") -> None:
        self._world.faults()
        figures = self.figures.setdefault(kind, Figures())
        figures.runs += runs
        figures.tried += self._world.tried - before
        figures.found += found
        for problem in (*found.lost, *found.leaked, *found.lies):
            self._console.print(f"{name or kind}: {problem}", markup=False, soft_wrap=True)


def main() -> int:
    """Try everything; return 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="the same faults and runs again")
    parser.add_argument("--only", default="", help="of the single faults only those whose name contains this")
    parser.add_argument("--random", type=int, default=50, help="how many runs with many faults at once")
    parser.add_argument("--soak", type=int, default=300, help="how many runs in a row with faults on 10 %% of calls")
    asked = parser.parse_args()
    console = Console()
    console.print(f"SEED={asked.seed}")
    with world() as made:
        chaos = Chaos(made, asked.seed, console)
        chaos.try_one_by_one(asked.only)
        for _ in chaos.try_at_random("anything, often", asked.random, _OFTEN):
            pass
        for runs in chaos.try_at_random("anything, 10 % of calls and events, runs in a row", asked.soak, _SELDOM):
            console.print(f"after {runs} runs: {_resources(made)}")
        chaos.look_at_all()
    console.print(_table(chaos.figures, asked.seed))
    return int(any(figures.found for figures in chaos.figures.values()))


def _resources(made: World) -> str:
    server = made.stack.aws.server
    files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    temporary = len(list((server.data_dir / "tmp").iterdir()))
    return f"{resident(server.pid):.0f} MiB, {files} open files, {temporary} temporary entries"


def _table(figures: dict[str, Figures], seed: int) -> Table:
    table = Table(title=f"What make chaos has tried, SEED={seed}", title_justify="left")
    table.add_column("fault")
    for name in ("tried", "runs", "lost", "leaked", "lies"):
        table.add_column(name, justify="right")
    for kind, of_kind in figures.items():
        found = of_kind.found
        row = (of_kind.tried, of_kind.runs, len(found.lost), len(found.leaked), len(found.lies))
        table.add_row(kind, *map(str, row))
    return table


if __name__ == "__main__":
    sys.exit(main())
