"""What EMR says about a job run, whoever heard it: recorded, and told to everybody who waits for the job."""

from emr_pipelines.clock import now
from emr_pipelines.cost import prices_of_run
from emr_pipelines.domain_event import job_run_ended
from emr_pipelines.errors import (
    JobCancelledError,
    JobFailedError,
    JobSkippedError,
    RequestRefusedError,
    ResourceMissingError,
)
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.job_state import JobState, is_final
from emr_pipelines.run import NOT_SUBMITTED, Job
from emr_pipelines.run_if import reason_to_skip

_ERRORS = {JobState.CANCELLED: JobCancelledError, JobState.SKIPPED: JobSkippedError}


def follow_job(job: Job, observed: ObservedJobRun, gateways: JobGateways) -> Job:
    """Take in one observation of a job's job run, however late, early or often it comes."""
    job = _observe(job, observed, gateways)
    if job.ended:
        settle_job(job, gateways)
    elif job.task_token:
        gateways.step_functions.send_heartbeat(job.task_token)
    return job


def ask_emr(job: Job, gateways: JobGateways) -> None:
    """Take in what EMR says now about the job run of a job; one that is gone has failed."""
    if job.application_id is None or job.job_run_id is None:
        raise LookupError(f"Job {job.name} of run {job.run_id} was never submitted.")
    try:
        observed = gateways.service_of(job).get_job_run(job.application_id, job.job_run_id)
    except ResourceMissingError as error:
        job = gateways.record.record_state(job, JobState.FAILED, now(), state_details=f"The job run is gone: {error}")
        settle_job(job, gateways)
        return
    follow_job(job, observed, gateways)


def settle_job(job: Job, gateways: JobGateways) -> None:
    """Tell the dependents, the world and the state machine that a job has ended, and the same of every job skipped so.

    Interrupted half-way it can be repeated. The job itself comes last, and of it the state machine: as long as its
    token is unanswered, its heartbeat leads here again, so none of the others can be forgotten.
    """
    run = gateways.record.get_run(job.run_id)
    prices = prices_of_run(run) if run else None
    for other in reversed(_ended_with(job, gateways)):
        _answer(other, gateways.step_functions)  # first: a repetition finds only those that are not settled
        gateways.events.publish(job_run_ended(other, prices))
        gateways.record.settle_job(other)
    if not job.settled:
        gateways.events.publish(job_run_ended(job, prices))
        gateways.record.settle_job(job)
    _answer(job, gateways.step_functions)


def _ended_with(job: Job, gateways: JobGateways) -> list[Job]:
    """Wake the dependents of a job that has ended; return the unsettled jobs that ended with it, causes first."""
    found, followed = {job.name: job}, [job]
    while followed:
        ended = followed.pop()
        if ended.settled:
            continue
        others = _fail_fast(ended, gateways) if ended.state == JobState.FAILED else []
        others += _wake_dependents(ended, gateways)
        new = {other.name: other for other in others if other.name not in found}
        found |= new
        followed += new.values()
    return list(found.values())[1:]


def decide(job: Job, record: RunRecord) -> Job:
    """Give a job whose upstream jobs have all ended the state SKIPPED, unless it is to run; return it as it is."""
    upstream = {other.name: other.state for other in record.get_jobs(job.run_id, job.upstream)}
    reason = reason_to_skip(job.run_if, upstream)
    return record.record_state(job, JobState.SKIPPED, now(), state_details=reason) if reason else job


def wake(job: Job, gateways: JobGateways) -> Job:
    """Let a job that waits for no other any more go on, unless it is skipped; return it as it is."""
    job = decide(job, gateways.record)
    if job.upstream_token and not job.ended:
        gateways.step_functions.send_success(job.upstream_token, {"job": job.name})
    return job


def cancel_job(job: Job, why: str, gateways: JobGateways) -> Job:
    """Cancel a job; return it as it then is: CANCELLED when it was never submitted.

    A job that was about to be submitted is looked for among EMR's job runs, because nobody may have noted its id; also
    one that was taken for never submitted. `job` is as it was after the run has been marked as stopping.
    """
    record = gateways.record
    service = gateways.service_of(job)
    may_be_submitted = job.task_token and not job.waiting_for and job.state in {NOT_SUBMITTED, JobState.CANCELLED}
    if job.job_run_id is None and may_be_submitted:
        job = _find_job_run(job, gateways)
    if job.application_id is None or job.job_run_id is None:
        return record.record_state(job, JobState.CANCELLED, now(), state_details=why)
    if job.ended and job.state != JobState.CANCELLED:
        return job
    try:
        service.cancel_job_run(job.application_id, job.job_run_id)
    except ResourceMissingError:
        return record.record_state(job, JobState.CANCELLED, now(), state_details=why)  # gone with its application
    except RequestRefusedError:
        # It has ended by itself, and nobody may be left to notice that its event was lost.
        return _observe(job, service.get_job_run(job.application_id, job.job_run_id), gateways)
    return record.record_state(job, JobState.CANCELLING, now(), state_details=why)


def _observe(job: Job, observed: ObservedJobRun, gateways: JobGateways) -> Job:
    has_just_ended = is_final(observed.state) and not job.ended
    history = gateways.service_of(job).list_attempts(observed) if has_just_ended else None
    return gateways.record.record_state(
        job,
        observed.state,
        observed.observed_at,
        application_id=observed.application_id,  # known already, unless linking the job run was interrupted
        job_run_id=observed.job_run_id,
        state_details=observed.state_details,
        attempts=observed.attempts,
        attempt_history=history,
        resources=observed.resources,
    )


def _find_job_run(job: Job, gateways: JobGateways) -> Job:
    run = gateways.record.get_run(job.run_id)
    if run is None or run.application_id is None:
        return job
    job_run_id = gateways.service_of(job).find_job_run(run.application_id, job.request, since=run.started_at)
    if job_run_id is None:
        return job
    return gateways.record.link_job_run(job, run.application_id, job_run_id, run.log_uri)


def _wake_dependents(job: Job, gateways: JobGateways) -> list[Job]:
    """Wake the jobs that waited for this one only; return those that have ended, and nobody was told yet."""
    unsettled = []
    for name in job.dependents:
        dependent = gateways.record.stop_waiting_for(job.run_id, name, {job.name})
        if not dependent.ended and not dependent.waiting_for:
            dependent = wake(dependent, gateways)
        if dependent.ended and not dependent.settled:
            unsettled.append(dependent)
    return unsettled


def _fail_fast(failed: Job, gateways: JobGateways) -> list[Job]:
    """Cancel the other jobs of a run that does not go on after a failure; return those that have ended unsettled."""
    run = gateways.record.get_run(failed.run_id)
    if run is None or not run.fail_fast:
        return []
    why = f"failFast: job {failed.name} failed"
    # First, so that a job that is just being added finds it and is not submitted.
    gateways.record.stop_run(run.run_id, why)
    others = [job for job in gateways.record.list_jobs(run.run_id) if not job.settled]
    others = [job if job.ended else cancel_job(job, why, gateways) for job in others]
    return [job for job in others if job.ended]


def _answer(job: Job, step_functions: StepFunctions) -> None:
    """Answer every task that waits for this job; those of a state that was left long ago do no harm."""
    for token in filter(None, (job.upstream_token, job.task_token)):
        if job.succeeded:
            step_functions.send_success(token, {"job": job.name, "state": job.state})
        else:
            error = _ERRORS.get(JobState(job.state), JobFailedError)
            step_functions.send_failure(token, error, f"Job {job.name}: {job.state_details or job.state}")
