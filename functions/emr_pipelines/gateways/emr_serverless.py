"""EMR Serverless: applications and job runs. Requests and answers have the service's own fields."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.config import Config

from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.aws import CONFIG, client, translated_errors
from emr_pipelines.gateways.job_service import JobService, ObservedJobRun


@dataclass(frozen=True)
class ObservedApplication:
    """What EMR says about an application; `details` is its reason for the state."""

    application_id: str
    state: str
    details: str
    tags: dict[str, str] = field(default_factory=dict)
    created_at: str = ""
    architecture: str = "X86_64"


_LIVING_APPLICATIONS = ["CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED"]
_OPEN_JOB_RUNS = ["PENDING", "SCHEDULED", "RUNNING", "SUBMITTED", "QUEUED", "CANCELLING"]
# A streaming job may be retried for ever: the record keeps the last attempts.
_MOST_ATTEMPTS = 20


class EmrServerless(JobService):
    """The calls that the functions make."""

    def __init__(self, config: Config = CONFIG) -> None:
        self._emr = client("emr-serverless", config)

    def create_application(self, request: dict[str, Any], client_token: str) -> str:
        """Create an application and return its id; the same token never creates a second one."""
        with translated_errors():
            answer = self._emr.create_application(**request, clientToken=client_token)
            application_id: str = answer["applicationId"]
            return application_id

    def get_application(self, application_id: str) -> ObservedApplication:
        """Return the state of an application."""
        with translated_errors():
            application = self._emr.get_application(applicationId=application_id)["application"]
        return ObservedApplication(
            application_id,
            application["state"],
            application.get("stateDetails", ""),
            application.get("tags", {}),
            iso_time(application["createdAt"]),
            application.get("architecture", "X86_64"),
        )

    def list_applications(self) -> list[str]:
        """Return the ids of all applications of the account that are not deleted."""
        with translated_errors():
            pages = self._emr.get_paginator("list_applications").paginate(states=_LIVING_APPLICATIONS)
            return [application["id"] for page in pages for application in page["applications"]]

    def update_application(self, application_id: str, request: dict[str, Any], client_token: str) -> None:
        """Bring an application to the fields of a CreateApplication request; it must be CREATED or STOPPED."""
        members = self._emr.meta.service_model.operation_model("UpdateApplication").input_shape.members
        changes = {name: value for name, value in request.items() if name in members}
        with translated_errors():
            self._emr.update_application(applicationId=application_id, clientToken=client_token, **changes)

    def start_application(self, application_id: str) -> None:
        """Ask an application to start."""
        with translated_errors():
            self._emr.start_application(applicationId=application_id)

    def stop_application(self, application_id: str) -> None:
        """Ask an application to stop; EMR refuses while it has job runs."""
        with translated_errors():
            self._emr.stop_application(applicationId=application_id)

    def delete_application(self, application_id: str) -> None:
        """Delete an application; it must be CREATED or STOPPED."""
        with translated_errors():
            self._emr.delete_application(applicationId=application_id)

    def start_job_run(
        self, application_id: str, request: dict[str, Any], client_token: str, _since: str | None = None
    ) -> str:
        """Submit a job run and return its id; the same token never submits a second one."""
        with translated_errors():
            answer = self._emr.start_job_run(applicationId=application_id, clientToken=client_token, **request)
            job_run_id: str = answer["jobRunId"]
            return job_run_id

    def get_job_run(self, application_id: str, job_run_id: str, attempt: int | None = None) -> ObservedJobRun:
        """Return the true state of a job run, or of one attempt of it."""
        which = {"attempt": attempt} if attempt else {}
        with translated_errors():
            answer = self._emr.get_job_run(applicationId=application_id, jobRunId=job_run_id, **which)
        job_run = answer["jobRun"]
        return ObservedJobRun(
            job_run_id=job_run_id,
            application_id=application_id,
            state=job_run["state"],
            observed_at=iso_time(job_run["updatedAt"]),
            state_details=job_run.get("stateDetails") or None,
            attempts=job_run.get("attempt"),
            started_at=iso_time(job_run["startedAt"]) if "startedAt" in job_run else None,
            ended_at=iso_time(job_run["endedAt"]) if "endedAt" in job_run else None,
            resources=job_run.get("billedResourceUtilization"),
            tags=job_run.get("tags", {}),
            created_at=iso_time(job_run["createdAt"]),
        )

    def list_open_job_runs(self, application_id: str) -> list[str]:
        """Return the ids of the job runs of an application that have not ended."""
        with translated_errors():
            pages = self._emr.get_paginator("list_job_runs").paginate(
                applicationId=application_id, states=_OPEN_JOB_RUNS
            )
            return [job_run["id"] for page in pages for job_run in page["jobRuns"]]

    def list_attempts(self, job_run: ObservedJobRun) -> list[dict[str, Any]]:
        """Return the attempts of a job run that has ended, oldest first.

        EMR tells the billed resources of the job run as a whole: they are divided by how long each attempt ran.
        """
        latest = job_run.attempts or 1
        earlier = range(max(1, latest - _MOST_ATTEMPTS + 1), latest)
        attempts = [self.get_job_run(job_run.application_id, job_run.job_run_id, attempt) for attempt in earlier]
        attempts.append(job_run)
        seconds = sum(attempt.running_seconds for attempt in attempts)
        shares = [attempt.running_seconds / seconds if seconds else 1 / len(attempts) for attempt in attempts]
        return [
            attempt.as_attempt({name: round(value * share, 3) for name, value in (job_run.resources or {}).items()})
            for attempt, share in zip(attempts, shares, strict=True)
        ]

    def find_job_run(self, application_id: str, request: dict[str, Any], since: str) -> str | None:
        """Return the id of the job run that a StartJobRun request with these tags has led to since a time, if any."""
        with translated_errors():
            pages = self._emr.get_paginator("list_job_runs").paginate(
                applicationId=application_id, createdAtAfter=datetime.fromisoformat(since)
            )
            named = [job_run for page in pages for job_run in page["jobRuns"] if job_run.get("name") == request["name"]]
            for job_run in named:
                answer = self._emr.get_job_run(applicationId=application_id, jobRunId=job_run["id"])
                if answer["jobRun"].get("tags") == request["tags"]:
                    job_run_id: str = job_run["id"]
                    return job_run_id
        return None

    def cancel_job_run(self, application_id: str, job_run_id: str) -> None:
        """Ask EMR to cancel a job run."""
        with translated_errors():
            self._emr.cancel_job_run(applicationId=application_id, jobRunId=job_run_id)
