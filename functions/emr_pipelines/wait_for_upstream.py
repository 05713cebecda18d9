"""A job waits until the jobs before it have ended; whichever of them is the last one wakes it."""

from emr_pipelines.follow_job import cancel_job, settle_job, wake
from emr_pipelines.gateways.job_gateways import JobGateways


def wait_for_upstream(run_id: str, name: str, task_token: str, execution_arn: str, gateways: JobGateways) -> None:
    """Leave the token for the job that ends last; answer it at once when all have ended already.

    It looks at the jobs themselves, too, so a wake-up that was lost on the way is made good here.
    """
    job = gateways.record.save_upstream_token(gateways.record.get_job(run_id, name), task_token, execution_arn)
    run = gateways.record.get_run(run_id)
    if run and run.is_stopping:
        job = cancel_job(job, run.why_stopping, gateways)
    # Looking after the token is in place: a job that ended before it found nobody to wake.
    ended = {other.name for other in gateways.record.get_jobs(run_id, job.waiting_for) if other.ended}
    if ended:
        job = gateways.record.stop_waiting_for(run_id, name, ended)
    if not job.ended and not job.waiting_for:
        job = wake(job, gateways)
    if job.ended:
        settle_job(job, gateways)
