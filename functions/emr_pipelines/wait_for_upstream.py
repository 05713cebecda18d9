"""A job waits until the jobs before it have ended; whichever of them is the last one wakes it."""

from emr_pipelines.follow_job import cancel_job, settle_job, wake
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.where_jobs_run import where_jobs_run


def wait_for_upstream(
    run_id: str, name: str, task_token: str, execution_arn: str, *,
    record: RunRecord, emr: EmrServerless, clusters: EmrOnEc2, step_functions: StepFunctions, events: DomainEvents,
) -> None:  # fmt: skip
    """Leave the token for the job that ends last; answer it at once when all have ended already.

    It looks at the jobs themselves, too, so a wake-up that was lost on the way is made good here.
    """
    job = record.save_upstream_token(record.get_job(run_id, name), task_token, execution_arn)
    service = where_jobs_run(job, emr, clusters)
    run = record.get_run(run_id)
    if run and run.is_stopping:
        job = cancel_job(job, run.why_stopping, record=record, emr=service)
    # Looking after the token is in place: a job that ended before it found nobody to wake.
    ended = {other.name for other in record.get_jobs(run_id, job.waiting_for) if other.ended}
    if ended:
        job = record.stop_waiting_for(run_id, name, ended)
    if not job.ended and not job.waiting_for:
        job = wake(job, record=record, step_functions=step_functions)
    if job.ended:
        settle_job(job, record=record, emr=service, step_functions=step_functions, events=events)
