"""When a job waited, was queued, started and ran, as the states that EMR reported tell it; and that as a bar."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from emr_pipelines.job_state import JobState, is_final
from emr_pipelines.run import Job, Run
from rich.text import Text


class Phase(IntEnum):
    """What a job does; its value is its place in the glyphs of a bar."""

    WAITING = 0  # for its turn, for its upstream jobs, for the application
    QUEUED = 1  # submitted to EMR
    STARTING = 2  # gets its workers
    RUNNING = 3


_PHASES: dict[str, Phase] = {
    JobState.SUBMITTED: Phase.QUEUED,
    JobState.QUEUED: Phase.QUEUED,
    JobState.PENDING: Phase.QUEUED,
    JobState.SCHEDULED: Phase.STARTING,
}
_STYLES = {Phase.WAITING: "dim", Phase.QUEUED: "yellow", Phase.STARTING: "cyan", Phase.RUNNING: "green"}


class Span(NamedTuple):
    """A phase of a job, when it was, and in which attempt."""

    phase: Phase
    start: datetime
    end: datetime
    attempt: int = 1

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.start).total_seconds()


def frame(run: Run) -> tuple[datetime, datetime]:
    """Return the start and the end of a run's timeline; the end is now while it runs."""
    end = datetime.fromisoformat(run.ended_at) if run.ended_at else datetime.now(UTC)
    return datetime.fromisoformat(run.started_at), end


def spans(job: Job, run_started: datetime, until: datetime) -> list[Span]:
    """Return the phases of a job in their order, up to a moment if it has not ended.

    A retried job is queued and runs more than once. A job that another run did, or that was skipped, has none.
    """
    if job.reused_from or job.state == JobState.SKIPPED:
        return []
    end = datetime.fromisoformat(job.ended_at) if job.ended_at else until
    changes = [(Phase.WAITING, run_started)]
    changes += [
        (_PHASES.get(change["state"], Phase.RUNNING), datetime.fromisoformat(change["at"]))
        for change in job.states
        if not is_final(change["state"])
    ]
    ends = [at for _, at in changes[1:]] + [end]
    found: list[Span] = []
    attempt = 1
    for (phase, at), over in zip(changes, ends, strict=True):
        if found and phase < found[-1].phase is Phase.RUNNING:  # EMR has put it back: it tries again
            attempt += 1
        found.append(Span(phase, at, max(at, over), attempt))
    return found


def seconds_by_phase(of: Sequence[Span]) -> dict[Phase, float]:
    """Return how long each phase that there was took in all."""
    totals: dict[Phase, float] = {}
    for span in of:
        totals[span.phase] = totals.get(span.phase, 0.0) + span.seconds
    return totals


def bar(of: Sequence[Span], start: datetime, end: datetime, width: int, signs: str, *, failed: bool) -> Text:
    """Draw phases to scale between `start` and `end`; what was short is there, too."""
    scale = width / max((end - start).total_seconds(), 0.001)
    cells: list[Phase | None] = [None] * width
    for span in of:
        first = min(int((span.start - start).total_seconds() * scale), width - 1)
        last = min(int((span.end - start).total_seconds() * scale), width - 1)
        for cell in range(max(first, 0), max(last, 0) + 1):
            cells[cell] = span.phase
    text = Text()
    for phase in cells:
        if phase is None:
            text.append(" ")
        else:
            text.append(signs[phase], "red" if failed and phase is Phase.RUNNING else _STYLES[phase])
    return text
