"""A run and its jobs as the JSON documents that scripts get from `show`, `run`, `watch`, `repair` and `cancel`."""

from collections.abc import Sequence
from typing import Any

from emr_pipelines.run import Job, Run

from emrp.timeline import frame, seconds_by_phase, spans


def run_document(run: Run) -> dict[str, Any]:
    """Return all that is recorded of a run but its application's request."""
    return {
        "runId": run.run_id,
        "pipeline": run.pipeline or None,
        "pipelineFile": run.pipeline_file,
        "pipelineVersion": run.pipeline_version,
        "executionArn": run.execution_arn,
        "state": run.state,
        "error": run.error,
        "cause": run.cause,
        "stopping": run.stopping,
        "trigger": run.trigger,
        "parameters": run.parameters,
        "startedAt": run.started_at,
        "endedAt": run.ended_at,
        "durationSeconds": run.duration_seconds,
        "deadline": run.deadline,
        "repairOf": run.repair_of,
        "repairedBy": run.repaired_by,
        "applicationId": run.application_id,
        "lifecycle": run.lifecycle,
        "output": run.output,
    }


def job_documents(run: Run, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return all that is recorded of jobs but their requests."""
    start, end = frame(run)
    return [
        {
            "name": job.name,
            "definition": job.definition or job.name,
            "loop": job.loop,
            "item": job.item,
            "state": job.state,
            "stateDetails": job.state_details,
            "upstream": job.upstream,
            "after": job.after,
            "runIf": job.run_if,
            "waitingFor": job.waiting_for,
            "reusedFrom": job.reused_from,
            "applicationId": job.application_id,
            "jobRunId": job.job_run_id,
            "attempts": job.attempts,
            "attemptHistory": job.attempt_history,
            "states": job.states,
            "seconds": {phase.name.lower(): s for phase, s in seconds_by_phase(spans(job, start, end)).items()},
            "endedAt": job.ended_at,
            "resources": job.resources,
            "logs": job.log_location,
            "outputUri": job.output_uri,
        }
        for job in jobs
    ]
