"""Asks EMR how a job run really stands, when no event has told for a while."""

from emr_pipelines.errors import JobNotSubmittedError
from emr_pipelines.follow_job import ask_emr, settle_job
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.step_timeout import cancel_overdue_steps
from emr_pipelines.where_jobs_run import where_jobs_run


def check_status(
    run_id: str, name: str, task_token: str, execution_arn: str, *,
    record: RunRecord, emr: EmrServerless, clusters: EmrOnEc2, step_functions: StepFunctions, events: DomainEvents,
) -> None:  # fmt: skip
    """End the job if its job run has ended; otherwise leave the new token for the event that will.

    Raises JobNotSubmittedError when there is no job run: submitting it again is harmless if it is still under way.
    """
    job = record.save_task_token(record.get_job(run_id, name), task_token, execution_arn)
    service = where_jobs_run(job, emr, clusters)
    if job.ended:
        settle_job(job, record=record, emr=service, step_functions=step_functions, events=events)
        return
    if job.job_run_id is None:
        raise JobNotSubmittedError(f"Job {name} has no job run yet.")
    ask_emr(job, record=record, emr=service, step_functions=step_functions, events=events)
    if job.timeout_minutes:
        cancel_overdue_steps([record.get_job(run_id, name)], record=record, emr=service)
