"""Step Functions: executions that can end at any moment, and end once.

In ministack the threads of an execution sleep and wait unreachably: StopExecution and TimeoutSeconds do not get
to them, nor to nested executions, and a late result overwrites ABORTED. Here every wait goes through `wait_for`,
which the end of the execution interrupts, and every end goes through `conclude`, which the first one wins.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Event, Lock
from typing import Any

from ministack.core.responses import json_response, now_iso
from ministack.services import stepfunctions

from emrp.local.patches.anchors import edit, replace

Execution = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]


class ExecutionEnded(SystemExit):
    """Unwinds the threads of an execution that was stopped or has timed out (a SystemExit does so silently)."""


class RunningExecution:
    """What the threads of one execution, or of the branches of one state in it, have in common while they run."""

    def __init__(self, outer: "RunningExecution | None" = None) -> None:
        self.deadline: float | None = outer.deadline if outer else None
        self._outer = outer
        self._ended = False
        self._wakers: set[Event] = set()
        self._lock = Lock()

    @property
    def has_ended(self) -> bool:
        """Whether this or what it is a part of has ended."""
        return self._ended or (self._outer is not None and self._outer.has_ended)

    def wake_at_end(self, waker: Event) -> None:
        """Set the event when this execution ends (at once if it has)."""
        with self._lock:
            if self._ended:
                waker.set()
            else:
                self._wakers.add(waker)
        if self._outer is not None:
            self._outer.wake_at_end(waker)

    def forget(self, waker: Event) -> None:
        """Leave the event alone from now on."""
        with self._lock:
            self._wakers.discard(waker)
        if self._outer is not None:
            self._outer.forget(waker)

    def end(self) -> None:
        """Wake every thread that waits in this execution or for it."""
        with self._lock:
            self._ended = True
            for waker in self._wakers:
                waker.set()
            self._wakers.clear()


_current: ContextVar[RunningExecution] = ContextVar("_current", default=RunningExecution())  # noqa: B039
_current_record: ContextVar[Execution | None] = ContextVar("_current_record", default=None)
_task_deadline: ContextVar[float | None] = ContextVar("_task_deadline", default=None)

_running: dict[str, RunningExecution] = {}
_status_lock = Lock()
_append_event = stepfunctions._add_event  # ministack's; called with the lock held


def install() -> None:
    """Make executions interruptible."""
    edit(
        stepfunctions,
        "_run_execution",
        ("    time.sleep(0.15)\n", ""),
        (
            '    all_states = definition.get("States", {})\n',
            '    all_states = definition.get("States", {})\n    _start_timeout(definition)\n',
        ),
        (
            '            "Name": execution["name"],\n',
            '            "Name": execution["name"],\n            "RoleArn": sm["roleArn"],\n',
        ),
        (
            'while current_name and execution["status"] == "RUNNING":',
            "while current_name and _still_running():",
        ),
        (
            """            execution["status"] = "SUCCEEDED"
            execution["output"] = output_json
            execution["stopDate"] = now_iso()
            _add_event(execution, "ExecutionSucceeded", {
                "executionSucceededEventDetails": {"output": output_json},
            })
            _emit_execution_status_event(execution)
""",
            """            _conclude(execution, "Succeeded", output=output_json)
