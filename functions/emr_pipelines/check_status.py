"""Asks EMR how a job run really stands, when no event has told for a while."""

from emr_pipelines.errors import JobNotSubmittedError
from emr_pipelines.follow_job import ask_emr, settle_job
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.step_timeout import cancel_overdue_steps


def check_status(run_id: str, name: str, task_token: str, execution_arn: str, gateways: JobGateways) -> None:
    """End the job if its job run has ended; otherwise leave the new token for the event that will.

    Raises JobNotSubmittedError when there is no job run: submitting it again is harmless if it is still under way.
    """
    job = gateways.record.save_task_token(gateways.record.get_job(run_id, name), task_token, execution_arn)
    if job.ended:
        settle_job(job, gateways)
        return
    if job.job_run_id is None:
        raise JobNotSubmittedError(f"Job {name} has no job run yet.")
    ask_emr(job, gateways)
    if job.timeout_minutes:
        cancel_overdue_steps([gateways.record.get_job(run_id, name)], gateways)
