"""Where jobs run: what EMR Serverless and EMR on EC2 both offer to those who submit a job and follow it.

A job run is a job run of EMR Serverless or a step of a cluster, `where` the id of its application or its cluster.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from emr_pipelines.clock import seconds_between


@dataclass(frozen=True)
class ObservedJobRun:
    """What EMR says about a job run, or a step of a cluster, at `observed_at`; its state is one of a job run."""

    job_run_id: str
    application_id: str
    state: str
    observed_at: str
    state_details: str | None = None
    attempts: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    resources: dict[str, float] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def running_seconds(self) -> float:
        """How long the attempt has run, once it has ended."""
        return seconds_between(self.started_at, self.ended_at) if self.started_at and self.ended_at else 0.0

    def as_attempt(self, billed: dict[str, float]) -> dict[str, Any]:
        """Return what the run record keeps of one attempt, for which `billed` resources are paid."""
        return {
            "attempt": self.attempts or 1,
            "state": self.state,
            "startedAt": self.started_at,
            "endedAt": self.ended_at,
            "reason": self.state_details,
            "vCpuHours": billed.get("vCPUHour"),
            "memoryGbHours": billed.get("memoryGBHour"),
            "storageGbHours": billed.get("storageGBHour"),
        }


class JobService(Protocol):
    """The operations that need not know which of the two it is."""

    def start_job_run(self, where: str, request: dict[str, Any], client_token: str, since: str, /) -> str | None:
        """Submit a job run and return its id, or None when the request is carried out at once.

        Repeated with the same token it never submits a second one; it was not submitted before the time in `since`.
        """
        ...

    def get_job_run(self, where: str, job_run_id: str, /) -> ObservedJobRun:
        """Return the true state of a job run."""
        ...

    def list_attempts(self, job_run: ObservedJobRun, /) -> list[dict[str, Any]]:
        """Return the attempts of a job run that has ended, oldest first."""
        ...

    def find_job_run(self, where: str, request: dict[str, Any], since: str) -> str | None:
        """Return the id of the job run that a request of a run has led to since a time, if any."""
        ...

    def cancel_job_run(self, where: str, job_run_id: str, /) -> None:
        """Ask EMR to cancel a job run."""
        ...

    def list_open_job_runs(self, where: str, /) -> list[str]:
        """Return the ids of the job runs that have not ended."""
        ...
