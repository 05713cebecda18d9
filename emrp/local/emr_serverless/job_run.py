"""A job run: what was asked for, its attempts and the states they go through.

Knows nothing of HTTP, tasks or drivers; `execution` moves job runs and publishes each move.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.clock import now
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.utilization import Figures

DEFAULT_TIMEOUT_MINUTES = 720
ENDED_WITH_ITS_SERVER = "Job failed because the local EMR Serverless was stopped while the job run was under way."
DEFAULT_FAILED_ATTEMPTS_PER_HOUR = 5
_MAX_DETAILS = 256


class JobRunState(StrEnum):
    """The states of a job run, as the service names them."""

    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


_S = JobRunState
TERMINAL = frozenset({_S.SUCCESS, _S.FAILED, _S.CANCELLED})
_NEXT: dict[JobRunState, frozenset[JobRunState]] = {
    _S.SUBMITTED: frozenset({_S.QUEUED, _S.PENDING, _S.FAILED, _S.CANCELLING}),
    _S.QUEUED: frozenset({_S.PENDING, _S.FAILED, _S.CANCELLING}),
    _S.PENDING: frozenset({_S.SCHEDULED, _S.FAILED, _S.CANCELLING}),
    _S.SCHEDULED: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELLING}),
    _S.RUNNING: frozenset({_S.SUCCESS, _S.FAILED, _S.CANCELLING}),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.FAILED}),
    _S.SUCCESS: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}

_DETAILS = {  # what stateDetails says when there is nothing special to say: it may not be blank
    _S.SUBMITTED: "The job run waits to be scheduled for the application.",
    _S.QUEUED: "The job run waits because the application's concurrent runs are fully occupied.",
    _S.PENDING: "The scheduler is evaluating the job run.",
    _S.SCHEDULED: "Resources are being allocated to execute the job.",
    _S.RUNNING: "The job is running in the application.",
    _S.SUCCESS: "The job run has completed successfully.",
    _S.FAILED: "The job run failed.",
    _S.CANCELLING: "The job run is being cancelled.",
    _S.CANCELLED: "The job run was cancelled.",
}


@dataclass(eq=False)
class Attempt:
    """One try of a job run."""

    number: int = 1
    state: JobRunState = JobRunState.SUBMITTED
    state_details: str = _DETAILS[JobRunState.SUBMITTED]
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    queued: timedelta = timedelta()
    figures: Figures | None = None  # since the attempt runs

    def move_to(self, state: JobRunState, details: str) -> None:
        """Enter a state that may follow the present one."""
        if state not in _NEXT[self.state]:
            raise ValueError(f"A job run cannot go from {self.state} to {state}.")
        moment = now()
        if self.state is JobRunState.QUEUED:
            self.queued += moment - self.updated_at
        if state is JobRunState.RUNNING:
            self.started_at = moment
        if state in TERMINAL:
            self.ended_at = moment
        self.state = state
        self.state_details = details.strip()[:_MAX_DETAILS] or _DETAILS[state]
        self.updated_at = moment


@dataclass(eq=False)
class JobRun:
    """A job run with the members of StartJobRun as its request."""

    id: str
    application: Application
    request: dict[str, Any]
    configuration: dict[str, Any]  # the overrides, merged into the application's own configuration
    release_label: str  # of the application when the job run was submitted
    created_by: str
    created_at: datetime = field(default_factory=now)
    tags: dict[str, str] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=lambda: [Attempt()])

    @property
    def arn(self) -> str:
        """Its name across AWS."""
        return f"{self.application.arn}/jobruns/{self.id}"

    @property
    def role_arn(self) -> str:
        """The role as which it works."""
        arn: str = self.request["executionRoleArn"]
        return arn

    @property
    def latest(self) -> Attempt:
        """The attempt that is running or was the last to run."""
        return self.attempts[-1]

    @property
    def state(self) -> JobRunState:
        """The state of the latest attempt."""
        return self.latest.state

    @property
    def mode(self) -> str:
        """BATCH or STREAMING."""
        mode: str = self.request.get("mode", "BATCH")
        return mode

    @property
    def execution_timeout_minutes(self) -> int:
        """How long the job run may take; 0 for ever."""
        default = 0 if self.mode == "STREAMING" else DEFAULT_TIMEOUT_MINUTES
        return int(self.request.get("executionTimeoutMinutes", default))

    @property
    def may_have_attempts(self) -> bool:
        """Whether the job run has a retry policy, so that its logs are kept by attempt."""
        return self.mode == "STREAMING" or self._retry_policy.get("maxAttempts", 1) > 1

    def may_retry(self) -> bool:
        """Whether the retry policy allows an attempt after the latest, which failed."""
        if self.mode == "STREAMING":
            an_hour_ago = now() - timedelta(hours=1)
            recent = [attempt for attempt in self.attempts if attempt.updated_at > an_hour_ago]
            allowed = self._retry_policy.get("maxFailedAttemptsPerHour", DEFAULT_FAILED_ATTEMPTS_PER_HOUR)
            return len(recent) < allowed
        return self.latest.number < self._retry_policy.get("maxAttempts", 1)

    @property
    def _retry_policy(self) -> dict[str, int]:
        return self.request.get("retryPolicy") or {}

    @property
    def has_ended(self) -> bool:
        """Whether no state follows the present one."""
        return self.state in TERMINAL

    def attempt(self, number: int | None) -> Attempt:
        """Return an attempt by its number, the latest by default, or say that there is none."""
        if number is None:
            return self.latest
        if not 1 <= number <= len(self.attempts):
            raise ApiError("ResourceNotFoundException", f"JobRun {self.id} has no attempt {number}")
        return self.attempts[number - 1]

    def begin_next_attempt(self) -> Attempt:
        """Add an attempt after a failed one; it does not queue again."""
        attempt = Attempt(self.latest.number + 1, JobRunState.PENDING, _DETAILS[JobRunState.PENDING])
        self.attempts.append(attempt)
        return attempt

    def end_with_its_server(self) -> bool:
        """Fail a job run that was under way when the server that ran it ended; False when it had ended before."""
        if self.has_ended:
            return False
        self.latest.move_to(JobRunState.FAILED, ENDED_WITH_ITS_SERVER)
        return True

    def attempt_summary(self, attempt: Attempt) -> dict[str, Any]:
        """Return the members of JobRunAttemptSummary."""
        return {
            **self.summary(attempt),
            "jobCreatedAt": self.created_at,
            "createdAt": attempt.created_at,
        }

    def summary(self, attempt: Attempt | None = None) -> dict[str, Any]:
        """Return the members of JobRunSummary, as they are in an attempt (the latest by default)."""
        attempt = attempt or self.latest
        return {
            "applicationId": self.application.id,
            "id": self.id,
            "name": self.request.get("name"),
            "mode": self.mode,
            "arn": self.arn,
            "createdBy": self.created_by,
            "createdAt": self.created_at,
            "updatedAt": attempt.updated_at,
            "executionRole": self.role_arn,
            "state": attempt.state,
            "stateDetails": attempt.state_details,
            "releaseLabel": self.release_label,
            "type": self.application.engine,
            "attempt": attempt.number,
            "attemptCreatedAt": attempt.created_at,
            "attemptUpdatedAt": attempt.updated_at,
        }

    def description(self, attempt: Attempt) -> dict[str, Any]:
        """Return the members of JobRun, as GetJobRun answers them for an attempt."""
        return {
            **self.summary(attempt),
            "jobRunId": self.id,
            "executionIamPolicy": self.request.get("executionIamPolicy"),
            "configurationOverrides": self.request.get("configurationOverrides"),
            "jobDriver": self.request["jobDriver"],
            "tags": self.tags,
            "networkConfiguration": self.application.configuration.get("networkConfiguration"),
            "executionTimeoutMinutes": self.execution_timeout_minutes,
            "retryPolicy": self.request.get("retryPolicy"),
            "startedAt": attempt.started_at,
            "endedAt": attempt.ended_at,
            "queuedDurationMilliseconds": round(attempt.queued / timedelta(milliseconds=1)),
            "totalExecutionDurationSeconds": self._execution_seconds(),
            **self._resource_figures(),
            "imageConfiguration": self.application.configuration.get("imageConfiguration"),
            "workerTypeSpecifications": self.application.configuration.get("workerTypeSpecifications"),
        }

    def _resource_figures(self) -> dict[str, Any]:
        """Return the figures of all attempts, once there are any."""
        measured = [attempt.figures for attempt in self.attempts if attempt.figures]
        if not measured:
            return {}
        total = sum(measured, Figures())
        return {
            "totalResourceUtilization": total.used.as_members(),
            "billedResourceUtilization": total.billed.as_members(),
        }

    def _execution_seconds(self) -> int | None:
        """Return how long the attempts ran in all, once the job run has ended."""
        if not self.has_ended:
            return None
        ran = (
            attempt.ended_at - attempt.started_at
            for attempt in self.attempts
            if attempt.started_at and attempt.ended_at
        )
        return round(sum(ran, timedelta()).total_seconds())
