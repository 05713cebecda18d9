"""Submits one job of a run, with the task token left where the event that ends it will find it."""

import hashlib

from emr_pipelines.clock import now
from emr_pipelines.errors import EmrPipelinesError, TransientError, UpstreamPendingError
from emr_pipelines.follow_job import cancel_job, decide, follow_job, settle_job
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.job_outputs import JobOutputs
from emr_pipelines.job_request import complete_request
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack


def add_job_run(
    run_id: str,
    name: str,
    task_token: str,
    execution_arn: str,
    gateways: JobGateways,
    *,
    outputs: JobOutputs,
    stack: Stack,
) -> None:
    """Submit a job; idempotent, since the client token, or the name of a step, is derived from run and job.

    While other jobs come first, the token is answered with UpstreamPendingError. A request that EMR refuses is the
    end of the job, not an error of ours. Raises TransientError when EMR throttles.
    """
    job = gateways.record.save_task_token(gateways.record.get_job(run_id, name), task_token, execution_arn)
    run = gateways.record.get_run(run_id)
    if run is None:
        raise LookupError(f"There is no run {run_id}.")
    if not job.ended and job.waiting_for and not run.is_stopping:
        cause = f"Job {name} waits for {', '.join(job.waiting_for[:5])}"
        gateways.step_functions.send_failure(task_token, UpstreamPendingError, cause)
        return
    if run.is_stopping:
        job = cancel_job(job, run.why_stopping, gateways)
    elif not job.ended and job.job_run_id is None:
        job = decide(job, gateways.record)
        if not job.ended:
            job = _submit(job, run, gateways, outputs, stack)
    if job.ended:
        settle_job(job, gateways)
    elif job.application_id and job.job_run_id:
        # Looking after the link is in place: an event that came before it found nobody, but what it said is seen here.
        observed = gateways.service_of(job).get_job_run(job.application_id, job.job_run_id)
        follow_job(job, observed, gateways)


def _submit(job: Job, run: Run, gateways: JobGateways, outputs: JobOutputs, stack: Stack) -> Job:
    """Submit a job; return it linked to its job run, or FAILED when it cannot be submitted."""
    if run.application_id is None:
        raise LookupError(f"Run {run.run_id} has no application.")
    try:
        request = complete_request(job, run, record=gateways.record, outputs=outputs, stack=stack)
        service = gateways.service_of(job)
        job_run_id = service.start_job_run(run.application_id, request, _client_token(job), run.started_at)
    except TransientError:
        raise
    except EmrPipelinesError as error:
        return gateways.record.record_state(job, JobState.FAILED, now(), state_details=str(error))
    if job_run_id is None:
        return gateways.record.record_state(job, JobState.SUCCESS, now())
    job = gateways.record.link_job_run(job, run.application_id, job_run_id, run.log_uri)
    # Likewise the end of the run, or of the job: what was cancelled before the link was in place is cancelled here.
    run = gateways.record.get_run(run.run_id) or run
    return cancel_job(job, run.why_stopping, gateways) if run.is_stopping or job.ended else job


def _client_token(job: Job) -> str:
    return hashlib.sha256(f"{job.run_id}\n{job.name}".encode()).hexdigest()
