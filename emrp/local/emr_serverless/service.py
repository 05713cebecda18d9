"""The operations of the service: what each request means, on the applications of its account and region.

Every public method is named after an operation and takes its parameters; `api` calls it by that name.
"""

import secrets
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from emrp.local.emr_serverless.application import Application, ApplicationState, with_defaults
from emrp.local.emr_serverless.configuration import merged
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.execution import DEFAULT_GRACE_SECONDS, Surroundings
from emrp.local.emr_serverless.idempotency import Idempotency
from emrp.local.emr_serverless.job_run import Attempt, JobRun
from emrp.local.emr_serverless.lifecycle import LiveApplication
from emrp.local.emr_serverless.paging import page

Parameters = dict[str, Any]
Result = dict[str, Any]

_ID_CHARACTERS = string.digits + string.ascii_lowercase
_LEAST_TIMEOUT_MINUTES = 5
_MAX_ATTEMPTS = 10


class EmrServerless:
    """The service in one process."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._applications = AccountRegionScopedDict()
        self._idempotency = Idempotency()

    def create_application(self, parameters: Parameters) -> Result:
        """Create an application; it becomes CREATED at once."""

        def create() -> str:
            configuration = {name: value for name, value in parameters.items() if name not in {"clientToken", "tags"}}
            application = Application(
                id=_new_id(),
                account_id=get_account_id(),
                region=get_region(),
                configuration=with_defaults(configuration),
                created_at=datetime.now(UTC),
                tags=dict(parameters.get("tags", {})),
            )
            live = LiveApplication(application, self._around)
            self._applications[application.id] = live
            live.create()
            return application.id

        application = self._find(self._idempotency.once("CreateApplication", parameters, create)).application
        return {
            "applicationId": application.id,
            "name": application.configuration.get("name"),
            "arn": application.arn,
        }

    def get_application(self, parameters: Parameters) -> Result:
        """Describe an application."""
        return {"application": self._find(parameters["applicationId"]).application.description()}

    def list_applications(self, parameters: Parameters) -> Result:
        """List the applications, the newest first; TERMINATED ones only when asked for."""
        wanted = parameters.get("states") or set(ApplicationState) - {ApplicationState.TERMINATED}
        listed = [live.application for live in self._applications.values() if live.application.state in wanted]
        listed.sort(key=lambda application: application.created_at, reverse=True)
        applications, token = page(listed, lambda application: application.id, parameters)
        return {"applications": [application.summary() for application in applications], "nextToken": token}

    def start_application(self, parameters: Parameters) -> Result:
        """Start an application."""
        self._find(parameters["applicationId"]).start()
        return {}

    def stop_application(self, parameters: Parameters) -> Result:
        """Stop an application that has no job runs under way."""
        self._find(parameters["applicationId"]).stop()
        return {}

    def delete_application(self, parameters: Parameters) -> Result:
        """Delete an application that is CREATED or STOPPED; it can still be described."""
        self._find(parameters["applicationId"]).delete()
        return {}

    def start_job_run(self, parameters: Parameters) -> Result:
        """Submit a job run."""
        live = self._find(parameters["applicationId"])

        def start() -> str:
            _check_job_run(parameters)
            request = {name: value for name, value in parameters.items() if name not in {"clientToken", "tags"}}
            job_run = JobRun(
                id=_new_id(),
                application=live.application,
                request=request,
                configuration=merged(live.application.configuration, parameters.get("configurationOverrides", {})),
                created_by=f"arn:aws:iam::{get_account_id()}:root",
                created_at=datetime.now(UTC),
                tags=dict(parameters.get("tags", {})),
            )
            live.submit(job_run)
            return job_run.id

        job_run = live.job_runs[self._idempotency.once("StartJobRun", parameters, start)]
        return {"applicationId": live.application.id, "jobRunId": job_run.id, "arn": job_run.arn}

    def get_job_run(self, parameters: Parameters) -> Result:
        """Describe a job run, as it is in its latest attempt or in the one asked for."""
        job_run = self._find_job_run(parameters)
        return {"jobRun": job_run.description(_attempt_of(job_run, parameters))}

    def list_job_runs(self, parameters: Parameters) -> Result:
        """List the job runs of an application, the newest first."""
        live = self._find(parameters["applicationId"])
        listed = sorted(
            (job_run for job_run in live.job_runs.values() if _is_wanted(job_run, parameters)),
            key=lambda job_run: job_run.created_at,
            reverse=True,
        )
        if states := parameters.get("states"):
            listed.sort(key=lambda job_run: states.index(job_run.state))
        job_runs, token = page(listed, lambda job_run: job_run.id, parameters)
        return {"jobRuns": [job_run.summary() for job_run in job_runs], "nextToken": token}

    def cancel_job_run(self, parameters: Parameters) -> Result:
        """Cancel a job run; one that has ended stays as it is."""
        job_run = self._find_job_run(parameters)
        execution = self._find(job_run.application.id).executions.get(job_run.id)
        if execution is None:
            raise ApiError(
                "ValidationException",
                f"Job run {job_run.id} cannot be cancelled because it is in a terminal state: {job_run.state}",
            )
        grace_seconds = parameters.get("shutdownGracePeriodInSeconds", DEFAULT_GRACE_SECONDS)
        execution.cancel("Job run cancelled by user.", grace_seconds)
        return {"applicationId": job_run.application.id, "jobRunId": job_run.id}

    def reset(self) -> None:
        """Forget everything."""
        self._applications.clear()
        self._idempotency = Idempotency()

    async def shut_down(self, details: str) -> None:
        """End every job run; no driver is left."""
        for live in self._every_application():
            await live.shut_down(details)

    def _every_application(self) -> Iterator[LiveApplication]:
        yield from self._applications.to_dict().values()

    def _find(self, application_id: str) -> LiveApplication:
        live: LiveApplication | None = self._applications.get(application_id)
        if live is None:
            raise ApiError("ResourceNotFoundException", f"Application {application_id} does not exist")
        return live

    def _find_job_run(self, parameters: Parameters) -> JobRun:
        job_run = self._find(parameters["applicationId"]).job_runs.get(parameters["jobRunId"])
        if job_run is None:
            raise ApiError("ResourceNotFoundException", f"JobRun {parameters['jobRunId']} does not exist")
        return job_run


def _new_id() -> str:
    return "00" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(14))


def _attempt_of(job_run: JobRun, parameters: Parameters) -> Attempt:
    number: int = parameters.get("attempt", len(job_run.attempts))
    if not 1 <= number <= len(job_run.attempts):
        raise ApiError("ResourceNotFoundException", f"JobRun {job_run.id} has no attempt {number}")
    return job_run.attempts[number - 1]


def _is_wanted(job_run: JobRun, parameters: Parameters) -> bool:
    return (
        job_run.state in parameters.get("states", [job_run.state])
        and job_run.mode == parameters.get("mode", job_run.mode)
        and job_run.created_at > parameters.get("createdAtAfter", datetime.min.replace(tzinfo=UTC))
        and job_run.created_at < parameters.get("createdAtBefore", datetime.max.replace(tzinfo=UTC))
    )


def _check_job_run(parameters: Parameters) -> None:
    role_account = parameters["executionRoleArn"].split(":")[4]
    if role_account != get_account_id():
        raise ApiError("AccessDeniedException", "Cross-account pass role is not allowed.")
    if len(parameters.get("jobDriver", {})) != 1:
        raise ApiError("ValidationException", "jobDriver must have exactly one of sparkSubmit and hive.")
    timeout = parameters.get("executionTimeoutMinutes", 0)
    if 0 < timeout < _LEAST_TIMEOUT_MINUTES:
        raise ApiError("ValidationException", "RunTimeout must be at least 5 minutes.")
    for name, value in parameters.get("retryPolicy", {}).items():
        if value > _MAX_ATTEMPTS:
            raise ApiError("ValidationException", f"{name} must be between 1 and {_MAX_ATTEMPTS}.")
