"""The states of a job: the nine of an EMR Serverless job run, and one of ours."""

from enum import StrEnum


class JobState(StrEnum):
    """EMR Serverless' job run states; one that EMR adds later stays a plain string and is never an end.

    SKIPPED is ours: the job never became a job run.
    """

    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


FINAL_STATES = frozenset({JobState.SUCCESS, JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED})
UNSUCCESSFUL_STATES = frozenset({JobState.FAILED, JobState.CANCELLED})


def is_final(state: str) -> bool:
    """Tell whether a job in `state` has ended; one in an unknown state has not."""
    return state in FINAL_STATES
