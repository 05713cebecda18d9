"""How work in progress looks: live and in place on a terminal, plain lines in a log.

`Stages` is for the commands' own work (deploying, uploading), `RunProgress` for a run that is followed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from emr_pipelines.clock import duration
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.spinner import Spinner
from rich.status import Status
from rich.table import Table
from rich.text import Text

from emrp.follow import FEW_JOBS, MAP_STATE, Picture, RunFollower
from emrp.glyphs import glyphs
from emrp.history import Step
from emrp.job_table import live_jobs

_REFRESHES_PER_SECOND = 8


class Stages:
    """The stages of a command, each shown while it runs and remembered with the time that it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[Status | None]:
        """Show `title` while the block runs; the block may update the status, if it is shown."""
        started = time.monotonic()
        if not self.console.is_interactive:
            self.console.print(f"{title} ...", markup=False)
        with self.console.status(escape(title)) if self.console.is_interactive else nullcontext() as status:
            yield status
        self.seconds[title] = time.monotonic() - started
        done = glyphs(self.console).succeeded
        self.console.print(f"[green]{done}[/green] {escape(title)}  [dim]{duration(self.seconds[title])}[/dim]")

    @contextmanager
    def quiet_stage(self, title: str) -> Iterator[None]:
        """Remember how long the block takes; it shows its progress itself."""
        started = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - started

    def summary(self) -> Table:
        """Return a table of all stages and their times."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column(justify="right")
        for title, seconds in self.seconds.items():
            table.add_row(title, duration(seconds))
        table.add_row("Total", duration(sum(self.seconds.values())), style="bold")
        return table


class RunProgress:
    """Shows one run while it is followed; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: set[tuple[str, ...]] = set()
        self._live = Live(console=console, refresh_per_second=_REFRESHES_PER_SECOND) if console.is_interactive else None
        self._glyphs = glyphs(console)
        self._spinner = Spinner("dots" if self._glyphs.is_unicode else "line")
        self._picture: Picture | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, picture: Picture) -> None:
        """Show the run as it now is."""
        if self._live:
            self._picture = picture
            self._live.update(self, refresh=True)
        else:
            for path, step in _ended(picture.steps):
                if path not in self._printed:
                    self._printed.add(path)
                    self._console.print(self._line(path, step), markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        """Render anew at every refresh, so that the times of what is running move."""
        picture = self._picture
        if picture is None:
            return Text()
        now = picture.ended_at or datetime.now(UTC)
        parts: list[RenderableType] = [Text(f"Run {picture.run_id}", style="bold")]
        table = _table()
        for step in picture.steps:
            if step.name == MAP_STATE and picture.run and len(picture.jobs) > FEW_JOBS:
                self._add_rows(table, (replace(step, steps=()),), 0, now)
                parts += [
                    table,
                    Padding(live_jobs(self._console, self._console.width - 4, picture.run, picture.jobs), (0, 0, 0, 4)),
                ]
                table = _table()
            else:
                self._add_rows(table, (step,), 0, now)
        return Group(*parts, table)

    def _add_rows(self, table: Table, steps: tuple[Step, ...], depth: int, now: datetime) -> None:
        for step in steps:
            mark = self._mark(step)
            name = Text.assemble("  " * (depth + 1), mark, f" {step.name}")
            if step.detail:
                name.append(f"  {step.detail}", style="red" if step.failed else "dim")
            table.add_row(name, duration(step.seconds(now)))
            self._add_rows(table, step.steps, depth + 1, now)

    def _mark(self, step: Step) -> Text:
        if step.ended_at or step.failed:
            return self._glyphs.mark("FAILED" if step.failed else "SUCCEEDED")
        frame = self._spinner.render(time.monotonic())
        return frame if isinstance(frame, Text) else Text(self._glyphs.active)

    def _line(self, path: tuple[str, ...], step: Step) -> str:
        result = self._glyphs.failed if step.failed else self._glyphs.succeeded
        detail = f"  {step.detail}" if step.detail else ""
        return f"{result} {' > '.join(path[:-1])}  {duration(step.seconds(datetime.now(UTC)))}{detail}"


def _table() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", style="dim")
    return table


def show_run(console: Console, follower: RunFollower, every_seconds: float) -> Picture:
    """Show a run until it has ended, and return its last picture."""
    with RunProgress(console) as progress:
        for picture in follower.follow(every_seconds):
            progress.show(picture)
    return picture


def _ended(steps: tuple[Step, ...], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Step]]:
    """Walk the steps that are over, inner ones first, as they ended."""
    for position, step in enumerate(steps):
        yield from _ended(step.steps, (*above, step.name))
        if step.ended_at:
            # The same state may be entered twice, so its position is part of what tells steps apart.
            yield (*above, step.name, str(position)), step
