"""The end of every run, however it came about: cancels what still runs, releases the application, tells the truth."""

from emr_pipelines.domain_event import pipeline_run_ended
from emr_pipelines.errors import JobFailedError, RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import FAILED, SUCCEEDED, Job, Run


def clean_up(
    run: Run, *, state: str | None, error: str | None, cause: str | None,
    record: RunRecord, emr: EmrServerless, events: DomainEvents,
) -> Run:  # fmt: skip
    """Leave nothing of a run behind and give it its final state; return the run as it then is.

    `run` is what is known of a run that nobody recorded. `state` is set when the execution itself ended
    (CANCELLED, TIMED_OUT); `error` and `cause` are the first error of the outer state machine. Idempotent: a run
    keeps its first final state, and is announced once.
    """
    run = record.create_run(run)
    jobs = record.list_jobs(run.run_id)
    if not run.ended:
        # First, so that a job that is just being added finds the run ended and is not submitted.
        run = record.end_run(run.run_id, *_verdict(jobs, state, error, cause))
    for job in jobs:
        _cancel(job, emr)
    if run.application_id:
        record.stop_waiting(run.application_id, run.run_id)
        if run.lifecycle == "transient":
            record.mark_released(run.application_id)
            release_application(run.application_id, emr=emr)
    if not run.settled:
        events.publish(pipeline_run_ended(run))
        record.settle_run(run)
    return run


def release_application(application_id: str, *, emr: EmrServerless) -> None:
    """Take the next step towards the deletion of an application that no run needs; its events bring the others."""
    try:
        state = emr.get_application(application_id).state
        if state in {"CREATED", "STOPPED"}:
            emr.delete_application(application_id)
        elif state == "STARTED":
            emr.stop_application(application_id)
    except ResourceMissingError:
        return
    except RequestRefusedError:
        return  # a job run is still being cancelled: the event of its end comes here again


def _cancel(job: Job, emr: EmrServerless) -> None:
    if job.ended or job.application_id is None or job.job_run_id is None:
        return
    try:
        emr.cancel_job_run(job.application_id, job.job_run_id)
    except RequestRefusedError:
        return  # it has ended by itself, and its event is on the way


def _verdict(
    jobs: list[Job], state: str | None, error: str | None, cause: str | None
) -> tuple[str, str | None, str | None]:
    """Return state, error and cause of a run: the first error, else the first job that did not succeed."""
    if state or error:
        return state or FAILED, error, cause
    failed = next((job for job in jobs if not job.succeeded), None)
    if failed is None:
        return SUCCEEDED, None, None
    return FAILED, JobFailedError.__name__, f"Job {failed.name}: {failed.state_details or failed.state}"
