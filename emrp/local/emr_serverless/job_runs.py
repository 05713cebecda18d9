"""The operations on job runs."""

import re
from datetime import UTC, datetime
from typing import Any

from emrp.local.emr_serverless.application import Application, release_at_least
from emrp.local.emr_serverless.caller import caller_arn
from emrp.local.emr_serverless.configuration import merged
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.execution import DEFAULT_GRACE_SECONDS
from emrp.local.emr_serverless.identifiers import new_id
from emrp.local.emr_serverless.job_run import JobRun, JobRunState
from emrp.local.emr_serverless.lifecycle import LiveApplication
from emrp.local.emr_serverless.paging import page
from emrp.local.emr_serverless.registry import Registry
from emrp.local.emr_serverless.tags import checked_tags

Parameters = dict[str, Any]
Result = dict[str, Any]

MOST_QUEUED_JOB_RUNS = 2000  # of an account
_LEAST_TIMEOUT_MINUTES = 5
_MOST_ATTEMPTS = 10
_REFUSED_OPTIONS = {
    "spark.master": re.compile(r"(?<!\S)(--master\b|(--conf|-c)[\s=]+['\"]?spark\.master=)"),
    "spark.submit.deployMode": re.compile(
        r"(?<!\S)(--deploy-mode\b|(--conf|-c)[\s=]+['\"]?spark\.submit\.deployMode=)"
    ),
}
_DRIVER_OF = {"SPARK": "sparkSubmit", "HIVE": "hive"}


