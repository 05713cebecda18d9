"""How text gets into a mail: plain, 72 columns wide, on one line where there is one, and cut where it has no end."""

import re
import textwrap
from collections.abc import Sequence

from emr_pipelines.clock import duration
from emr_pipelines.cost import cost_of_job, prices_of_run, usd
from emr_pipelines.reason import on_one_line
from emr_pipelines.run import Job, Run

_WIDTH = 72
_SUBJECT_LIMIT = 100  # of SNS; it also wants plain ASCII on one line
_NAME_WIDTH = 34
_MOST_CHARACTERS = 1500
_MOST_LOG_LINES = 15
_LOG_LINE_WIDTH = 120
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What Spark's driver logs of itself: the exception stands among it, and a lot of it comes after that.
_CHATTER = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (INFO|WARN) ")


def subject(text: str) -> str:
    """Return a text as SNS takes it for a subject: ASCII, one line, less than 100 characters."""
    line = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in on_one_line(text))
    return line if len(line) < _SUBJECT_LIMIT else f"{line[: _SUBJECT_LIMIT - 4]}..."


def plain(text: object) -> str:
    """Return a text on one line, without control characters, and cut when it is very long."""
    line = _printable(str(text)).strip()
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]} ..."


def wrapped(text: str, indent: str = "  ", hanging: str = "") -> str:
    """Wrap a text, but never break a URI or a name that somebody wants to copy.

    `hanging` is how much further the second line of something starts than its first.
    """
    return "\n".join(
        textwrap.fill(
            plain(line),
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text[:_MOST_CHARACTERS].splitlines() or [""]
    )


def fact(name: str, value: object) -> str:
    """Return one line of a list of facts, or more when the value is long."""
    return textwrap.fill(
        plain(value) or "-",
        _WIDTH,
        initial_indent=f"{name:<11}",
        subsequent_indent=" " * 11,
        break_long_words=False,
        break_on_hyphens=False,
    )


def log_lines(tail: str) -> str:
    """Return the last lines of a driver's log that are not Spark's own chatter, folded to the width of a mail."""
    lines = [_printable(_COLOURS.sub("", line.expandtabs(2))).rstrip()[:_LOG_LINE_WIDTH] for line in tail.splitlines()]
    told = [line for line in lines if line and not _CHATTER.match(line)]
    return "\n".join(
        textwrap.fill(line, _WIDTH, initial_indent="  | ", subsequent_indent="  |   ", drop_whitespace=False)
        for line in told[-_MOST_LOG_LINES:]
    )


def job_table(run: Run, jobs: Sequence[Job], most: int) -> str:
    """Return a line for each job with its state, duration and cost; of many jobs, the unsuccessful come first."""
    shown = sorted(jobs, key=lambda job: not job.unsuccessful)[:most] if len(jobs) > most else jobs
    prices = prices_of_run(run)
    lines = [
        f"  {_cut(job.name):<{_NAME_WIDTH}} {job.state:<13} {duration(job.duration_seconds):>11} "
        f"{usd(cost_of_job(job, prices)):>8}".rstrip()
        for job in sorted(shown, key=lambda job: job.position)
    ]
    if len(shown) < len(jobs):
        lines.append(f"  ... and {len(jobs) - len(shown)} more")
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..."
