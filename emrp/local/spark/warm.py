"""Pre-initialised capacity: drivers that are started, and warmed up, before their job arrives.

A warm driver runs one job, as every driver does; when the job has ended another takes its place.
"""

import asyncio
import dataclasses
import shutil
from itertools import count
from pathlib import Path

from emrp.local.spark.command import DriverCommand, plain_jvm
from emrp.local.spark.driver import Driver, DriverRequest, command_for, launch


class WarmDrivers:
    """A number of drivers that wait for jobs which need no JVM of their own.

    The folder must be on the file system of the jobs' work folders; the environment is that of the jobs.
    """

    def __init__(self, number: int, folder: Path, environment: dict[str, str], memory: str = "1g") -> None:
        self._number = number
        self._folder = folder
        self._jvm = plain_jvm(memory, environment)
        self._names = count(1)
        self._waiting: list[Driver] = []
        self._replacements: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> tuple[Driver, ...]:
        """The drivers that wait for a job."""
        return tuple(self._waiting)

    async def start(self) -> None:
        """Start the drivers; they warm up by themselves."""
        for _ in range(self._number):
            await self._add()

    async def start_driver(self, request: DriverRequest) -> Driver:
        """Give a job to a warm driver; start a cold one when none is left or the job needs another JVM."""
        command = command_for(request)
        driver = await self._hand_over(command, request.work_dir) if self._suits(command) else None
        if driver is None:
            return await launch(command.jvm, command.arguments, request.work_dir, command.ui_url)
        replacement = asyncio.create_task(self._replace(driver))
        self._replacements.add(replacement)
        replacement.add_done_callback(self._replacements.discard)
        return driver

    async def stop(self) -> None:
        """End the drivers that wait; those that have a job belong to whoever started it."""
        for replacement in self._replacements:
            replacement.cancel()
        await asyncio.gather(*self._replacements, return_exceptions=True)
        waiting, self._waiting = self._waiting, []
        await asyncio.gather(*(driver.kill(grace_seconds=0) for driver in waiting))
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _hand_over(self, command: DriverCommand, work_dir: Path) -> Driver | None:
        while self._waiting:
            driver = self._waiting.pop(0)
            try:
                driver.hand_over(command, work_dir)
            except BrokenPipeError:  # it crashed, or somebody killed it
                await driver.wait()
            else:
                return driver
        return None

    def _suits(self, command: DriverCommand) -> bool:
        """Tell whether a job could run in the waiting JVMs: Python, and nothing that only a new JVM can have."""
        same = dataclasses.replace(command.jvm, heap_bytes=self._jvm.heap_bytes) == self._jvm
        return command.is_python and same and command.jvm.heap_bytes <= self._jvm.heap_bytes

    async def _replace(self, driver: Driver) -> None:
        """Start another driver when one has done its job, not before: it would slow the job down."""
        await driver.wait()
        await self._add()

    async def _add(self) -> None:
        home = self._folder / str(next(self._names))
        self._waiting.append(await launch(self._jvm, ["--warm"], home))
