"""One Spark driver: a process group of its own that runs one job in a folder of its own.

Its standard input is a pipe from this process. When this process dies, however, the pipe closes and the driver ends
itself (emrp.driver.Lifeline).
"""

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emrp.local.spark.command import DriverCommand, Jvm, build_command
from emrp.local.spark.job_driver import read_classifications, read_job_driver

GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class DriverRequest:
    """A job to run. `job_driver` and `configurations` are in the shape of StartJobRun.

    `work_dir` must be empty or missing; `environment` holds the AWS endpoint, region and credentials.
    """

    application_id: str
    job_run_id: str
    name: str
    job_driver: dict[str, Any]
    work_dir: Path
    configurations: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


class Driver:
    """A started driver. Its output goes to `stdout` and `stderr`."""

    def __init__(self, process: Process, lifeline: int, home: Path, ui_url: str | None) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._leftovers = home / "tmp"
        self.pid = process.pid
        self.ui_url = ui_url
        self.stdout = home / "stdout"
        self.stderr = home / "stderr"

    async def wait(self) -> int:
        """Return the exit code, 128 + n after signal n, when the driver and all that it started have ended."""
        exit_code = await self._process.wait()
        self._signal(signal.SIGKILL)  # Python workers that outlived their driver
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        await asyncio.to_thread(shutil.rmtree, self._leftovers, ignore_errors=True)
        return exit_code if exit_code >= 0 else 128 - exit_code

    async def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the driver to end, and make it end when it has not after the grace period."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
        await self.wait()

    def hand_over(self, command: DriverCommand, work_dir: Path) -> None:
        """Give a job to a driver that was started without; from here on its output goes to the job's folder.

        Raises BrokenPipeError when the driver has ended.
        """
        home = self._leftovers.parent
        logs = [home / "stdout", home / "stderr"]
        for log in logs:
            os.truncate(log, 0)  # what it wrote while it warmed up
        words = [str(len(command.arguments)), *command.arguments]
        if self._lifeline is None:
            raise BrokenPipeError
        os.write(self._lifeline, b"".join(word.encode() + b"\0" for word in words))
        self.stdout, self.stderr = (log.rename(work_dir / log.name) for log in logs)
        self.ui_url = command.ui_url
        self._leftovers = home

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def start_driver(request: DriverRequest) -> Driver:
    """Start the driver of a job; its output goes to `stdout` and `stderr` in its work folder.

    Raises InvalidJobDriver for parameters that cannot be understood.
    """
    command = command_for(request)
    return await launch(command.jvm, command.arguments, request.work_dir, command.ui_url)


def command_for(request: DriverRequest) -> DriverCommand:
    """Write the files of a job to its work folder and return how to run it."""
    return build_command(
        read_job_driver(request.job_driver),
        read_classifications(request.configurations),
        name=request.name,
        work_dir=request.work_dir,
        environment=request.environment,
    )


async def launch(jvm: Jvm, arguments: list[str], home: Path, ui_url: str | None = None) -> Driver:
    """Start a driver's JVM in a folder."""
    jvm.prepare(home)
    reader, lifeline = os.pipe()
    try:
        # Appended to, so that what is written after a log was truncated is at its beginning
        with (home / "stdout").open("ab") as stdout, (home / "stderr").open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *jvm.command(home),
                *arguments,
                cwd=home,
                env=jvm.environment | {"TMPDIR": str(home / "tmp")},
                stdin=reader,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(reader)
    return Driver(process, lifeline, home, ui_url)
