"""The signs that progress, trees and timelines are drawn with; plain ASCII where the output cannot have others."""

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True)
class Glyphs:
    """One set of signs. `bar` has one for each phase of a job: waiting, queued, starting, running."""

    succeeded: str
    failed: str
    active: str
    idle: str
    branch: str
    last_branch: str
    trunk: str
    bar: str
    is_unicode: bool = True

    def mark(self, state: str) -> Text:
        """Return the sign of a run's or a job's state."""
        if state in {"SUCCESS", "SUCCEEDED"}:
            return Text(self.succeeded, style="green")
        if state in {"FAILED", "CANCELLED", "TIMED_OUT"}:
            return Text(self.failed, style="red")
        if state in {"NOT_SUBMITTED", "SKIPPED"}:
            return Text(self.idle, style="dim")
        return Text(self.active, style="cyan")


_UNICODE = Glyphs("✓", "✗", "▶", "·", "├ ", "└ ", "│ ", "·░▒█")
_ASCII = Glyphs("+", "x", ">", ".", "|-", "`-", "| ", ".:-#", is_unicode=False)


def glyphs(console: Console) -> Glyphs:
    """Return the signs that a console can print."""
    return _ASCII if console.options.ascii_only else _UNICODE