""",
        ),
        _start_timeout=_start_timeout,
        _still_running=_still_running,
        _conclude=conclude,
    )
    stepfunctions._run_execution = _registering(stepfunctions._run_execution)
    replace(stepfunctions, "_fail_execution", "e6da895fa0b7", lambda _: _fail_execution)
    replace(stepfunctions, "_stop_execution", "44d2d84ccd5c", _stopping)
    replace(stepfunctions, "_add_event", "b1db143ccd21", lambda _: _add_event)
    replace(stepfunctions, "_scaled_sleep", "5ed19df2efa9", lambda _: _scaled_sleep)
    edit(stepfunctions, "_invoke_activity", ("evt.wait(timeout=timeout)", "_wait_for(evt)"), _wait_for=wait_for)
    # The event has the format of DescribeExecution, which says why an execution was stopped.
    edit(
        stepfunctions,
        "_emit_execution_status_event",
        ('"error": execution.get("error") if failed', '"error": execution.get("error") if _has_cause(status)'),
        ('"cause": execution.get("cause") if failed', '"cause": execution.get("cause") if _has_cause(status)'),
        _has_cause=frozenset({"ABORTED", "FAILED"}).__contains__,
    )


def wait_for(event: Event, timeout: float | None = None) -> bool:
    """Wait in a thread of an execution for an event; False when the timeout is over first.

    Ends with ExecutionEnded when the execution ends, and with States.Timeout when the task in whose
    `task_timeout` it waits may not run longer.
    """
    running = _current.get()
    own_deadline = None if timeout is None else time.monotonic() + timeout
    deadlines = [at for at in (own_deadline, running.deadline, _task_deadline.get()) if at is not None]
    running.wake_at_end(event)
    event.wait(max(0.0, min(deadlines) - time.monotonic()) if deadlines else None)
    running.forget(event)
    _still_running()
    if event.is_set():
        return True
    if _is_over(_task_deadline.get()):
        raise stepfunctions._ExecutionError("States.Timeout", "The task ran longer than its TimeoutSeconds.")
    return False


@contextlib.contextmanager
def task_timeout(seconds: float | None) -> Iterator[None]:
    """Limit how long the waits of a task may take altogether."""
    token = _task_deadline.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _task_deadline.reset(token)


@contextlib.contextmanager
def branches() -> Iterator[None]:
    """Run the branches of a state, which `end_branches` in one of them ends all."""
    token = _current.set(RunningExecution(_current.get()))
    try:
        yield
    finally:
        _current.reset(token)


def end_branches() -> None:
    """Leave the threads of the innermost `branches` around this one."""
    _current.get().end()


def conclude(execution: Execution, outcome: str, **fields: str | None) -> bool:
    """Give an execution its outcome (Succeeded, Failed, Aborted, TimedOut); False when it has one already."""
    with _status_lock:
        if execution["status"] != "RUNNING":
            return False
        execution.update(fields, stopDate=now_iso())
        known = {name: value for name, value in fields.items() if value is not None}
        _append_event(execution, f"Execution{outcome}", {f"execution{outcome}EventDetails": known})
        execution["status"] = "TIMED_OUT" if outcome == "TimedOut" else outcome.upper()
        running = _running.pop(execution["executionArn"], None)
    if running is not None:
        running.end()
    stepfunctions._emit_execution_status_event(execution)
    return True


def _still_running() -> bool:
    """Leave the thread if its execution has ended or should have."""
    running = _current.get()
    record = _current_record.get()
    if record is not None and not running.has_ended and _is_over(running.deadline):
        conclude(record, "TimedOut", error="States.Timeout")
    if running.has_ended:
        raise ExecutionEnded
    return True


def _is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _start_timeout(definition: dict[str, Any]) -> None:
    if "TimeoutSeconds" in definition:
        _current.get().deadline = time.monotonic() + definition["TimeoutSeconds"]


def _registering(run: Callable[[str], None]) -> Callable[[str], None]:
    """Make a run known to those who may end it."""

    def run_execution(execution_arn: str) -> None:
        record = stepfunctions._executions.get(execution_arn)
        if record is None:
            return
        _current.set(registered(record))
        _current_record.set(record)
        _task_deadline.set(None)
        with contextlib.suppress(ExecutionEnded):
            run(execution_arn)

    return run_execution


def registered(record: Execution) -> RunningExecution:
    """Return what the threads of an execution share, from its start to its end."""
    with _status_lock:
        if record["status"] == "RUNNING":
            return _running.setdefault(record["executionArn"], RunningExecution())
    ended = RunningExecution()
    ended.end()
    return ended


def _fail_execution(execution: Execution, error: str, cause: str) -> None:
    conclude(execution, "Failed", error=error, cause=cause)


def _stopping(stop: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """Make StopExecution reach the threads of a running execution; ministack answers in the other cases."""

    def stop_execution(data: dict[str, Any]) -> Response:
        execution = stepfunctions._executions.get(data.get("executionArn"))
        if execution and conclude(execution, "Aborted", error=data.get("error"), cause=data.get("cause")):
            response: Response = json_response({"stopDate": execution["stopDate"]})
            return response
        return stop(data)

    return stop_execution


def _add_event(execution: Execution, event_type: str, details: dict[str, Any] | None = None) -> None:
    """Add events of parallel threads with numbers of their own, and none after the end."""
    with _status_lock:
        if execution["status"] == "RUNNING":
            _append_event(execution, event_type, details)


def _scaled_sleep(seconds: float) -> None:
    wait_for(Event(), seconds * stepfunctions._SFN_WAIT_SCALE)
