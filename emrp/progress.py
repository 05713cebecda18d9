"""How the commands' own work (deploying, uploading) looks: in place on a terminal, plain lines in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from emr_pipelines.clock import duration
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from emrp.glyphs import glyphs


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
