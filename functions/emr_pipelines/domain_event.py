"""The events of EMR Pipelines themselves, as other systems, other pipelines and the notifications see them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from emr_pipelines.cost import Prices, billed, cost_of_job, run_cost
from emr_pipelines.definition import Definition
from emr_pipelines.errors import InvalidPipelineError, InvalidTriggerError
from emr_pipelines.event_details import (
    Billed,
    FileProblem,
    JobIds,
    JobRunEnded,
    JobRunRetried,
    Leftover,
    NotificationsCollected,
    PipelineFileChanged,
    PipelineFileRejected,
    PipelineRunEnded,
    PipelineRunOverdue,
    PipelineRunStarted,
    SweepCompleted,
    TriggerRejected,
)
from emr_pipelines.job_state import JobState
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Job, Run

JOB_RUN_RETRIED = "Job Run Retried"
NOTIFICATIONS_COLLECTED = "Notifications Collected"
PIPELINE_FILE_REJECTED = "Pipeline File Rejected"
PIPELINE_REGISTERED = "Pipeline Registered"
PIPELINE_RETIRED = "Pipeline Retired"
PIPELINE_RUN_OVERDUE = "Pipeline Run Overdue"
PIPELINE_RUN_STARTED = "Pipeline Run Started"
SWEEP_COMPLETED = "Sweep Completed"
TRIGGER_REJECTED = "Trigger Rejected"
JOB_ENDINGS = {
    JobState.SUCCESS: "Job Run Succeeded",
    JobState.FAILED: "Job Run Failed",
    JobState.CANCELLED: "Job Run Cancelled",
    JobState.SKIPPED: "Job Run Skipped",
}
RUN_ENDINGS = {
    SUCCEEDED: "Pipeline Run Succeeded",
    FAILED: "Pipeline Run Failed",
    CANCELLED: "Pipeline Run Cancelled",
    TIMED_OUT: "Pipeline Run Timed Out",
    SKIPPED: "Pipeline Run Skipped",
}
# What the details of an event look like, by its detail-type.
DETAILS: dict[str, type] = {
    **dict.fromkeys(JOB_ENDINGS.values(), JobRunEnded),
    JOB_RUN_RETRIED: JobRunRetried,
    PIPELINE_RUN_STARTED: PipelineRunStarted,
    PIPELINE_RUN_OVERDUE: PipelineRunOverdue,
    **dict.fromkeys(RUN_ENDINGS.values(), PipelineRunEnded),
    TRIGGER_REJECTED: TriggerRejected,
    SWEEP_COMPLETED: SweepCompleted,
    NOTIFICATIONS_COLLECTED: NotificationsCollected,
    PIPELINE_REGISTERED: PipelineFileChanged,
    PIPELINE_RETIRED: PipelineFileChanged,
    PIPELINE_FILE_REJECTED: PipelineFileRejected,
}

_VERSION: Literal["1"] = "1"
_MAX_PROBLEMS = 100  # an event has room for 256 KB
_MAX_LEFTOVERS = 100
_NAMES_OF_LEFTOVER = ("kind", "run_id", "job", "application_id", "job_run_id", "pipeline", "stack")
_MAX_MESSAGE = 2000  # the queue for rejected triggers has the whole of it


@dataclass(frozen=True)
class DomainEvent:
    """Something that happened to a run, a job or a pipeline.

    `detail["id"]` is derived from what happened, so that a repeated event can be told from a new one.
    """

    detail_type: str
    detail: Mapping[str, Any]


def job_run_ended(job: Job, prices: Prices | None) -> DomainEvent:
    """Return the event for a job that has ended; `prices` are those of its run."""
    detail: JobRunEnded = {
        "version": _VERSION,
        "id": f"{job.run_id}/{job.name}/{job.state}",
        "pipeline": job.pipeline,
        "run": job.run_id,
        "job": job.name,
        "definition": job.definition or job.name,
        "state": cast(Literal["SUCCESS", "FAILED", "CANCELLED", "SKIPPED"], str(job.state)),
        "reason": job.state_details,
        **_ids(job),
        "attempts": job.attempts,
        "durationSeconds": job.duration_seconds,
        "logUri": job.log_location,
        "billed": _billed(job.resources),
        "costUsd": _rounded(cost_of_job(job, prices)),
    }
    return DomainEvent(JOB_ENDINGS[JobState(job.state)], detail)


def job_run_retried(job: Job, attempt: int, reason: str | None) -> DomainEvent:
    """Return the event for a job of which an attempt has failed and EMR makes another."""
    detail: JobRunRetried = {
        "version": _VERSION,
        "id": f"{job.run_id}/{job.name}/{attempt}/RETRIED",
        "pipeline": job.pipeline,
        "run": job.run_id,
        "job": job.name,
        **_ids(job),
        "attempt": attempt,
        "reason": reason,
    }
    return DomainEvent(JOB_RUN_RETRIED, detail)


def _ids(job: Job) -> JobIds:
    """Return what EMR calls a job, and the application or cluster that it runs on."""
    nothing = None, None
    known = job.application_id, job.job_run_id
    application_id, job_run_id = nothing if job.on_cluster else known
    cluster_id, step_id = known if job.on_cluster else nothing
    return {"applicationId": application_id, "jobRunId": job_run_id, "clusterId": cluster_id, "stepId": step_id}


def pipeline_run_started(run: Run, jobs: int) -> DomainEvent:
    """Return the event for a run that has been planned."""
    detail: PipelineRunStarted = {
        "version": _VERSION,
        "id": f"{run.run_id}/STARTED",
        "pipeline": run.pipeline,
        "run": run.run_id,
        "trigger": _without_event(run.trigger),
        "chain": chain_to(run),
        "startedAt": run.started_at,
        "jobs": jobs,
        "notifyOn": run.notify_on,
    }
    return DomainEvent(PIPELINE_RUN_STARTED, detail)


def pipeline_run_overdue(run: Run, expected_minutes: int) -> DomainEvent:
    """Return the event for a run that takes longer than its pipeline expects."""
    detail: PipelineRunOverdue = {
        "version": _VERSION,
        "id": f"{run.run_id}/OVERDUE",
        "pipeline": run.pipeline,
        "run": run.run_id,
        "startedAt": run.started_at,
        "expectedMinutes": expected_minutes,
    }
    return DomainEvent(PIPELINE_RUN_OVERDUE, detail)


def pipeline_run_ended(run: Run, jobs: Sequence[Job]) -> DomainEvent:
    """Return the event for a run that has ended."""
    detail: PipelineRunEnded = {
        "version": _VERSION,
        "id": f"{run.run_id}/{run.state}",
        "pipeline": run.pipeline,
        "run": run.run_id,
        "state": cast(Literal["SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "SKIPPED"], run.state),
        "error": run.error,
        "reason": run.cause,
        "trigger": _without_event(run.trigger),
        "chain": chain_to(run),
        "durationSeconds": run.duration_seconds,
        "output": run.output,
        "billed": _billed(billed(jobs)),
        "costUsd": _rounded(run_cost(run, jobs).total),
    }
    return DomainEvent(RUN_ENDINGS[run.state], detail)


def chain_to(run: Run) -> list[str]:
    """Return the pipelines that led to a run by starting each other, and the run's own."""
    chain = run.trigger.get("chain")  # of an execution that somebody started, this may be anything
    return [*(str(pipeline) for pipeline in (chain if isinstance(chain, list) else [])), run.pipeline]


