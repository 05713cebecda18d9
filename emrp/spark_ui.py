"""How far running jobs are, as the Spark UI of their drivers tells it in its REST API.

Only the local AWS has such a UI for programs: EMR's GetDashboardForJobRun returns an address that a person opens in a
browser, so there nobody is asked and a job shows its state and its time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.exceptions import ClientError
from emr_pipelines.job_state import JobState
from emr_pipelines.run import Job

_LOOPBACK = "127.0.0.1"
_SECONDS = 1.0
_MOST_JOBS = 12  # asked at each look: more are not shown on a screen
_FOLDERS = re.compile(r"\S*/")


@dataclass(frozen=True)
class SparkProgress:
    """What a driver works on: the tasks and stages of the Spark jobs that run in it now."""

    tasks: int
    tasks_done: int
    stages: int
    stages_done: int
    what: str

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.tasks_done / self.tasks if self.tasks else 0.0

    def __str__(self) -> str:
        stage = min(self.stages_done + 1, self.stages)
        return f"{self.tasks_done}/{self.tasks} tasks, stage {stage} of {self.stages}: {self.what}"


class SparkUis:
    """Finds the drivers' UIs and asks them; a driver that does not answer has no progress, and that is all."""

    def __init__(self) -> None:
        self._emr = boto3.client("emr-serverless")
        self._is_local = urlsplit(self._emr.meta.endpoint_url).hostname == _LOOPBACK
        self._http = urllib3.PoolManager(timeout=_SECONDS, retries=False)
        self._applications: dict[tuple[str, int], str] = {}  # their addresses, by job run and number of states seen

    def progress(self, jobs: Iterable[Job]) -> dict[str, SparkProgress]:
        """Return the progress of those jobs of which it is known, by name."""
        running = [job for job in jobs if job.state == JobState.RUNNING]
        if not self._is_local:
            return {}
        asked = ((job.name, self._of(job)) for job in running[:_MOST_JOBS])
        return {name: progress for name, progress in asked if progress}

    def _of(self, job: Job) -> SparkProgress | None:
        if job.application_id is None or job.job_run_id is None or job.on_cluster:
            return None
        key = (job.job_run_id, len(job.states))  # another attempt is another driver
        try:
            if key not in self._applications:
                self._applications[key] = self._application(job.application_id, job.job_run_id)
            return _read(self._get(f"{self._applications[key]}/jobs?status=running"))
        except (ClientError, urllib3.exceptions.HTTPError, ValueError, LookupError):
            return None  # it has no UI, has not opened it yet, or has just ended

    def _application(self, application_id: str, job_run_id: str) -> str:
        answer = self._emr.get_dashboard_for_job_run(applicationId=application_id, jobRunId=job_run_id)
        applications = f"{answer['url']}/api/v1/applications"
        return f"{applications}/{self._get(applications)[0]['id']}"

    def _get(self, url: str) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._http.request("GET", url).json()
        return answer


def _read(running: list[dict[str, Any]]) -> SparkProgress | None:
    """Add up Spark jobs; None when there is none, as between two of them."""
    if not running:
        return None
    return SparkProgress(
        tasks=sum(job["numTasks"] - job["numSkippedTasks"] for job in running),
        tasks_done=sum(job["numCompletedTasks"] for job in running),
        stages=sum(len(job["stageIds"]) - job["numSkippedStages"] for job in running),
        stages_done=sum(job["numCompletedStages"] for job in running),
        what=_FOLDERS.sub("", running[0]["name"]),
    )
