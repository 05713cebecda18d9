"""Submits one job of a run, with the task token left where the event that ends it will find it."""

import hashlib

from emr_pipelines.clock import now
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.follow_job import follow_job, settle_job
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job


def add_job_run(
    run_id: str, name: str, task_token: str, execution_arn: str, *,
    record: RunRecord, emr: EmrServerless, step_functions: StepFunctions, events: DomainEvents,
) -> None:  # fmt: skip
    """Submit a job; idempotent, since the client token is derived from run and job.

    A request that EMR refuses is the end of the job, not an error of ours. Raises TransientError when EMR throttles.
    """
    job = record.save_task_token(record.get_job(run_id, name), task_token, execution_arn)
    if job.ended:
        settle_job(job, record=record, step_functions=step_functions, events=events)
        return
    run = record.get_run(run_id)
    if run is None or run.application_id is None:
        raise LookupError(f"Run {run_id} has no application.")
    if run.ended:
        job = record.record_state(job, JobState.CANCELLED, now(), state_details=f"The run had {run.state}.")
        settle_job(job, record=record, step_functions=step_functions, events=events)
        return
    try:
        job_run_id = emr.start_job_run(run.application_id, job.request, _client_token(job))
    except RequestRefusedError as error:
        job = record.record_state(job, JobState.FAILED, now(), state_details=str(error))
        settle_job(job, record=record, step_functions=step_functions, events=events)
        return
    job = record.link_job_run(job, run.application_id, job_run_id)
    # Looking after the link is in place: an event that came before it found nobody, but what it said is seen here.
    observed = emr.get_job_run(run.application_id, job_run_id)
    follow_job(job, observed, record=record, step_functions=step_functions, events=events)


def _client_token(job: Job) -> str:
    return hashlib.sha256(f"{job.run_id}\n{job.name}".encode()).hexdigest()
