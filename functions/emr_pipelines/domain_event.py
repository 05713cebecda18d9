"""The events of EMR Pipelines themselves, as other systems, other pipelines and the notifications see them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emr_pipelines.definition import Definition
from emr_pipelines.errors import InvalidPipelineError, InvalidTriggerError
from emr_pipelines.job_state import JobState
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Job, Run

PIPELINE_FILE_REJECTED = "Pipeline File Rejected"
TRIGGER_REJECTED = "Trigger Rejected"
SWEEP_COMPLETED = "Sweep Completed"

_VERSION = "1"
_MAX_PROBLEMS = 100  # an event has room for 256 KB
_MAX_LEFTOVERS = 100
_NAMES_OF_LEFTOVER = ("kind", "run_id", "job", "application_id", "job_run_id", "pipeline")
_MAX_MESSAGE = 2000  # the dead-letter queue has the whole of it
_JOB_ENDINGS = {
    JobState.SUCCESS: "Job Run Succeeded",
    JobState.FAILED: "Job Run Failed",
    JobState.CANCELLED: "Job Run Cancelled",
    JobState.SKIPPED: "Job Run Skipped",
}
_RUN_ENDINGS = {
    SUCCEEDED: "Pipeline Run Succeeded",
    FAILED: "Pipeline Run Failed",
    CANCELLED: "Pipeline Run Cancelled",
    TIMED_OUT: "Pipeline Run Timed Out",
    SKIPPED: "Pipeline Run Skipped",
}


@dataclass(frozen=True)
class DomainEvent:
    """Something that happened to a run, a job or a pipeline.

    `detail["id"]` is derived from what happened, so that a repeated event can be told from a new one.
    """

    detail_type: str
    detail: dict[str, Any]


def job_run_ended(job: Job) -> DomainEvent:
    """Return the event for a job that has ended."""
    detail = {
        "version": _VERSION,
        "id": f"{job.run_id}/{job.name}/{job.state}",
        "pipeline": job.pipeline,
        "run": job.run_id,
        "job": job.name,
        "state": job.state,
        "reason": job.state_details,
        "applicationId": job.application_id,
        "jobRunId": job.job_run_id,
        "attempts": job.attempts,
        "durationSeconds": job.duration_seconds,
        "logUri": job.log_location,
    }
    return DomainEvent(_JOB_ENDINGS[JobState(job.state)], detail)


def pipeline_run_ended(run: Run) -> DomainEvent:
    """Return the event for a run that has ended."""
    detail = {
        "version": _VERSION,
        "id": f"{run.run_id}/{run.state}",
        "pipeline": run.pipeline,
        "run": run.run_id,
        "state": run.state,
        "error": run.error,
        "reason": run.cause,
        # Without the event that started the run: events in events would grow with every pipeline of a chain.
        "trigger": {name: value for name, value in run.trigger.items() if name != "event"},
        "chain": chain_to(run),
        "durationSeconds": run.duration_seconds,
        "output": run.output,
    }
    return DomainEvent(_RUN_ENDINGS[run.state], detail)


def chain_to(run: Run) -> list[str]:
    """Return the pipelines that led to a run by starting each other, and the run's own."""
    chain = run.trigger.get("chain")  # of an execution that somebody started, this may be anything
    return [*(str(pipeline) for pipeline in (chain if isinstance(chain, list) else [])), run.pipeline]


def trigger_rejected(body: str, error: InvalidTriggerError) -> DomainEvent:
    """Return the event for a message of the trigger queue that can never start a run."""
    detail = {
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
    detail = {
        "version": _VERSION,
        "id": f"{hashlib.sha256(chr(10).join(what).encode()).hexdigest()}/SWEPT",
        "pipeline": "",
        "leftovers": [dict(item) for item in removed[:_MAX_LEFTOVERS]],
        "leftoverCount": len(removed),
    }
    return DomainEvent(SWEEP_COMPLETED, detail)


def pipeline_registered(definition: Definition) -> DomainEvent:
    """Return the event for a pipeline file that is live now."""
    return _of_file("Pipeline Registered", definition.name, definition.file, definition.version)


def pipeline_retired(pipeline: str, file: str, file_version: str) -> DomainEvent:
    """Return the event for a pipeline whose file is gone."""
    return _of_file("Pipeline Retired", pipeline, file, file_version)


def pipeline_file_rejected(pipeline: str, file_version: str, error: InvalidPipelineError) -> DomainEvent:
    """Return the event for a pipeline file that cannot be registered; a long list of problems is cut."""
    problems = [
        {"path": problem.path, "line": problem.line, "message": problem.message}
        for problem in error.problems[:_MAX_PROBLEMS]
    ]
    return _of_file(
        PIPELINE_FILE_REJECTED,
        pipeline,
        error.file,
        file_version,
        problems=problems,
        problemCount=len(error.problems),
    )


def _of_file(detail_type: str, pipeline: str, file: str, file_version: str, **more: object) -> DomainEvent:
    what = detail_type.rpartition(" ")[2].upper()
    detail = {
        "version": _VERSION,
        "id": f"{file}/{file_version}/{what}",
        "pipeline": pipeline,
        "file": file,
        "fileVersion": file_version,
        **more,
    }
    return DomainEvent(detail_type, detail)
