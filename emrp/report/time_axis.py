"""The jobs of a run against time, in percent of the run's own: what the page draws as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

from emr_pipelines.clock import duration
from emr_pipelines.run import Job, Run

from emrp.phrases import moment
from emrp.timeline import Phase, Span, frame, seconds_by_phase, spans

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 6
_NARROWEST = 0.4  # what was short is to be seen, too


@dataclass(frozen=True)
class Bar:
    """A phase of an attempt."""

    phase: str
    attempt: int
    start: float
    width: float
    failed: bool
    title: str


@dataclass(frozen=True)
class Row:
    """A job; `seconds` is how long it was with EMR."""

    job: Job
    bars: tuple[Bar, ...]
    attempts: int
    seconds: float | None
    summary: str


@dataclass(frozen=True)
class Tick:
    """A moment after the start of the run."""

    at: float
    label: str


def rows(run: Run, jobs: Sequence[Job]) -> list[Row]:
    """Return a row for each job."""
    return [_row(run, job) for job in jobs]


def ticks(seconds: float) -> list[Tick]:
    """Return round times between the start and the end of a run."""
    step = next((step for step in _STEPS if seconds / step <= _MOST_TICKS), 86400 * (1 + int(seconds // 518_400)))
    return [Tick(100 * at / max(seconds, 1), _label(at)) for at in range(0, int(seconds) + 1, step)]


def _label(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount) or "0"


def _row(run: Run, job: Job) -> Row:
    start, end = frame(run)
    found = spans(job, start, end)
    scale = 100 / max((end - start).total_seconds(), 0.001)
    attempts = max((span.attempt for span in found), default=1)

    def as_bar(span: Span) -> Bar:
        left = min(max((span.start - start).total_seconds() * scale, 0), 100 - _NARROWEST)
        width = min(max(span.seconds * scale, _NARROWEST), 100 - left)
        failed = span.phase is Phase.RUNNING and (job.unsuccessful or span.attempt < attempts)
        phase = span.phase.name.lower()
        which = f"attempt {span.attempt}, " if attempts > 1 else ""
        title = f"{which}{phase} {duration(span.seconds)}: {moment(span.start)} to {moment(span.end)}"
        return Bar(phase, span.attempt, round(left, 2), round(width, 2), failed, title)

    totals = seconds_by_phase(found)
    worked = [seconds for phase, seconds in totals.items() if phase is not Phase.WAITING]
    summary = ", ".join(f"{phase.name.lower()} {duration(seconds)}" for phase, seconds in totals.items())
    return Row(job, tuple(map(as_bar, found)), attempts, sum(worked) if worked else None, summary)
