"""A job run under way: one task from SUBMITTED to its end.

    application started -> its turn among the concurrent runs -> capacity -> a driver, as often as the retry
    policy allows -> SUCCESS or FAILED; or stopped from outside at any point -> CANCELLING -> CANCELLED

Every ending goes through `_settle`, and every state through `_move`, which publishes it.
"""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from emrp.local.emr_serverless.application import Application, ApplicationState
from emrp.local.emr_serverless.drivers import Driver, StartDriver, WarmDrivers, start_surely
from emrp.local.emr_serverless.events import Events
from emrp.local.emr_serverless.gate import Gate
from emrp.local.emr_serverless.job_run import ENDED_WITH_ITS_SERVER, JobRun, JobRunState
from emrp.local.emr_serverless.logs import AttemptLogs, LogStores
from emrp.local.emr_serverless.metering import REPORT_MINUTES, Meter
from emrp.local.emr_serverless.workers import Workers, capacity_of, workers_of
from emrp.local.spark import DriverRequest, InvalidJobDriver, failure_details

DEFAULT_GRACE_SECONDS = 5.0
_NO_ROOM_FOR_THE_JOB = "Job failed as application has exceeded maximumCapacity settings."
_NO_ROOM_FOR_WORKERS = (
    "Job failed due to Worker could not be allocated as the application has exceeded maximumCapacity."
)

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How an attempt or a job run ended."""

    state: JobRunState
    details: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What every job run of this process uses."""

    events: Events
    logs: LogStores
    start_driver: StartDriver
    warm_drivers: Callable[[Application], WarmDrivers | None]  # those of its initial capacity
    driver_environment: Callable[[JobRun], dict[str, str]]
    classifications: Callable[[JobRun], list[dict[str, Any]]]  # those that the service adds itself
    machine: Gate["Execution"]
    work_dir: Path
    seconds_per_minute: float = 60.0


