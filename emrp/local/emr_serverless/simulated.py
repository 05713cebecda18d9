"""Jobs that only take time: to put load on everything around Spark (EMRP_SIMULATED_JOB_SECONDS)."""

import asyncio
from pathlib import Path

from emrp.local.emr_serverless.drivers import StartDriver
from emrp.local.spark import DriverRequest

_KILLED = 143


class SimulatedDriver:
    """A driver that writes nothing and succeeds after some seconds."""

    ui_url = None

    def __init__(self, work_dir: Path, seconds: float) -> None:
        self.stdout, self.stderr = work_dir / "stdout", work_dir / "stderr"
        self._seconds = seconds
        self._killed = asyncio.Event()

    async def wait(self) -> int:
        """Return 0 when the seconds are over."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._killed.wait()
        except TimeoutError:
            return 0
        return _KILLED

    async def kill(self, grace_seconds: float) -> None:  # noqa: ARG002 -- it needs no grace
        """End it."""
        self._killed.set()


def simulation(seconds: float) -> StartDriver:
    """Return what starts a simulated driver in the place of a real one."""

    async def start(request: DriverRequest) -> SimulatedDriver:
        request.work_dir.mkdir(parents=True, exist_ok=True)
        driver = SimulatedDriver(request.work_dir, seconds)
        for log in (driver.stdout, driver.stderr):
            log.touch()
        return driver

    return start
