"""Everything that a run meets, simulated: functions that are killed, events that are lost, calls that are throttled."""

import importlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import pytest
from emr_pipelines import clock, inventory, sweep
from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import EmrPipelinesError, RequestRefusedError, TransientError
from emr_pipelines.gateways import held_notifications, pipeline_registry, run_record, run_slots
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots

from tests.unit.conftest import LambdaContext, example_event, use_gateways
from tests.unit.fakes_emr_on_ec2 import FakeStacks
from tests.unit.simulation.emr_on_ec2 import SimulatedEmrOnEc2
from tests.unit.simulation.emr_serverless import Behaviour, SimulatedEmrServerless
from tests.unit.simulation.happenings import Happenings, Killed, TimedOut
from tests.unit.simulation.memory_table import MemoryTable
from tests.unit.simulation.state_machines import JOB_GROUP, JOB_RUN, PIPELINE, End, Execution, SimulatedStepFunctions

_FUNCTION_TIMEOUT = 60.0
_SWEEP_TIMEOUT = 900.0
_SWEEP_EVERY = 900.0
_SWEEPS_AFTERWARDS = 10  # what belongs to an unknown run is left alone for an hour
_STALL = 3.0
_SLOW = 20.0  # longer than a short job takes
_BEFORE = {"killed before", "throttled"}  # the call takes effect
FAULTS = ("killed before", "killed after", "throttled", "answer lost", "times out", "slow")
_RETRY_DELAYS = (60.0, 120.0)  # of Lambda, for an event that a function could not handle
_FAULTY_ATTEMPTS = 4  # fewer than the state machines make
_FOLLOWED = {PIPELINE, JOB_GROUP, JOB_RUN}  # by the rule on the ends of executions
_FUNCTIONS = (
    "add_job_run",
    "check_status",
    "clean_up",
    "handle_state_change",
    "launch_application",
    "plan_run",
    "sweep",
    "wait_for_slot",
    "wait_for_upstream",
)


Gateway = TypeVar("Gateway")


@dataclass(frozen=True)
class Weather:
    """How bad it gets.

    `lost` and `repeated` are probabilities for each event; `killed`, `throttled` and `stalled` (it takes seconds) for
    each call of a gateway; `delay` of events and `latency` of calls are means in seconds; `burst` is the quota of
    StartJobRun.
    """

    lost: float = 0.0
    repeated: float = 0.0
    delay: float = 0.1
    killed: float = 0.0
    throttled: float = 0.0
    latency: float = 0.02
    stalled: float = 0.0
    burst: int = 25


@dataclass
class Published(DomainEvents):
    """The domain events that were published."""

    events: list[DomainEvent] = field(default_factory=list)

    def publish(self, event: DomainEvent) -> None:
        self.events.append(event)


