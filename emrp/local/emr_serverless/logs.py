"""Where the output of drivers goes: the log bucket, and this service's own managed storage.

The layout is the service's: `applications/<id>/jobs/<id>/SPARK_DRIVER/{stdout,stderr}.gz`, with
`attempts/<n>/` in between for job runs that may be retried.
"""

import asyncio
import gzip
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from emrp.local.emr_serverless.job_run import Attempt, JobRun

PutObject = Callable[[str, str, bytes], Awaitable[None]]

log = logging.getLogger(__name__)


class LogDelivery:
    """Delivers the logs of attempts."""

    def __init__(self, put_object: PutObject, managed_storage: Path) -> None:
        self._put_object = put_object
        self._managed_storage = managed_storage

    async def deliver(self, job_run: JobRun, attempt: Attempt, outputs: list[Path]) -> None:
        """Store the outputs of a driver where the job run's monitoring configuration wants them."""
        monitoring = job_run.configuration["monitoringConfiguration"]
        folder = self.folder(job_run, attempt)
        for output in outputs:
            name = f"{folder}/{output.name}.gz"
            content = await asyncio.to_thread(_compressed, output)
            if monitoring.get("managedPersistenceMonitoringConfiguration", {}).get("enabled", True):
                await asyncio.to_thread(self._keep, name, content)
            if log_uri := monitoring.get("s3MonitoringConfiguration", {}).get("logUri"):
                await self._put_to_bucket(log_uri, name, content)

    def folder(self, job_run: JobRun, attempt: Attempt) -> str:
        """Return the folder of an attempt's driver, below the log URI."""
        attempts = f"/attempts/{attempt.number}" if job_run.may_have_attempts else ""
        driver = f"{job_run.application.engine}_DRIVER"
        return f"applications/{job_run.application.id}/jobs/{job_run.id}{attempts}/{driver}"

    def forget_all(self) -> None:
        """Empty the managed storage."""
        shutil.rmtree(self._managed_storage, ignore_errors=True)

    def _keep(self, name: str, content: bytes) -> None:
        path = self._managed_storage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    async def _put_to_bucket(self, log_uri: str, name: str, content: bytes) -> None:
        uri = urlsplit(log_uri)
        prefix = uri.path.strip("/")
        try:
            await self._put_object(uri.netloc, f"{prefix}/{name}" if prefix else name, content)
        except OSError as error:
            log.warning("The log %s could not be stored below %s: %s", name, log_uri, error)


def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes() if path.exists() else b"", mtime=0)
