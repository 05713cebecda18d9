"""The signs and colours of progress, trees and timelines; plain ASCII where the output cannot have other signs."""

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_STYLES = {
    "SUCCESS": "green",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "red",
    "TIMED_OUT": "red",
    "SKIPPED": "dim",
    "NOT_SUBMITTED": "dim",
}


@dataclass(frozen=True)
class Glyphs:
    """One set of signs.

    `bar` has one for each phase of a job: waiting, queued, starting, running; `progress` one for done and one for not.
    """

    succeeded: str
    failed: str
    active: str
    idle: str
    branch: str
    last_branch: str
    trunk: str
    bar: str
    progress: str
    is_unicode: bool = True

    def mark(self, state: str) -> Text:
        """Return the sign of a run's or a job's state."""
        sign = {"green": self.succeeded, "red": self.failed, "dim": self.idle, "cyan": self.active}
        return Text(sign[style_of(state)], style_of(state))


_UNICODE = Glyphs("✓", "✗", "▶", "·", "├ ", "└ ", "│ ", "·░▒█", "━─")
_ASCII = Glyphs("+", "x", ">", ".", "|-", "`-", "| ", ".:-#", "=-", is_unicode=False)


def glyphs(console: Console) -> Glyphs:
    """Return the signs that a console can print."""
    return _ASCII if console.options.ascii_only else _UNICODE


def style_of(state: str) -> str:
    """Return the colour of a run's or a job's state; cyan is what is under way."""
    return _STYLES.get(state, "cyan")


def state_text(state: str) -> Text:
    """Write a state in its colour."""
    return Text(state, style_of(state))