class JobRunOperations:
    """Every public method is an operation."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def start_job_run(self, parameters: Parameters) -> Result:
        """Submit a job run."""
        live = self._registry.find(parameters["applicationId"])
        job_run_id = self._registry.once("StartJobRun", parameters, lambda: self._start(live, parameters))
        job_run = live.job_runs[job_run_id]
        return {"applicationId": live.application.id, "jobRunId": job_run.id, "arn": job_run.arn}

    def _start(self, live: LiveApplication, parameters: Parameters) -> str:
        _check(parameters, live.application)
        self._check_queue()
        job_run = JobRun(
            id=new_id(),
            application=live.application,
            request={name: value for name, value in parameters.items() if name not in {"clientToken", "tags"}},
            configuration=merged(live.application.configuration, parameters.get("configurationOverrides", {})),
            release_label=live.application.configuration["releaseLabel"],
            created_by=caller_arn(),
            tags=checked_tags(parameters.get("tags", {})),
        )
        live.submit(job_run)
        return job_run.id

    def get_job_run(self, parameters: Parameters) -> Result:
        """Describe a job run, as it is in its latest attempt or in the one asked for."""
        job_run = self._find(parameters)
        return {"jobRun": job_run.description(job_run.attempt(parameters.get("attempt")))}

    def list_job_runs(self, parameters: Parameters) -> Result:
        """List the job runs of an application, the newest first, grouped by state when states are asked for."""
        live = self._registry.find(parameters["applicationId"])
        listed = sorted(
            (job_run for job_run in live.job_runs.values() if _is_wanted(job_run, parameters)),
            key=lambda job_run: job_run.created_at,
            reverse=True,
        )
        if states := parameters.get("states"):
            listed.sort(key=lambda job_run: states.index(job_run.state))
        job_runs, token = page(listed, lambda job_run: job_run.id, parameters)
        return {"jobRuns": [job_run.summary() for job_run in job_runs], "nextToken": token}

    def list_job_run_attempts(self, parameters: Parameters) -> Result:
        """List the attempts of a job run, the latest first."""
        job_run = self._find(parameters)
        attempts, token = page(job_run.attempts[::-1], lambda attempt: str(attempt.number), parameters)
        return {"jobRunAttempts": [job_run.attempt_summary(attempt) for attempt in attempts], "nextToken": token}

    def cancel_job_run(self, parameters: Parameters) -> Result:
        """Cancel a job run that has not ended."""
        job_run = self._find(parameters)
        execution = self._registry.find(job_run.application.id).executions.get(job_run.id)
        if execution is None:
            raise ApiError(
                "ValidationException",
                f"Job run {job_run.id} cannot be cancelled because it is in a terminal state: {job_run.state}",
            )
        grace_seconds = parameters.get("shutdownGracePeriodInSeconds", DEFAULT_GRACE_SECONDS)
        execution.cancel("Job run cancelled by user.", grace_seconds)
        return {"applicationId": job_run.application.id, "jobRunId": job_run.id}

    def _find(self, parameters: Parameters) -> JobRun:
        return self._registry.find_job_run(parameters["applicationId"], parameters["jobRunId"])

    def _check_queue(self) -> None:
        queued = sum(
            execution.job_run.state is JobRunState.QUEUED
            for live in self._registry.applications()
            for execution in live.executions.values()
        )
        if queued >= MOST_QUEUED_JOB_RUNS:
            raise ApiError(
                "ValidationException", f"The account already has {MOST_QUEUED_JOB_RUNS} job runs in the QUEUED state."
            )


def _is_wanted(job_run: JobRun, parameters: Parameters) -> bool:
    return (
        job_run.state in (parameters.get("states") or [job_run.state])
        and job_run.mode == parameters.get("mode", job_run.mode)
        and job_run.created_at > parameters.get("createdAtAfter", datetime.min.replace(tzinfo=UTC))
        and job_run.created_at < parameters.get("createdAtBefore", datetime.max.replace(tzinfo=UTC))
    )


def _check(parameters: Parameters, application: Application) -> None:
    """Refuse a job run that the service would refuse."""
    if parameters["executionRoleArn"].split(":")[4] != application.account_id:
        raise ApiError("AccessDeniedException", "Cross-account pass role is not allowed.")
    if set(parameters.get("jobDriver", {})) != {_DRIVER_OF[application.engine]}:
        raise ApiError(
            "ValidationException",
            f"The jobDriver of a {application.engine} application must be {_DRIVER_OF[application.engine]}.",
        )
    _check_options(parameters["jobDriver"])
    if 0 < parameters.get("executionTimeoutMinutes", 0) < _LEAST_TIMEOUT_MINUTES:
        raise ApiError("ValidationException", "RunTimeout must be at least 5 minutes.")
    _check_retries(parameters, application)
    if parameters.get("mode") == "STREAMING":
        _check_streaming(parameters, application)


def _check_options(job_driver: dict[str, Any]) -> None:
    """Refuse options with which a job would choose the cluster itself; what cannot be parsed fails when it runs."""
    options = job_driver.get("sparkSubmit", {}).get("sparkSubmitParameters", "")
    for name, option in _REFUSED_OPTIONS.items():
        if option.search(options):
            raise ApiError("ValidationException", f"Option '{name}' is not supported")


def _check_retries(parameters: Parameters, application: Application) -> None:
    policy = parameters.get("retryPolicy", {})
    other_mode = "maxAttempts" if parameters.get("mode") == "STREAMING" else "maxFailedAttemptsPerHour"
    if other_mode in policy:
        raise ApiError(
            "ValidationException", f"{other_mode} is not applicable to {parameters.get('mode', 'BATCH')} mode."
        )
    for name, value in policy.items():
        if value > _MOST_ATTEMPTS:
            raise ApiError("ValidationException", f"{name} must be between 1 and {_MOST_ATTEMPTS}.")
    if policy and not release_at_least(application.configuration["releaseLabel"], 7, 1):
        raise ApiError("ValidationException", "A retryPolicy needs release emr-7.1.0 or higher.")


def _check_streaming(parameters: Parameters, application: Application) -> None:
    if application.engine != "SPARK" or not release_at_least(application.configuration["releaseLabel"], 7, 1):
        raise ApiError("ValidationException", "STREAMING mode needs Spark and release emr-7.1.0 or higher.")
    if parameters.get("executionTimeoutMinutes"):
        raise ApiError("ValidationException", "An execution timeout cannot be set for STREAMING mode.")