class World:
    """A stack in which everything is simulated but the functions and the state machines."""

    def __init__(self, seed: int, weather: Weather, behave: Callable[[str, str], Behaviour]) -> None:
        self.happenings = Happenings(seed)
        self.weather = weather
        self.table = MemoryTable(lambda: self.happenings.now)
        self.retention_days = 90
        self.published = Published()
        self.emr = SimulatedEmrServerless(self.happenings, self._deliver_state_change, behave, weather.burst)
        self.clusters = SimulatedEmrOnEc2(self.happenings, self._deliver_state_change, self.emr)
        self.step_functions = SimulatedStepFunctions(self.happenings, self._invoke_for_task, self._deliver_end)
        self.crashes: list[BaseException] = []
        self.undelivered: list[Any] = []
        self._functions: dict[str, Callable[[Any], Any]] = {}
        self._invocation = threading.local()
        self.calls: list[str] = []
        self._sweeps_left = 0
        self._after_calls: dict[int, Callable[[], None]] = {}
        self._strikes: dict[int, str] = {}
        self.broken: set[tuple[str, str | None]] = set()  # functions that may do nothing, or only not for one job

    @property
    def record(self) -> RunRecord:
        """The run record, as somebody sees it who is never interrupted."""
        return _on_table(self._run_record, self.table)

    @property
    def slots(self) -> RunSlots:
        """The slots of the pipelines."""
        return _on_table(RunSlots, self.table)

    @property
    def registry(self) -> PipelineRegistry:
        """The registered pipelines."""
        return _on_table(PipelineRegistry, self.table)

    def _run_record(self, table_name: str) -> RunRecord:
        return RunRecord(table_name, self.retention_days)

    @contextmanager
    def functions_deployed(self) -> Iterator[None]:
        """Let the handlers of the functions use this world's gateways and time."""
        table = Unreliable(self, self.table)
        gateways = {
            "record": _on_table(self._run_record, table),
            "slots": _on_table(RunSlots, table),
            "held": _on_table(HeldNotifications, table),
            "registry": _on_table(PipelineRegistry, table),
            "emr": Unreliable(self, self.emr),
            "clusters": Unreliable(self, self.clusters),
            "stacks": Unreliable(self, FakeStacks()),
            "step_functions": Unreliable(self, self.step_functions),
            "events": Unreliable(self, self.published),
        }
        with pytest.MonkeyPatch.context() as patch:
            for module in (clock, inventory, sweep):
                patch.setattr(module, "datetime", _simulated_datetime(self.happenings))
            for name in _FUNCTIONS:
                module = importlib.import_module(f"{name}.app")
                use_gateways(patch, module, gateways)
                module.logger.setLevel(logging.CRITICAL)
                self._functions[name] = partial(module.handler, context=LambdaContext())
            try:
                yield
            finally:
                self.happenings.close()

    def after_calls(self, number: int, action: Callable[[], None]) -> None:
        """Let something happen when the functions have called so many gateways."""
        self._after_calls[number] = action

    def keep_swept(self) -> None:
        """Sweep at the schedule of the template from now on, and for a while when nothing else happens any more."""
        if self._sweeps_left == 0:
            self._sweep_later()
        self._sweeps_left = _SWEEPS_AFTERWARDS

    def _sweep_later(self) -> None:
        def sweep_now() -> None:
            self._sweeps_left = self._sweeps_left - 1 if self.happenings.is_over() else _SWEEPS_AFTERWARDS
            self._invoke_for_event("sweep", example_event("sweep.scheduled"), [*_RETRY_DELAYS], 0.0)
            if self._sweeps_left:
                self._sweep_later()

        self.happenings.after(_SWEEP_EVERY, sweep_now)

    def strike(self, number: int, fault: str) -> None:
        """Let the call of this number meet a fault."""
        self._strikes[number] = fault

    def call(self, name: str, operation: Callable[[], Any]) -> Any:
        """Call a gateway from a function, with all that can go wrong."""
        self.happenings.pause(self._latency())
        left = self._invocation.deadline - self.happenings.seconds
        if left < 0:
            raise TimedOut
        self.calls.append(f"{self._invocation.function}: {name}")
        number = len(self.calls)
        fault = self._strikes.get(number) or self._fault()
        if {(self._invocation.function, None), (self._invocation.function, self._invocation.job)} & self.broken:
            raise RequestRefusedError(name, "AccessDeniedException", "not authorized")
        result = None if fault in _BEFORE else operation()
        self._after_calls.get(number, lambda: None)()
        match fault:
            case "killed before" | "killed after":
                raise Killed
            case "throttled" | "answer lost":
                raise TransientError("Rate exceeded")
            case "times out":
                self.happenings.pause(left)
                raise TimedOut
            case "slow":
                self.happenings.pause(_SLOW)
        self.happenings.pause(self._latency())
        return result

    def _fault(self) -> str | None:
        if self._invocation.is_last_attempt:
            return None
        random, weather = self.happenings.random, self.weather
        if random.random() < weather.killed:
            return random.choice(["killed before", "killed after"])
        if random.random() < weather.throttled:
            return random.choice(["throttled", "answer lost"])
        return None

    def _latency(self) -> float:
        is_stalled = self.happenings.random.random() < self.weather.stalled
        return self._some(_STALL if is_stalled else self.weather.latency)

    def _some(self, mean: float) -> float:
        return self.happenings.random.expovariate(1 / mean)

    # Lambda

    def _invoke(self, function: str, event: Any, on_end: End, *, is_last_attempt: bool) -> None:
        def invoke() -> Any:
            timeout = _SWEEP_TIMEOUT if function == "sweep" else _FUNCTION_TIMEOUT
            self._invocation.deadline = self.happenings.seconds + timeout
            self._invocation.is_last_attempt = is_last_attempt
            self._invocation.function, self._invocation.job = function, event.get("job")
            return self._functions[function](event)

        def ended(result: Any, error: BaseException | None) -> None:
            if isinstance(error, TimedOut):
                on_end(("Sandbox.Timedout", "timed out"))
            elif isinstance(error, Killed):
                on_end(("Lambda.Unknown", "killed"))
            elif error:
                if not isinstance(error, EmrPipelinesError):
                    self.crashes.append(error)
                on_end((type(error).__name__, json.dumps({"errorMessage": str(error)})))
            else:
                on_end(("", result))

        self.happenings.call(invoke, ended)

    def _invoke_for_task(self, resource: str, payload: Any, attempt: int, on_end: End) -> None:
        function = re.sub(r"(?<!^)(?=[A-Z])", "_", resource.removesuffix("FunctionArn")).lower()
        is_last_attempt = attempt >= _FAULTY_ATTEMPTS
        self.happenings.after(0.01, lambda: self._invoke(function, payload, on_end, is_last_attempt=is_last_attempt))

    # EventBridge

    def _deliver_state_change(self, event: dict[str, Any]) -> None:
        if self.happenings.random.random() >= self.weather.lost:
            self._deliver("handle_state_change", event)

    def _deliver_end(self, execution: Execution) -> None:
        if execution.status == "SUCCEEDED" or execution.machine not in _FOLLOWED:
            return
        event = example_event("clean_up.execution_aborted")
        detail = {
            "executionArn": execution.arn,
            "stateMachineArn": execution.arn.replace(":execution:", ":stateMachine:").rpartition(":")[0],
            "name": execution.name,
            "status": execution.status,
            "input": json.dumps(execution.input),
            "error": execution.error if execution.status == "FAILED" else None,
            "cause": execution.cause if execution.status == "FAILED" else None,
        }
        self._deliver("clean_up", {**event, "detail": {**event["detail"], **detail}})

    def _deliver(self, function: str, event: dict[str, Any]) -> None:
        times = 2 if self.happenings.random.random() < self.weather.repeated else 1
        for _ in range(times):
            self._invoke_for_event(function, event, [*_RETRY_DELAYS], self._some(self.weather.delay))

    def _invoke_for_event(self, function: str, event: dict[str, Any], retries: list[float], delay: float) -> None:
        def ended(outcome: tuple[str, Any]) -> None:
            if not outcome[0]:
                return
            if retries:
                self._invoke_for_event(function, event, retries[1:], retries[0])
            else:
                self.undelivered.append((function, event, outcome))

        self.happenings.after(delay, lambda: self._invoke(function, event, ended, is_last_attempt=not retries))


class Unreliable:
    """A gateway whose every method can fail, or be the last that its function calls."""

    def __init__(self, world: World, gateway: object) -> None:
        self._world, self._gateway = world, gateway

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._gateway, name)
        return lambda *args, **named: self._world.call(name, lambda: method(*args, **named))


def _on_table(gateway: Callable[[str], Gateway], table: object) -> Gateway:
    with pytest.MonkeyPatch.context() as patch:
        for module in (held_notifications, pipeline_registry, run_record, run_slots):
            patch.setattr(module, "Table", lambda *_: table)
        return gateway("runs")


def _simulated_datetime(happenings: Happenings) -> type[datetime]:
    class SimulatedDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return happenings.now.astimezone(tz)

    return SimulatedDatetime
