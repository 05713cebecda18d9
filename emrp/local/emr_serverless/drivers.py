"""How an attempt of a job run becomes a Spark driver on this machine, and what it answers at its end."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from emrp.local.spark import DriverRequest


class Driver(Protocol):
    """A started driver, as `emrp.local.spark` returns it."""

    @property
    def stdout(self) -> Path:
        """The file that its standard output goes to."""

    @property
    def stderr(self) -> Path:
        """The file that its standard error goes to."""

    @property
    def ui_url(self) -> str | None:
        """Where its Spark UI is, if it has one."""

    async def wait(self) -> int:
        """Return its exit code when it has ended."""

    async def kill(self, grace_seconds: float) -> None:
        """End it and everything it started."""


class WarmDrivers(Protocol):
    """Pre-initialised drivers, as `emrp.local.spark` has them."""

    async def start(self) -> None:
        """Start the drivers."""

    async def start_driver(self, request: DriverRequest) -> Driver:
        """Give a job to one of them, or to a new driver."""

    async def stop(self) -> None:
        """End those that have no job."""


StartDriver = Callable[[DriverRequest], Awaitable[Driver]]


async def start_surely(start_driver: StartDriver, request: DriverRequest) -> Driver:
    """Start a driver; when this is cancelled meanwhile, the driver does not survive it."""
    starting = asyncio.ensure_future(start_driver(request))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        driver = await starting
        await driver.kill(grace_seconds=0)
        raise
