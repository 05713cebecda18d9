"""The end of every run, however it came about: cancels what still runs, releases the application, tells the truth."""

import json

from emr_pipelines.cost import prices_of_run
from emr_pipelines.domain_event import job_run_ended, pipeline_run_ended
from emr_pipelines.errors import (
    JobFailedError,
    RequestRefusedError,
    ResourceMissingError,
    RunCancelledError,
    RunSkippedError,
    RunTimedOutError,
)
from emr_pipelines.follow_job import cancel_job, settle_job
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.run_gateways import RunGateways
from emr_pipelines.job_state import JobState
from emr_pipelines.release_cluster import release_cluster
from emr_pipelines.run import CANCELLED, FAILED, SKIPPED, SUCCEEDED, TIMED_OUT, Job, Run
from emr_pipelines.run_slot import grant_slots


def clean_up(run: Run, gateways: RunGateways, *, state: str | None, error: str | None, cause: str | None) -> Run:
    """Leave nothing of a run behind and give it its final state; return the run as it then is.

    `run` is what is known of a run that nobody recorded. `state` is set when the execution itself ended
    (CANCELLED, TIMED_OUT); `error` and `cause` are the first error of the outer state machine. Idempotent: a run
    keeps its first final state, and is announced once.
    """
    record = gateways.record
    run = record.create_run(run)
    if not run.ended:
        # First, so that a job that is just being added finds the run ended and is not submitted.
        run = record.end_run(run.run_id, *_verdict(run, record.list_jobs(run.run_id), state, error, cause))
    jobs = record.list_jobs(run.run_id)
    jobs = [job if job.ended else cancel_job(job, run.why_stopping, gateways) for job in jobs]
    for job in jobs:
        if job.ended and not job.settled:  # also one that ended in the hands of a function that was interrupted
            gateways.events.publish(job_run_ended(job, prices_of_run(run)))  # nobody else is left who waits for it
            record.settle_job(job)
    for waited_for in filter(None, (run.application_id, run.cluster.get("StackName"))):
        record.stop_waiting(waited_for, run.run_id)
    if run.lifecycle == "transient" and run.on_cluster:
        release_cluster(run, gateways.clusters, gateways.stacks)
    elif run.lifecycle == "transient" and run.application_id:
        record.mark_released(run.application_id)
        release_application(run.application_id, gateways.emr)
    if run.concurrency:
        gateways.slots.leave_queue(run)
        gateways.slots.give_back(run.pipeline, run.run_id)
        grant_slots(run.pipeline, record, gateways.slots, gateways.step_functions)
    if not run.settled:
        gateways.events.publish(pipeline_run_ended(run, jobs))
        record.settle_run(run)
    if jobs and all(job.ended for job in jobs):  # without jobs, it may be about to be planned: the sweep closes it
        record.close_run(run.run_id)
    return run


def clean_up_jobs(run_id: str, names: list[str], why: str, gateways: JobGateways) -> None:
    """Give an end to jobs whose execution has ended before them: it was stopped, has given up, or did not even start.

    Nobody else would, and the jobs that depend on them would wait for ever. When the run is to end, Clean Up does it.
    """
    run = gateways.record.get_run(run_id)
    if run is None or run.ended or run.is_late:
        return
    execution = gateways.step_functions.describe_execution(run.execution_arn)
    if execution and execution.status != "RUNNING":  # with it, Step Functions has stopped those of the jobs
        return
    for name in names:
        job = gateways.record.get_job(run_id, name)
        if not job.ended:
            job = cancel_job(job, why, gateways)
        if job.ended:
            settle_job(job, gateways)


def release_application(application_id: str, emr: EmrServerless) -> None:
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


def end_of_execution(status: str, error: str | None, cause: str | None) -> tuple[str | None, str | None, str | None]:
    """Return state, error and cause of a run whose execution has ended; no state when its jobs are to decide."""
    match status:
        case "ABORTED":
            return CANCELLED, error or RunCancelledError.__name__, cause or "The execution was stopped."
        case "TIMED_OUT":
            because = cause or "The execution took longer than its state machine allows."
            return TIMED_OUT, error or RunTimedOutError.__name__, because
        case "FAILED":
            return FAILED, error, cause or "The execution failed."
        case _:
            return None, error, cause


def readable_cause(cause: str | None) -> str | None:
    """Return the message of a Lambda error or the cause of a nested execution, both wrapped in JSON; or it as it is."""
    try:
        wrapped = json.loads(cause or "")
        message = wrapped["errorMessage"] if "errorMessage" in wrapped else wrapped["Cause"]
    except (ValueError, KeyError, TypeError):
        return cause
    return str(message)


def _verdict(
    run: Run, jobs: list[Job], state: str | None, error: str | None, cause: str | None
) -> tuple[str, str | None, str | None]:
    """Return state, error and cause of a run: the first error, else the job that failed first."""
    unfinished = [job for job in jobs if not job.ended]
    if run.is_late and (unfinished or error) and state is None:
        return TIMED_OUT, RunTimedOutError.__name__, f"The run was to end by {run.deadline}."
    if error == RunSkippedError.__name__:
        return SKIPPED, error, cause
    if state or error:
        return state or FAILED, error, cause
    # A job that failed explains more than one that was cancelled because of it.
    bad = sorted(
        (job for job in jobs if job.unsuccessful), key=lambda job: (job.state != JobState.FAILED, job.ended_at or "")
    )
    culprit = next(iter(bad + unfinished), None)
    if culprit is None:
        return SUCCEEDED, None, None
    return FAILED, JobFailedError.__name__, f"Job {culprit.name}: {culprit.state_details or culprit.state}"
