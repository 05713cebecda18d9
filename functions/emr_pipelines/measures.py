"""What CloudWatch is told about runs and jobs: the figures in the domain event of each that ends."""

from dataclasses import dataclass
from typing import Literal

from emr_pipelines.domain_event import JOB_ENDINGS, JOB_RUN_RETRIED, RUN_ENDINGS, DomainEvent
from emr_pipelines.job_state import JobState
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT

_ENDINGS = {
    RUN_ENDINGS[SUCCEEDED]: "RunsSucceeded",
    RUN_ENDINGS[FAILED]: "RunsFailed",
    RUN_ENDINGS[CANCELLED]: "RunsCancelled",
    RUN_ENDINGS[TIMED_OUT]: "RunsTimedOut",
    RUN_ENDINGS[SKIPPED]: "RunsSkipped",
    JOB_ENDINGS[JobState.SUCCESS]: "JobsSucceeded",
    JOB_ENDINGS[JobState.FAILED]: "JobsFailed",
    JOB_ENDINGS[JobState.CANCELLED]: "JobsCancelled",
    JOB_ENDINGS[JobState.SKIPPED]: "JobsSkipped",
    JOB_RUN_RETRIED: "JobsRetried",
}
_NEVER_RAN = {RUN_ENDINGS[SKIPPED], JOB_ENDINGS[JobState.SKIPPED]}


@dataclass(frozen=True)
class Measure:
    """One value of a metric."""

    name: str
    unit: Literal["Count", "None", "Seconds"]
    value: float


def measures(event: DomainEvent) -> list[Measure]:
    """Return what an event adds to the metrics; what is not known is left out, and most events add nothing."""
    ending = _ENDINGS.get(event.detail_type)
    if ending is None:
        return []
    detail, billed = event.detail, event.detail.get("billed") or {}
    seconds = None if event.detail_type in _NEVER_RAN else detail.get("durationSeconds")
    found: list[tuple[str, Literal["Count", "None", "Seconds"], float | None]] = [
        (ending, "Count", 1),
        ("JobSeconds" if "job" in detail else "RunSeconds", "Seconds", seconds),
        ("JobVcpuHours", "None", billed.get("vCpuHours")),
        ("JobMemoryGbHours", "None", billed.get("memoryGbHours")),
        ("JobCostUsd", "None", detail.get("costUsd") if "job" in detail else None),
    ]
    return [Measure(name, unit, value) for name, unit, value in found if value is not None]


def dimensions(event: DomainEvent) -> list[dict[str, str]]:
    """Return by what the metrics of an event can be told apart, besides the stack: the pipeline, and then the job.

    The iterations of a loop count as one job: each would be a metric of its own, and be paid as one.
    """
    pipeline = {"pipeline": event.detail["pipeline"] or "unknown"}
    if "job" not in event.detail:
        return [pipeline]
    return [pipeline, {**pipeline, "job": event.detail.get("definition") or event.detail["job"]}]
