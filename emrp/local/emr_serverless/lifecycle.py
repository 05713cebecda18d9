"""An application that lives: it starts, takes job runs, stops when nobody needs it.

Holds what belongs to a running application (the executions under way, the line for its concurrent runs, the
timer of auto-stop) next to the record that the API shows.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, Self

from pydantic import TypeAdapter

from emrp.local.emr_serverless.application import DORMANT, Application, ApplicationState
from emrp.local.emr_serverless.drivers import Driver, WarmDrivers
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.execution import Execution, Surroundings
from emrp.local.emr_serverless.gate import Gate
from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.workers import Workers, capacity_of, fit
from emrp.local.spark import DriverRequest

State = dict[str, Any]

_S = ApplicationState
_APPLICATION = TypeAdapter(Application)
_JOB_RUN = TypeAdapter(JobRun)


class LiveApplication:
    """An application and its job runs."""

    def __init__(self, application: Application, surroundings: Surroundings) -> None:
        self.application = application
        self.job_runs: dict[str, JobRun] = {}
        self.executions: dict[str, Execution] = {}
        self._around = surroundings
        self._turn: Gate[Execution] = Gate(self._may_run)
        self._capacity: Gate[Workers] = Gate(self._has_capacity)
        self._auto_stop: asyncio.TimerHandle | None = None
        self._transition: asyncio.Task[None] | None = None
        self._warm_drivers: WarmDrivers | None = None

    @classmethod
    def restored(cls, state: State, surroundings: Surroundings) -> Self:
        """Bring back an application and its job runs; one that was started starts again."""
        live = cls(_APPLICATION.validate_python(state["application"]), surroundings)
        for saved in state["job_runs"].values():
            job_run = _JOB_RUN.validate_python(saved | {"application": live.application})
            live.job_runs[job_run.id] = job_run
            before = job_run.state
            if job_run.end_with_its_server():
                surroundings.events.job_run_changed(job_run, before)
        live.application.settle_after_restart()
        if live.application.state is _S.STARTED:
            live._begin(live._stay_started())
        return live

    def get_state(self) -> State:
        """Return what `restored` needs, as JSON."""
        return {
            **application_state(self.application),
            "job_runs": {job_run.id: job_run_state(job_run) for job_run in self.job_runs.values()},
        }

    def create(self) -> None:
        """Let a new application become CREATED."""
        self._publish()
        self._begin(self._become_created())

    def start(self) -> None:
        """Bring the application to STARTED, if it is not on its way there."""
        if self.application.state in {_S.STARTING, _S.STARTED}:
            return
        self._require("STARTED", _S.CREATED, _S.STOPPED)
        self._move(_S.STARTING)
        self._begin(self._become_started())

    def stop(self) -> None:
        """Bring the application to STOPPED, unless it has job runs; one that is STOPPED already stays so."""
        if self.application.state is _S.STOPPED:
            return  # Airflow's delete operator stops first, whatever the state is
        self._require("STOPPED", _S.STARTING, _S.STARTED)
        if self.executions:
            raise ApiError(
                "ValidationException",
                f"Application {self.application.id} cannot be STOPPED. "
                f"It has {len(self.executions)} job runs that have not ended.",
            )
        self._stop("")

    def delete(self) -> None:
        """Terminate the application; it must be CREATED or STOPPED."""
        state = self.application.state
        if state not in DORMANT:
            raise ApiError(
                "ValidationException",
                f"Application {self.application.id} must be in one of the following statuses "
                f"[CREATED, STOPPED]. Current status: {state}",
            )
        self._move(_S.TERMINATED)

    def submit(self, job_run: JobRun) -> None:
        """Take a job run; the application starts for it if it may."""
        state = self.application.state
        if state is _S.TERMINATED:
            raise ApiError(
                "ValidationException", f"Application {self.application.id} is terminated. Cannot start job run."
            )
        if state not in {_S.STARTING, _S.STARTED} and not self.application.auto_start:
            raise ApiError(
                "ConflictException",
                f"Application {self.application.id} is in state {state} and auto-start is disabled.",
            )
        self._keep_running()
        self.job_runs[job_run.id] = job_run
        self.executions[job_run.id] = Execution(
            job_run,
            self._around,
            turn=self._turn,
            capacity=self._capacity,
            start_driver=self._start_driver,
            on_end=self._execution_ended,
        )
        self._start_if_needed()

    def configuration_changed(self) -> None:
        """Apply limits that may have changed."""
        self._turn.recheck()
        if not self.executions:
            self._stop_when_idle()

    async def shut_down(self) -> None:
        """End everything of the application because the service ends."""
        self._keep_running()
        if self._transition:
            self._transition.cancel()
        await asyncio.gather(*(execution.abandon() for execution in list(self.executions.values())))

    async def _become_created(self) -> None:
        self._move(_S.CREATED)
        self._start_if_needed()

    async def _become_started(self) -> None:
        await self._initialise_capacity()
        self._move(_S.STARTED)
        self._work()

    async def _stay_started(self) -> None:
        await self._initialise_capacity()
        self._work()

    async def _initialise_capacity(self) -> None:
        self._warm_drivers = self._around.warm_drivers(self.application)
        if self._warm_drivers:
            await self._warm_drivers.start()

    async def _release_capacity(self) -> None:
        warm_drivers, self._warm_drivers = self._warm_drivers, None
        if warm_drivers:
            await warm_drivers.stop()

    async def _start_driver(self, request: DriverRequest) -> Driver:
        start_driver = self._warm_drivers.start_driver if self._warm_drivers else self._around.start_driver
        return await start_driver(request)

    def _work(self) -> None:
        self._turn.recheck()
        for execution in self._turn.line:
            execution.queue()
        self._stop_when_idle()

    async def _become_stopped(self) -> None:
        await self._release_capacity()
        self._move(_S.STOPPED)
        self._start_if_needed()

    def _start_if_needed(self) -> None:
        if self.executions and self.application.state in DORMANT:
            self.start()

    def _stop(self, details: str) -> None:
        self._keep_running()
        if self._transition:
            self._transition.cancel()  # it may still be starting
        self._move(_S.STOPPING, details)
        self._begin(self._become_stopped())

    def _may_run(self, _execution: Execution, running: Collection[Execution]) -> bool:
        limit = self.application.max_concurrent_runs
        return self.application.state is _S.STARTED and (limit is None or len(running) < limit)

    def _has_capacity(self, workers: Workers, others: Collection[Workers]) -> bool:
        return fit(workers, others, capacity_of(self.application.configuration))

    def _execution_ended(self, execution: Execution) -> None:
        del self.executions[execution.job_run.id]
        if not self.executions:
            self._stop_when_idle()

    def _stop_when_idle(self) -> None:
        self._keep_running()
        minutes = self.application.auto_stop_minutes
        if minutes is None or self.application.state is not _S.STARTED or self.executions:
            return
        details = f"Application stopped after {minutes} idle minutes."
        seconds = minutes * self._around.seconds_per_minute
        self._auto_stop = asyncio.get_running_loop().call_later(seconds, self._stop, details)

    def _keep_running(self) -> None:
        if self._auto_stop:
            self._auto_stop.cancel()
            self._auto_stop = None

    def _require(self, wanted: str, *states: ApplicationState) -> None:
        if self.application.state not in states:
            raise ApiError(
                "ValidationException",
                f"Application cannot be {wanted}. Applications must be in one of the following statuses: "
                f"[{', '.join(states)}]",
            )

    def _begin(self, transition: Coroutine[None, None, None]) -> None:
        self._transition = asyncio.create_task(transition)

    def _move(self, state: ApplicationState, details: str = "") -> None:
        self.application.move_to(state, details)
        self._publish()

    def _publish(self) -> None:
        self._around.events.application_changed(self.application)


def application_state(application: Application) -> State:
    """Return what is kept of an application besides its job runs, as JSON."""
    return {"application": _APPLICATION.dump_python(application, mode="json")}


def job_run_state(job_run: JobRun) -> State:
    """Return what is kept of a job run, as JSON."""
    state: State = _JOB_RUN.dump_python(job_run, mode="json", exclude={"application"})
    return state
