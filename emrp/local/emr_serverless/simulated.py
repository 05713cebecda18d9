"""Jobs that only take time: to put load on everything around Spark (EMRP_SIMULATED_JOB_SECONDS).

A job may wish for its time and its exit code with the arguments `seconds=600` and `exit=137` of its entry point.
"""

import asyncio
from pathlib import Path

from emrp.local.emr_serverless.drivers import StartDriver
from emrp.local.spark import DriverRequest

_KILLED = 143


class SimulatedDriver:
    """A driver that writes nothing and ends after some seconds."""

    ui_url = None

    def __init__(self, work_dir: Path, seconds: float, exit_code: int) -> None:
        self.stdout, self.stderr = work_dir / "stdout", work_dir / "stderr"
        self._seconds = seconds
        self._exit_code = exit_code
        self._killed = asyncio.Event()

    async def wait(self) -> int:
        """Return its exit code when the seconds are over."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._killed.wait()
        except TimeoutError:
            return self._exit_code
        return _KILLED

    async def kill(self, grace_seconds: float) -> None:  # noqa: ARG002 -- it needs no grace
        """End it."""
        self._killed.set()


def simulation(seconds: float) -> StartDriver:
    """Return what starts a simulated driver in the place of a real one."""

    async def start(request: DriverRequest) -> SimulatedDriver:
        request.work_dir.mkdir(parents=True, exist_ok=True)
        arguments = request.job_driver.get("sparkSubmit", {}).get("entryPointArguments", [])
        wishes = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        driver = SimulatedDriver(request.work_dir, float(wishes.get("seconds", seconds)), int(wishes.get("exit", 0)))
        for log in (driver.stdout, driver.stderr):
            log.touch()
        return driver

    return start