def trigger_rejected(body: str, error: InvalidTriggerError) -> DomainEvent:
    """Return the event for a message of the trigger queue that can never start a run."""
    detail: TriggerRejected = {
        "version": _VERSION,
        "id": f"{hashlib.sha256(body.encode()).hexdigest()}/REJECTED",
        "pipeline": error.pipeline[:_MAX_MESSAGE],
        "source": error.source,
        "reason": str(error)[:_MAX_MESSAGE],
        "message": body[:_MAX_MESSAGE],
    }
    return DomainEvent(TRIGGER_REJECTED, detail)


def sweep_completed(removed: Sequence[Mapping[str, str]]) -> DomainEvent:
    """Return the event for a sweep that has found something; a long list is cut.

    A sweep that finds the same again, because it cannot be removed or takes its time, has the same id.
    """
    what = sorted(json.dumps([item.get(name) for name in _NAMES_OF_LEFTOVER]) for item in removed)
    detail: SweepCompleted = {
        "version": _VERSION,
        "id": f"{hashlib.sha256(chr(10).join(what).encode()).hexdigest()}/SWEPT",
        "pipeline": "",
        "leftovers": [cast(Leftover, dict(item)) for item in removed[:_MAX_LEFTOVERS]],
        "leftoverCount": len(removed),
    }
    return DomainEvent(SWEEP_COMPLETED, detail)


def notifications_collected(pipeline: str, state: str, first: str) -> DomainEvent:
    """Return the event for notifications that were held back; `first` is the id of the event of the first of them."""
    detail: NotificationsCollected = {
        "version": _VERSION,
        "id": f"{first}/COLLECTED",
        "pipeline": pipeline,
        "state": state,
    }
    return DomainEvent(NOTIFICATIONS_COLLECTED, detail)


def pipeline_registered(definition: Definition) -> DomainEvent:
    """Return the event for a pipeline file that is live now."""
    return DomainEvent(
        PIPELINE_REGISTERED, _of_file("REGISTERED", definition.name, definition.file, definition.version)
    )


def pipeline_retired(pipeline: str, file: str, file_version: str) -> DomainEvent:
    """Return the event for a pipeline whose file is gone."""
    return DomainEvent(PIPELINE_RETIRED, _of_file("RETIRED", pipeline, file, file_version))


def pipeline_file_rejected(pipeline: str, file_version: str, error: InvalidPipelineError) -> DomainEvent:
    """Return the event for a pipeline file that cannot be registered; a long list of problems is cut."""
    problems: list[FileProblem] = [
        {"path": problem.path, "line": problem.line, "message": problem.message}
        for problem in error.problems[:_MAX_PROBLEMS]
    ]
    detail: PipelineFileRejected = {
        **_of_file("REJECTED", pipeline, error.file, file_version),
        "problems": problems,
        "problemCount": len(error.problems),
    }
    return DomainEvent(PIPELINE_FILE_REJECTED, detail)


def _of_file(what: str, pipeline: str, file: str, file_version: str) -> PipelineFileChanged:
    return {
        "version": _VERSION,
        "id": f"{file}/{file_version}/{what}",
        "pipeline": pipeline,
        "file": file,
        "fileVersion": file_version,
    }


def _without_event(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trigger without the event that it may be: events in events would grow with every pipeline of a chain."""
    return {name: value for name, value in trigger.items() if name != "event"}


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)


def _billed(resources: Mapping[str, float]) -> Billed | None:
    if not resources:
        return None
    return {
        "vCpuHours": resources.get("vCPUHour", 0.0),
        "memoryGbHours": resources.get("memoryGBHour", 0.0),
        "storageGbHours": resources.get("storageGBHour", 0.0),
    }
