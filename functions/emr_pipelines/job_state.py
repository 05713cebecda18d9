"""The nine states of an EMR Serverless job run, and what they mean for a run."""

from enum import StrEnum


class JobState(StrEnum):
    """EMR Serverless' job run states; one that EMR adds later stays a plain string and is never an end."""

    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset({JobState.SUCCESS, JobState.FAILED, JobState.CANCELLED})


def is_final(state: str) -> bool:
    """Tell whether a job run in `state` has ended; an unknown state has not."""
    return state in FINAL_STATES
