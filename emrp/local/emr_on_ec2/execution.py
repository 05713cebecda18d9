"""A step under way: one task from PENDING to its end.

    its turn on this machine -> RUNNING: a driver -> COMPLETED or FAILED
    cancelled from outside   -> CANCEL_PENDING -> CANCELLED; its cluster ends -> INTERRUPTED, or CANCELLED if it waits

Every ending goes through `_settle`, and every state through `_move`, which publishes it.
"""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from emrp.local.emr_on_ec2.events import Events
from emrp.local.emr_on_ec2.logs import Logs, PutObject
from emrp.local.emr_on_ec2.records import Record, StepState, move_step, state_of
from emrp.local.emr_on_ec2.step_command import (
    InvalidStep,
    classifications_of,
    is_jar_of_its_own,
    job_driver_of,
    location,
    read_main_class,
)
from emrp.local.emr_serverless.drivers import Driver, StartDriver, start_surely
from emrp.local.emr_serverless.gate import Gate
from emrp.local.spark import DriverRequest, InvalidJobDriver, failure_reason

_GRACE_SECONDS = 5.0
_UNKNOWN = "Unknown Error."

GetObject = Callable[[str, str, str], Awaitable[bytes]]
Script = Callable[["ScriptRequest"], Awaitable[int]]

log = logging.getLogger(__name__)


class ScriptRequest(NamedTuple):
    """A bootstrap action to run; its output goes to `stdout` and `stderr` in its folder."""

    script: bytes
    arguments: list[str]
    work_dir: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Surroundings:
    """What every cluster of this process uses."""

    events: Events
    start_driver: StartDriver
    run_script: Script
    environment: Callable[[Record, str, str], dict[str, str]]  # of a cluster's process: cluster, role, session name
    role_of: Callable[[Record], str]  # as which the instances of a cluster work
    put_object: PutObject
    get_object: GetObject
    machine: Gate[object]
    work_dir: Path
    seconds_per_idle_second: float = 1.0


class Outcome(NamedTuple):
    """How a step ended."""

    state: StepState
    message: str = ""
    failure: Record | None = None


class StepExecution:
    """Moves one step to its end."""

    def __init__(
        self, cluster: Record, step: Record, surroundings: Surroundings, on_end: Callable[["StepExecution"], None]
    ) -> None:
        self.step = step
        self._cluster = cluster
        self._around = surroundings
        self._on_end = on_end
        self._stopped = Outcome(StepState.INTERRUPTED)
        self._grace_seconds = _GRACE_SECONDS
        self._abandoned = False
        self._role_arn = step.get("ExecutionRoleArn") or surroundings.role_of(cluster)
        self._logs = Logs(cluster, f"steps/{step['Id']}", surroundings.put_object, self._role_arn)
        self._task = asyncio.create_task(self._run(), name=f"step {step['Id']}")
        self._task.add_done_callback(self._settle)

    def cancel(self, *, gently: bool) -> None:
        """Cancel the step; its driver has some time to end by itself, or none."""
        if self._task.done() or state_of(self.step) == StepState.CANCEL_PENDING:
            return
        if state_of(self.step) == StepState.RUNNING:
            self._move(StepState.CANCEL_PENDING)
        self._stopped = Outcome(StepState.CANCELLED, "Cancelled by user")
        self._grace_seconds = _GRACE_SECONDS if gently else 0
        self._task.cancel()

    async def interrupt(self) -> None:
        """End the step because its cluster ends."""
        if state_of(self.step) == StepState.PENDING:
            self._stopped = Outcome(StepState.CANCELLED, "Job terminated")
        self._grace_seconds = 0
        self._task.cancel()
        await asyncio.wait({self._task})

    async def abandon(self) -> None:
        """End the driver because the server ends; the step stays as it is, for the next server."""
        self._abandoned = True
        await self.interrupt()

    async def _run(self) -> Outcome:
        async with self._around.machine.enter(self):
            try:
                request = await self._driver_request()
                return await self._drive(request)
            except (InvalidStep, InvalidJobDriver, OSError) as error:
                return await self._refuse(str(error))

    async def _driver_request(self) -> DriverRequest:
        step, cluster = self.step, self._cluster
        environment = self._around.environment(cluster, self._role_arn, step["Id"])
        main_class = ""
        if is_jar_of_its_own(step) and not step["Config"].get("MainClass"):
            bucket, key = location(step["Config"]["Jar"])
            main_class = read_main_class(await self._around.get_object(bucket, key, self._role_arn))
        return DriverRequest(
            application_id=cluster["Id"],
            job_run_id=step["Id"],
            name=step["Name"],
            job_driver=job_driver_of(step, main_class),
            configurations=classifications_of(cluster.get("Configurations", [])),
            work_dir=self._around.work_dir / cluster["Id"] / step["Id"],
            environment=environment,
        )

    async def _drive(self, request: DriverRequest) -> Outcome:
        config = self.step["Config"]
        self._logs.note(f"startExec '{' '.join(['hadoop jar', config['Jar'], *config['Args']])}'")
        async with self._running_driver(request) as driver:
            exit_code = await driver.wait()
            self._logs.note(f"Step {'failed' if exit_code else 'succeeded'} with exitCode {exit_code}")
            if exit_code:
                reason = failure_reason(driver.stderr, driver.stdout)
                return self._failed(reason or f"The step ended with exit code {exit_code}.")
            return Outcome(StepState.COMPLETED)

    @asynccontextmanager
    async def _running_driver(self, request: DriverRequest) -> AsyncIterator[Driver]:
        """Have a driver; at the end it is gone and its logs are where they belong."""
        driver = await start_surely(self._around.start_driver, request)
        outputs = {"stdout": driver.stdout, "stderr": driver.stderr, "syslog": request.work_dir / "syslog"}
        self._move(StepState.RUNNING)
        refreshing = asyncio.create_task(self._logs.deliver_regularly(outputs))
        try:
            yield driver
        except asyncio.CancelledError:
            await driver.kill(self._grace_seconds)
            raise
        finally:
            refreshing.cancel()
            await asyncio.wait({refreshing})
            if not self._abandoned:
                await self._logs.deliver(outputs)
            await asyncio.to_thread(shutil.rmtree, request.work_dir, ignore_errors=True)

    async def _refuse(self, problem: str) -> Outcome:
        """Fail a step that cannot run, as if what it names had said so."""
        if state_of(self.step) == StepState.PENDING:
            self._move(StepState.RUNNING)
        self._logs.note("Step failed with exitCode 1")
        await self._logs.deliver_text(problem)
        return self._failed(problem)

    def _failed(self, message: str) -> Outcome:
        failure = {"Reason": _UNKNOWN, "Message": message}
        if uri := self._logs.uri("stderr"):
            failure["LogFile"] = uri
        return Outcome(StepState.FAILED, failure=failure)

    def _settle(self, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            outcome = self._stopped
        elif error := task.exception():
            log.error("Step %s ended with an error of the service", self.step["Id"], exc_info=error)
            outcome = self._failed(f"Internal error of the local service: {error}")
        else:
            outcome = task.result()
        if not self._abandoned:
            self._move(*outcome)
            self._on_end(self)

    def _move(self, state: StepState, message: str = "", failure: Record | None = None) -> None:
        move_step(self.step, state, message, failure)
        self._around.events.step_changed(self._cluster, self.step)
