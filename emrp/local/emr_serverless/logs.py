"""Where the output of drivers goes: the log bucket, CloudWatch Logs, and this service's own managed storage.

The layout is the service's: `applications/<id>/jobs/<id>/SPARK_DRIVER/{stdout,stderr}`, with `attempts/<n>/` in
between for job runs that may be retried. Files are refreshed while the driver runs, as on the service.
"""

import asyncio
import gzip
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emrp.local.emr_serverless.job_run import Attempt, JobRun

REFRESH_SECONDS = 15.0
_DEFAULT_LOG_GROUP = "/aws/emr-serverless"
_MOST_BYTES_AT_A_TIME = 1 << 20  # of one PutLogEvents

PutObject = Callable[[str, str, bytes, str], Awaitable[None]]
PutLines = Callable[[str, str, list[str]], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogStores:
    """Where logs can go. The functions raise OSError when the store does not take them."""

    put_object: PutObject
    put_lines: PutLines
    managed_storage: Path


class AttemptLogs:
    """Delivers the output of one attempt's driver."""

    def __init__(self, job_run: JobRun, attempt: Attempt, outputs: list[Path], stores: LogStores) -> None:
        self._monitoring: dict[str, Any] = job_run.configuration["monitoringConfiguration"]
        self._role_arn = job_run.role_arn
        self._worker_type = f"{job_run.application.engine}_DRIVER"
        self._folder = f"{folder_of(job_run, attempt)}/{self._worker_type}"
        self._outputs = outputs
        self._stores = stores
        self._sent = dict.fromkeys(outputs, 0)  # bytes of each that CloudWatch Logs has

    async def deliver_regularly(self) -> None:
        """Refresh the logs until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.deliver()

    async def deliver(self, *, complete: bool = False) -> None:
        """Store what there is of the output; it is `complete` when the driver has ended."""
        for output in self._outputs:
            try:
                await self._store(output)
                await self._send_lines(output, complete=complete)
            except OSError as error:
                log.warning("The log %s/%s could not be delivered: %s", self._folder, output.name, error)

    async def _store(self, output: Path) -> None:
        name = f"{self._folder}/{output.name}.gz"
        log_uri = self._monitoring.get("s3MonitoringConfiguration", {}).get("logUri")
        kept = self._monitoring.get("managedPersistenceMonitoringConfiguration", {}).get("enabled", True)
        if not (log_uri or kept):
            return
        content = await asyncio.to_thread(_compressed, output)
        if kept:
            await asyncio.to_thread(_write, self._stores.managed_storage / name, content)
        if log_uri:
            uri = urlsplit(log_uri)
            key = f"{uri.path.strip('/')}/{name}".strip("/")
            await self._stores.put_object(uri.netloc, key, content, self._role_arn)

    async def _send_lines(self, output: Path, *, complete: bool) -> None:
        cloudwatch = self._monitoring.get("cloudWatchLoggingConfiguration", {})
        log_types = cloudwatch.get("logTypes", {self._worker_type: ["stdout", "stderr"]})
        wanted = {name.lower() for name in log_types.get(self._worker_type, ())}
        if not cloudwatch.get("enabled") or output.name not in wanted:
            return
        group = cloudwatch.get("logGroupName", _DEFAULT_LOG_GROUP)
        stream = f"{cloudwatch.get('logStreamNamePrefix', '')}/{self._folder}/{output.name}"
        while new := await asyncio.to_thread(_new_lines, output, self._sent[output], complete=complete):
            self._sent[output] += len(new)
            await self._stores.put_lines(group, stream, new.decode(errors="replace").splitlines())


def folder_of(job_run: JobRun, attempt: Attempt) -> str:
    """Return the folder of an attempt's logs, below the log URI."""
    attempts = f"/attempts/{attempt.number}" if job_run.may_have_attempts else ""
    return f"applications/{job_run.application.id}/jobs/{job_run.id}{attempts}"


def forget_all(stores: LogStores) -> None:
    """Empty the managed storage."""
    shutil.rmtree(stores.managed_storage, ignore_errors=True)


def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _new_lines(path: Path, start: int, *, complete: bool) -> bytes:
    """Return whole lines of a file from a position on; the last line may be partial when the file is complete."""
    with path.open("rb") as file:
        file.seek(start)
        new = file.read(_MOST_BYTES_AT_A_TIME)
    at_the_end = len(new) < _MOST_BYTES_AT_A_TIME
    return new if complete and at_the_end else new[: new.rfind(b"\n") + 1]
