"""What CloudWatch is told about runs and jobs: the figures in the domain event of each that ends."""

from dataclasses import dataclass
from typing import Literal

from emr_pipelines.domain_event import JOB_ENDINGS, JOB_RUN_RETRIED, RUN_ENDINGS, DomainEvent
from emr_pipelines.job_state import JobState
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT

COUNTS = {
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
Unit = Literal["Count", "None", "Seconds"]
_NEVER_RAN = {RUN_ENDINGS[SKIPPED], JOB_ENDINGS[JobState.SKIPPED]}


@dataclass(frozen=True)
class Measure:
    """One value of a metric."""

    name: str
    unit: Unit
    value: float


def measures(event: DomainEvent) -> list[Measure]:
    """Return what an event adds to the metrics; what is not known is left out, and most events add nothing."""
    ending = COUNTS.get(event.detail_type)
    if ending is None:
        return []
    of_job = "job" in event.detail
    seconds = None if event.detail_type in _NEVER_RAN else event.detail.get("durationSeconds")
    found: list[tuple[str, Unit, float | None]] = [
        (ending, "Count", 1),
        ("JobSeconds" if of_job else "RunSeconds", "Seconds", seconds),
    ]
    if of_job:  # what a run has used is the sum of it, and would be counted twice
        billed = event.detail.get("billed") or {}
        found += [
            ("JobVcpuHours", "None", billed.get("vCpuHours")),
            ("JobMemoryGbHours", "None", billed.get("memoryGbHours")),
            ("JobCostUsd", "None", event.detail.get("costUsd")),
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
