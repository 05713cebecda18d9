"""What EMR says about a job run, whoever heard it: recorded, answered to the state machine, told to the world."""

from emr_pipelines.domain_event import job_run_ended
from emr_pipelines.errors import JobCancelledError, JobFailedError
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_serverless import ObservedJobRun
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job


def follow_job(
    job: Job, observed: ObservedJobRun, *,
    record: RunRecord, step_functions: StepFunctions, events: DomainEvents,
) -> Job:  # fmt: skip
    """Take in one observation of a job's job run, however late, early or often it comes."""
    job = record.record_state(
        job,
        observed.state,
        observed.observed_at,
        state_details=observed.state_details,
        attempts=observed.attempts,
    )
    if job.ended:
        return settle_job(job, record=record, step_functions=step_functions, events=events)
    if job.task_token:
        step_functions.send_heartbeat(job.task_token)
    return job


def settle_job(job: Job, *, record: RunRecord, step_functions: StepFunctions, events: DomainEvents) -> Job:
    """Answer the state machine and publish the end of a job that has ended.

    Interrupted half-way it can be repeated: an answered token is harmless, and the event keeps its id.
    """
    if job.task_token:
        _answer(job, job.task_token, step_functions)
    if not job.settled:
        events.publish(job_run_ended(job))
        record.settle_job(job)
    return job


def _answer(job: Job, task_token: str, step_functions: StepFunctions) -> None:
    if job.succeeded:
        step_functions.send_success(task_token, {"job": job.name, "state": job.state})
        return
    error = JobCancelledError if job.state == JobState.CANCELLED else JobFailedError
    step_functions.send_failure(task_token, error, f"Job {job.name}: {job.state_details or job.state}")