class Execution:
    """Moves one job run to its end."""

    def __init__(
        self,
        job_run: JobRun,
        surroundings: Surroundings,
        *,
        turn: Gate["Execution"],
        capacity: Gate[Workers],
        start_driver: StartDriver,
        on_end: Callable[["Execution"], None],
    ) -> None:
        self.job_run = job_run
        self.driver: Driver | None = None
        self._around = surroundings
        self._turn = turn
        self._capacity = capacity
        self._start_driver = start_driver
        self._on_end = on_end
        self._stopped = Outcome(JobRunState.FAILED, ENDED_WITH_ITS_SERVER)
        self._grace_seconds = DEFAULT_GRACE_SECONDS
        self._queue_timeout: asyncio.TimerHandle | None = None
        self._meter = Meter(job_run, surroundings.events)
        self._around.events.job_run_changed(job_run, None)
        self._task = asyncio.create_task(self._run(), name=f"job run {job_run.id}")
        self._task.add_done_callback(self._settle)

    def queue(self) -> None:
        """Enter QUEUED: the application has started, but its concurrent runs are used up."""
        if self.job_run.state is not JobRunState.SUBMITTED:
            return
        self._move(JobRunState.QUEUED)
        minutes = self.job_run.application.queue_timeout_minutes
        self._queue_timeout = self._cancel_after(minutes, f"Job run timed out after {minutes} minutes in the queue.")

    def cancel(self, details: str, grace_seconds: float = DEFAULT_GRACE_SECONDS) -> None:
        """Cancel the job run; its driver has some time to end by itself."""
        if self._task.done() or self.job_run.state is JobRunState.CANCELLING:
            return
        self._move(JobRunState.CANCELLING, details)
        self._stopped = Outcome(JobRunState.CANCELLED, details)
        self._grace_seconds = grace_seconds
        self._task.cancel()

    async def abandon(self) -> None:
        """End the job run as FAILED because the service itself ends."""
        if self.job_run.state is not JobRunState.CANCELLING:
            self._grace_seconds = 0
            self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> Outcome:
        if self.job_run.application.state is ApplicationState.STARTED and not self._turn.is_open_for(self):
            self.queue()
        try:
            async with self._turn.enter(self):
                self._leave_queue()
                return await self._within_execution_timeout()
        finally:
            self._leave_queue()

    def _leave_queue(self) -> None:
        if self._queue_timeout:
            self._queue_timeout.cancel()
            self._queue_timeout = None

    async def _within_execution_timeout(self) -> Outcome:
        minutes = self.job_run.execution_timeout_minutes
        if not minutes:
            return await self._attempts()
        timeout = self._cancel_after(minutes, f"Job run timed out after {minutes} minutes.")
        try:
            return await self._attempts()
        finally:
            timeout.cancel()

    def _cancel_after(self, minutes: float, details: str) -> asyncio.TimerHandle:
        seconds = minutes * self._around.seconds_per_minute
        return asyncio.get_running_loop().call_later(seconds, self.cancel, details)

    async def _attempts(self) -> Outcome:
        self._move(JobRunState.PENDING)
        while True:
            outcome = await self._attempt()
            if outcome.state is JobRunState.SUCCESS or not self.job_run.may_retry():
                return outcome
            self._retry(outcome)

    def _retry(self, outcome: Outcome) -> None:
        previous = self.job_run.state
        failed = self.job_run.latest
        failed.move_to(outcome.state, outcome.details)
        self._meter.report(final=True)
        self.job_run.begin_next_attempt()
        self._meter = Meter(self.job_run, self._around.events)
        self._around.events.job_run_retried(self.job_run, failed)
        self._around.events.job_run_changed(self.job_run, previous)

    async def _attempt(self) -> Outcome:
        try:
            workers = workers_of(self.job_run)
            limit = capacity_of(self.job_run.application.configuration)
            if not workers.driver.fits_in(limit):
                return Outcome(JobRunState.FAILED, _NO_ROOM_FOR_THE_JOB)
            if not workers.allocated.fits_in(limit):
                return Outcome(JobRunState.FAILED, _NO_ROOM_FOR_WORKERS)
            async with self._capacity.enter(workers):
                workers.grow_into(limit, self._capacity.inside)
                self._move(JobRunState.SCHEDULED)
                async with self._around.machine.enter(self):
                    return await self._drive(workers)
        except InvalidJobDriver as error:
            return Outcome(JobRunState.FAILED, f"Job failed, the job driver is not valid: {error}")

    async def _drive(self, workers: Workers) -> Outcome:
        async with self._running_driver(workers) as driver:
            if exit_code := await driver.wait():
                return Outcome(JobRunState.FAILED, failure_details(exit_code, driver.stderr, driver.stdout))
            return Outcome(JobRunState.SUCCESS)

    @asynccontextmanager
    async def _running_driver(self, workers: Workers) -> AsyncIterator[Driver]:
        """Have a driver; at the end it is gone, its logs are where they belong and its use is counted."""
        attempt = self.job_run.latest
        request = self._driver_request()
        driver = await start_surely(self._start_driver, request)
        self.driver = driver
        self._move(JobRunState.RUNNING)
        interval = REPORT_MINUTES * self._around.seconds_per_minute
        logs = AttemptLogs(self.job_run, attempt, [driver.stdout, driver.stderr], self._around.logs)
        alongside = [
            asyncio.create_task(self._meter.report_regularly(workers, interval)),
            asyncio.create_task(logs.deliver_regularly()),
        ]
        try:
            yield driver
        except asyncio.CancelledError:
            await driver.kill(self._grace_seconds)
            raise
        finally:
            self.driver = None
            for task in alongside:
                task.cancel()
            self._meter.read(workers)
            await asyncio.wait(alongside)
            await logs.deliver(complete=True)
            await asyncio.to_thread(shutil.rmtree, request.work_dir, ignore_errors=True)

    def _driver_request(self) -> DriverRequest:
        job_run = self.job_run
        return DriverRequest(
            application_id=job_run.application.id,
            job_run_id=job_run.id,
            name=job_run.request.get("name") or job_run.id,
            job_driver=job_run.request["jobDriver"],
            configurations=[*self._around.classifications(job_run), *job_run.configuration["applicationConfiguration"]],
            work_dir=self._around.work_dir / job_run.id / str(job_run.latest.number),
            environment=self._around.driver_environment(job_run),
        )

    def _settle(self, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            outcome = self._stopped
        elif error := task.exception():
            log.error("Job run %s ended with an error of the service", self.job_run.id, exc_info=error)
            outcome = Outcome(JobRunState.FAILED, f"Internal error of the local service: {error}")
        else:
            outcome = task.result()
        self._move(*outcome)
        self._meter.report(final=True)
        self._on_end(self)

    def _move(self, state: JobRunState, details: str = "") -> None:
        previous = self.job_run.state
        self.job_run.latest.move_to(state, details)
        self._around.events.job_run_changed(self.job_run, previous)
