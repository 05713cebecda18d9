"""Steps that have run for longer than their jobs allow are cancelled; EMR itself has no time-out for them."""

from collections.abc import Iterable

from emr_pipelines.clock import now, seconds_between
from emr_pipelines.follow_job import cancel_job
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job

_MINUTE = 60


def cancel_overdue_steps(jobs: Iterable[Job], gateways: JobGateways) -> None:
    """Cancel those that are overdue; the event of their end does the rest."""
    for job in jobs:
        if _is_overdue(job):
            cancel_job(job, f"The step took longer than timeoutMinutes: {job.timeout_minutes}.", gateways)


def _is_overdue(job: Job) -> bool:
    """Tell whether a job has run for too long; the time in which its step waits for others does not count."""
    if job.timeout_minutes is None or job.state != JobState.RUNNING:
        return False
    started_at = next((change["at"] for change in job.states if change["state"] == JobState.RUNNING), None)
    return started_at is not None and seconds_between(started_at, now()) > job.timeout_minutes * _MINUTE
