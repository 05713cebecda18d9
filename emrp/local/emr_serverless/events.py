"""The events of the service, with the fields of the samples in its user guide."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from emrp.local.emr_serverless.application import Application
from emrp.local.emr_serverless.clock import now
from emrp.local.emr_serverless.job_run import Attempt, JobRun, JobRunState
from emrp.local.emr_serverless.utilization import Figures

Detail = dict[str, Any]
Publish = Callable[[Application, str, Detail, list[str]], None]
Watch = Callable[[Application | JobRun], None]


class Events:
    """Says what happened; `publish` carries it to EventBridge in the application's account and region."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._watch: Watch | None = None

    def watch(self, watch: Watch) -> None:
        """Have every change of an application or a job run told, also those that are no events."""
        self._watch = watch

    def changed(self, resource: Application | JobRun) -> None:
        """Tell the watcher that something has changed of which no event tells."""
        if self._watch is not None:
            self._watch(resource)

    def application_changed(self, application: Application) -> None:
        """Tell that an application entered its present state."""
        configuration = application.configuration
        auto_stop = configuration["autoStopConfiguration"]
        detail = {
            "applicationId": application.id,
            "applicationName": configuration.get("name", ""),
            "arn": application.arn,
            "releaseLabel": configuration["releaseLabel"],
            "state": application.state,
            "type": application.engine,
            "createdAt": _iso(application.created_at),
            "updatedAt": _iso(application.updated_at),
            "autoStopConfig": {
                "enabled": auto_stop["enabled"],
                "idleTimeout": auto_stop["idleTimeoutMinutes"],
            },
            "autoStartConfig": {"enabled": application.auto_start},
        }
        self.changed(application)
        self._publish(application, "EMR Serverless Application State Change", detail, [])

    def job_run_changed(self, job_run: JobRun, previous_state: JobRunState | None) -> None:
        """Tell that a job run entered its present state."""
        detail = self._job_run(job_run) | {"state": job_run.state}
        if previous_state is not None:
            detail["previousState"] = previous_state
        self.changed(job_run)
        self._publish(job_run.application, "EMR Serverless Job Run State Change", detail, [])

    def job_run_retried(self, job_run: JobRun, failed: Attempt) -> None:
        """Tell that the latest attempt of a job run follows a failed one."""
        detail = self._job_run(job_run) | {
            "previousAttempt": failed.number,
            "previousAttemptState": failed.state,
            "previousAttemptCreatedAt": _iso(failed.created_at),
            "previousAttemptEndedAt": _iso(failed.updated_at),
            "newAttempt": job_run.latest.number,
            "newAttemptCreatedAt": _iso(job_run.latest.created_at),
        }
        self._publish(job_run.application, "EMR Serverless Job Run Retry", detail, [])

    def resources_used(
        self, job_run: JobRun, attempt: Attempt, interval: Figures, since: datetime, *, final: bool
    ) -> None:
        """Tell what an attempt used, since the last time it was told and in all."""
        until = attempt.ended_at or now()
        total = attempt.figures or Figures()
        detail = {
            "applicationId": job_run.application.id,
            "jobRunId": job_run.id,
            "attempt": attempt.number,
            "mode": job_run.mode,
            "createdAt": _iso(job_run.created_at),
            "calculatedFrom": _iso(since),
            "calculatedTo": _iso(until),
            "resourceUtilizationFinal": final,
            "resourceUtilizationForInterval": interval.used.as_members(),
            "billedResourceUtilizationForInterval": interval.billed.as_members(),
            "totalResourceUtilization": total.used.as_members(),
            "totalBilledResourceUtilization": total.billed.as_members(),
        }
        if attempt.started_at:
            detail["startedAt"] = _iso(attempt.started_at)
        kind = "EMR Serverless Job Resource Utilization Update"
        self._publish(job_run.application, kind, detail, [job_run.arn])

    @staticmethod
    def _job_run(job_run: JobRun) -> Detail:
        return {
            "jobRunId": job_run.id,
            "applicationId": job_run.application.id,
            "arn": job_run.arn,
            "releaseLabel": job_run.release_label,
            "createdBy": job_run.created_by,
            "updatedAt": _iso(job_run.latest.updated_at),
            "createdAt": _iso(job_run.created_at),
        }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
