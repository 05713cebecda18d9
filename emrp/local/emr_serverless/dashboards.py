"""GetDashboardForJobRun: the Spark UI of a driver that runs, the Spark history server for one that has ended."""

import asyncio
import shutil
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3

from emrp.local.emr_serverless.drivers import Driver, StartDriver
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.job_run import Attempt, JobRun
from emrp.local.emr_serverless.registry import Registry
from emrp.local.spark import DriverRequest

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0
_HISTORY_SERVER = "org.apache.spark.deploy.history.HistoryServer"


class EventLogs:
    """The event logs of attempts, which Spark writes and its history server shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shown = folder / "shown"  # what the history server reads
        self.shown.mkdir(parents=True, exist_ok=True)

    def classification(self, job_run: JobRun) -> dict[str, Any]:
        """Return the configuration with which the latest attempt writes its event log, to a folder made for it."""
        folder = self._folder_of(job_run, job_run.latest)
        folder.mkdir(parents=True, exist_ok=True)
        properties = {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.compress": "true",
            "spark.eventLog.dir": folder.as_uri(),
        }
        return {"classification": "spark-defaults", "properties": properties}

    def show(self, job_run: JobRun, attempt: Attempt) -> str:
        """Make the history server see an attempt; returns the id that Spark gave to it."""
        folder = self._folder_of(job_run, attempt)
        log = max(folder.iterdir(), key=lambda path: path.stat().st_mtime, default=None) if folder.is_dir() else None
        if log is None:
            raise ApiError(
                "ValidationException", f"Job run {job_run.id} has no dashboard because it wrote no event log."
            )
        link = self.shown / log.name
        if not link.exists():
            link.hardlink_to(log)
        return log.name.split(".")[0]

    def forget_all(self) -> None:
        """Remove every event log."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.shown.mkdir(parents=True)

    def _folder_of(self, job_run: JobRun, attempt: Attempt) -> Path:
        return self._folder / f"{job_run.id}-{attempt.number}"


class HistoryServer:
    """The Spark history server, which is started when somebody wants to see a job run that has ended."""

    def __init__(self, start_driver: StartDriver, event_logs: EventLogs, work_dir: Path) -> None:
        self._start_driver = start_driver
        self._event_logs = event_logs
        self._work_dir = work_dir
        self._server: Driver | None = None
        self._url = ""
        self._starting = asyncio.Lock()

    async def url(self, job_run: JobRun, attempt: Attempt) -> str:
        """Return the address of the page of an attempt that has ended; waits until it is there."""
        application_id = self._event_logs.show(job_run, attempt)
        async with self._starting:
            if self._server is None:
                await self._start()
        url = f"{self._url}/history/{application_id}/jobs/"
        async with asyncio.timeout(_READY_SECONDS):
            while not await asyncio.to_thread(_is_there, url):  # noqa: ASYNC110 -- another process's page
                await asyncio.sleep(0.2)
        return url

    def forget_all(self) -> None:
        """Forget every job run."""
        self._event_logs.forget_all()

    async def stop(self) -> None:
        """End the server if it runs."""
        if self._server is not None:
            await self._server.kill(grace_seconds=0)
            self._server = None

    async def _start(self) -> None:
        port = _free_port()
        settings = {
            "spark.history.fs.logDirectory": self._event_logs.shown.as_uri(),
            "spark.history.fs.update.interval": "1s",
            "spark.history.ui.port": str(port),
        }
        confs = " ".join(f"--conf '{name}={value}'" for name, value in settings.items())
        submit = {"entryPoint": "spark-internal", "sparkSubmitParameters": f"--class {_HISTORY_SERVER} {confs}"}
        self._server = await self._start_driver(
            DriverRequest(
                application_id="",
                job_run_id="history-server",
                name="history-server",
                job_driver={"sparkSubmit": submit},
                work_dir=self._work_dir / str(port),
                environment={"SPARK_LOCAL_IP": _LOOPBACK},
            )
        )
        self._url = f"http://{_LOOPBACK}:{port}"


class DashboardOperations:
    """Every public method is an operation."""

    def __init__(self, registry: Registry, history_server: HistoryServer) -> None:
        self._registry = registry
        self._history_server = history_server

    async def get_dashboard_for_job_run(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the address of the Spark UI of an attempt, the latest one by default."""
        job_run = self._registry.find_job_run(parameters["applicationId"], parameters["jobRunId"])
        attempt = job_run.attempt(parameters.get("attempt"))
        execution = self._registry.find(job_run.application.id).executions.get(job_run.id)
        if execution and attempt is job_run.latest:
            if execution.driver is None or execution.driver.ui_url is None:
                raise ApiError(
                    "ValidationException", f"Job run {job_run.id} has no dashboard while it is {job_run.state}."
                )
            return {"url": execution.driver.ui_url}
        if attempt.started_at is None:
            raise ApiError("ValidationException", f"Job run {job_run.id} has no dashboard because it never ran.")
        return {"url": await self._history_server.url(job_run, attempt)}


def _is_there(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status == HTTPStatus.OK
    except urllib3.exceptions.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
