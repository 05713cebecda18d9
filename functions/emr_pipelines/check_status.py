"""Asks EMR how a job run really stands, when no event has told for a while."""

from emr_pipelines.clock import now
from emr_pipelines.errors import ResourceMissingError
from emr_pipelines.follow_job import follow_job, settle_job
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.job_state import JobState


def check_status(
    run_id: str, name: str, task_token: str, execution_arn: str, *,
    record: RunRecord, emr: EmrServerless, step_functions: StepFunctions, events: DomainEvents,
) -> None:  # fmt: skip
    """End the job if its job run has ended; otherwise leave the new token for the event that will."""
    job = record.save_task_token(record.get_job(run_id, name), task_token, execution_arn)
    if job.ended:
        settle_job(job, record=record, emr=emr, step_functions=step_functions, events=events)
        return
    if job.application_id is None or job.job_run_id is None:
        raise LookupError(f"Job {name} of run {run_id} was never submitted.")
    try:
        observed = emr.get_job_run(job.application_id, job.job_run_id)
    except ResourceMissingError as error:
        job = record.record_state(job, JobState.FAILED, now(), state_details=f"The job run is gone: {error}")
        settle_job(job, record=record, emr=emr, step_functions=step_functions, events=events)
        return
    follow_job(job, observed, record=record, emr=emr, step_functions=step_functions, events=events)
