"""A simulated Step Functions that runs the state machines of the project, and no others.

It reads their files, so what is retried, caught and waited for is what they say.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.step_functions import ObservedExecution, StepFunctions
from jsonata import jsonata

from tests.unit.conftest import ROOT
from tests.unit.simulation.happenings import Happenings, Timer

PIPELINE, JOB_GROUP, JOB_RUN = "pipeline", "job_group", "job_run"
_SUBSTITUTIONS = {
    "HeartbeatSeconds": "300",
    "RunningHeartbeatSeconds": "2400",
    "WaitingHeartbeatSeconds": "3600",
    "JobRunStateMachineArn": "job_run",
    "JobGroupStateMachineArn": "job_group",
    "Partition": "aws",
}

Outcome = tuple[str, Any]  # ("", output), or the name of an error and its cause
End = Callable[[Outcome], None]
Invoke = Callable[[str, Any, int, End], None]


class SimulatedStepFunctions(StepFunctions):
    """`invoke` calls a function by its resource name; `tell` hears how executions end.

    `refuse` says by state machine and input with which error a nested execution does not start, if it does not.
    """

    def __init__(self, happenings: Happenings, invoke: Invoke, tell: Callable[["Execution"], None]) -> None:
        self.executions: dict[str, Execution] = {}
        self.happenings = happenings
        self.invoke = invoke
        self.refuse: Callable[[str, Any], str | None] = lambda _machine, _input: None
        self._tell = tell
        self._waiting: dict[str, Task] = {}
        self._count = 0

    def start_execution(self, state_machine_arn: str, name: str, run_input: dict[str, Any]) -> bool:
        if self._arn(state_machine_arn, name) in self.executions:
            return False
        self.start(state_machine_arn, name, run_input, lambda _: None)
        return True

    def describe_execution(self, execution_arn: str) -> ObservedExecution | None:
        execution = self.executions.get(execution_arn)
        return execution.observed() if execution else None

    def list_executions(self, state_machine_arn: str, status: str, since: str | None = None) -> set[str]:
        machine = state_machine_arn.rpartition("emr-pipelines-")[2]
        found = [execution for execution in self.executions.values() if execution.machine == machine]
        return {
            execution.name
            for execution in found
            if execution.status == status and (since is None or execution.observed().started_at >= since)
        }

    def send_success(self, task_token: str, output: Mapping[str, Any]) -> None:
        self._finish(task_token, ("", output))

    def send_failure(self, task_token: str, error: type[Exception], cause: str) -> None:
        self._finish(task_token, (error.__name__, cause))

    def send_heartbeat(self, task_token: str) -> None:
        if task_token in self._waiting:
            self._waiting[task_token].beat()

    def start(self, machine: str, name: str, run_input: Any, on_end: End) -> "Execution":
        """Start an execution of a state machine, which is named as its file is."""
        execution = Execution(self, machine, self._arn(machine, name), run_input, on_end)
        self.executions[execution.arn] = execution
        self.happenings.after(0.01, execution.start)
        return execution

    def run(self, run_id: str) -> "Execution":
        """The execution of the outer machine with this name."""
        return self.executions[self._arn(PIPELINE, run_id)]

    def stop_execution(self, execution_arn: str, error: str, cause: str) -> None:
        self.happenings.after(0.01, lambda: self.executions[execution_arn].end("ABORTED", (error, cause)))

    def new_token(self, task: "Task") -> str:
        self._count += 1
        token = f"token{self._count}"
        self._waiting[token] = task
        return token

    def forget(self, token: str) -> None:
        self._waiting.pop(token, None)

    def ended(self, execution: "Execution") -> None:
        self._tell(execution)

    def _finish(self, task_token: str, outcome: Outcome) -> None:
        # The real one raises TaskTimedOut when nobody waits, which the gateway takes for granted.
        if task_token in self._waiting:
            self._waiting[task_token].finish(outcome)

    @staticmethod
    def _arn(machine: str, name: str) -> str:
        return f"arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-{machine}:{name}"


class Execution:
    """One execution; `status` is as DescribeExecution says it, `path` the states that were entered."""

    def __init__(self, machines: SimulatedStepFunctions, machine: str, arn: str, run_input: Any, on_end: End) -> None:
        self.machines, self.machine, self.arn, self.input = machines, machine, arn, run_input
        self.name = arn.rsplit(":", 1)[1]
        self.status = "RUNNING"
        self.error: str | None = None
        self.cause: str | None = None
        self.started, self.stopped = machines.happenings.seconds, 0.0
        self.path: list[str] = []
        self._on_end = on_end
        self._definition = _definition(machine)
        self._flow: Flow | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        if self.status != "RUNNING":
            return
        context = {"Execution": {"Id": self.arn, "Name": self.name, "Input": self.input}}
        limit = self._definition["TimeoutSeconds"]
        timed_out = ("States.Timeout", "")
        self._timer = self.machines.happenings.after(limit, lambda: self.end("TIMED_OUT", timed_out))
        self._flow = Flow(self, self._definition, context, self._finish)
        self._flow.enter(self._definition["StartAt"], self.input)

    def observed(self) -> ObservedExecution:
        """Return what DescribeExecution says."""
        at = self.machines.happenings.at
        stopped_at = iso_time(at(self.stopped)) if self.status != "RUNNING" else None
        return ObservedExecution(
            self.status, iso_time(at(self.started)), stopped_at, self.input, self.error, self.cause
        )

    def end(self, status: str, outcome: Outcome) -> None:
        if self.status != "RUNNING":
            return
        self.status = status
        self.stopped = self.machines.happenings.seconds
        if status != "SUCCEEDED":
            self.error, self.cause = (text or None for text in outcome)
        if self._timer:
            self._timer.cancel()
        if self._flow:
            self._flow.abort()
        self.machines.ended(self)
        self._on_end(outcome)

    def _finish(self, outcome: Outcome) -> None:
        self.end("FAILED" if outcome[0] else "SUCCEEDED", outcome)


class Flow:
    """The states of a machine, or those of one item of a Map, from the first to the last."""

    def __init__(self, execution: Execution, definition: dict[str, Any], context: dict[str, Any], on_end: End) -> None:
        self.execution = execution
        self.context = context
        self.has_ended = False
        self._states = definition["States"]
        self._on_end = on_end
        self._task: Task | None = None
        self._items: list[Flow] = []

    def evaluate(self, value: Any, scope: dict[str, Any]) -> Any:
        """Evaluate the JSONata in a value; `scope` is its $states."""
        milliseconds = self.execution.machines.happenings.now.timestamp() * 1000
        return _evaluate(value, {"states": scope, "millisecondsNow": milliseconds})

    def enter(self, name: str, state_input: Any) -> None:
        """Enter a state, unless the flow was aborted."""
        if self.has_ended:
            return
        self.execution.path.append(name)
        state, scope = self._states[name], {"input": state_input, "context": self.context}
        match state["Type"]:
            case "Task":
                self.attempt(state, scope, [0] * len(state.get("Retry", [])))
            case "Map":
                self._map(state, scope)
            case "Choice":
                met = (choice["Next"] for choice in state["Choices"] if self.evaluate(choice["Condition"], scope))
                self.enter(next(met, state["Default"]), state_input)
            case "Pass":
                self.leave(state, scope, state_input)
            case "Succeed":
                self._end(("", state_input))
            case "Fail":
                self._end(
                    (self.evaluate(state["Error"], scope) or "States.Fail", self.evaluate(state.get("Cause"), scope))
                )

    def attempt(self, state: dict[str, Any], scope: dict[str, Any], attempts: list[int]) -> None:
        """Begin a Task state, or begin it once more."""
        if not self.has_ended:
            self._task = Task(self, state, scope, attempts)
            self._task.start()

    def leave(self, state: dict[str, Any], scope: dict[str, Any], result: Any) -> None:
        """Go on after a state with its result."""
        output = self.evaluate(state["Output"], {**scope, "result": result}) if "Output" in state else result
        if state.get("End"):
            self._end(("", output))
        else:
            self.enter(state["Next"], output)

    def fail(self, state: dict[str, Any], scope: dict[str, Any], error: str, cause: Any) -> None:
        """Go on where the error is caught, or fail."""
        for catcher in state.get("Catch", []):
            if _matches(catcher, error):
                caught = {"Error": error, "Cause": cause} if cause else {"Error": error}  # as of a timeout
                output = (
                    self.evaluate(catcher["Output"], {**scope, "errorOutput": caught})
                    if "Output" in catcher
                    else caught
                )
                self.enter(catcher["Next"], output)
                return
        self._end((error, cause))

    def abort(self) -> None:
        """Stop whatever is going on."""
        self.has_ended = True
        self._abort_items()
        if self._task:
            self._task.abort()

    def _end(self, outcome: Outcome) -> None:
        if not self.has_ended:
            self.abort()
            self._on_end(outcome)

    def _abort_items(self) -> None:
        for flow in self._items:
            flow.abort()
        self._items = []

    def _map(self, state: dict[str, Any], scope: dict[str, Any]) -> None:
        waiting = list(enumerate(self.evaluate(state["Items"], scope)))
        results: list[Any] = [None] * len(waiting)
        running: set[int] = set()
        processor = state["ItemProcessor"]

        def more() -> None:
            while waiting and len(running) < state.get("MaxConcurrency", 40):
                index, value = waiting.pop(0)
                context = {**self.context, "Map": {"Item": {"Index": index, "Value": value}}}
                selected = {**scope, "context": context}
                running.add(index)
                flow = Flow(self.execution, processor, context, partial(ended, index))
                self._items.append(flow)
                flow.enter(processor["StartAt"], self.evaluate(state["ItemSelector"], selected))
            if not waiting and not running:
                self._items = []
                self.leave(state, scope, results)

        def ended(index: int, outcome: Outcome) -> None:
            running.discard(index)
            error, results[index] = outcome
            if error:
                self._abort_items()
                self.fail(state, scope, *outcome)
            else:
                more()

        more()


class Task:
    """One attempt at a Task state; `attempts` counts the retries of each of its retriers."""

    def __init__(self, flow: Flow, state: dict[str, Any], scope: dict[str, Any], attempts: list[int]) -> None:
        self._flow, self._state, self._attempts = flow, state, attempts
        self._machines = flow.execution.machines
        self._has_ended = False
        self._timers: list[Timer] = []
        self._heartbeat: Timer | None = None
        self._child: Execution | None = None
        self._token = ""
        self._scope = scope

    def start(self) -> None:
        resource = self._state["Resource"].removeprefix("arn:aws:states:::")
        scope = self._scope
        if resource.endswith(".waitForTaskToken"):
            self._token = self._machines.new_token(self)
            scope = {**scope, "context": {**scope["context"], "Task": {"Token": self._token}}}
        self._let_time_out("TimeoutSeconds", "States.Timeout")
        self.beat()
        if self._heartbeat:  # the rule of the Amazon States Language
            assert 0 < self._seconds("HeartbeatSeconds") < self._seconds("TimeoutSeconds")
        arguments = self._flow.evaluate(self._state["Arguments"], scope)
        if resource == "states:startExecution.sync:2":
            self._start_child(arguments["StateMachineArn"], arguments["Input"])
            return
        on_end = self._invoked if self._token else self._returned
        self._machines.invoke(arguments["FunctionName"], arguments["Payload"], sum(self._attempts), on_end)

    def _start_child(self, machine: str, child_input: Any) -> None:
        error = self._machines.refuse(machine, child_input)
        if error:
            self.finish((error, "It could not be started."))
            return
        name = f"{self._flow.execution.name}-{len(self._machines.executions)}"
        self._child = self._machines.start(machine, name, child_input, self._child_ended)

    def beat(self) -> None:
        """Begin to wait for the next heartbeat."""
        if self._heartbeat:
            self._heartbeat.cancel()
        self._heartbeat = self._let_time_out("HeartbeatSeconds", "States.HeartbeatTimeout")

    def finish(self, outcome: Outcome) -> None:
        """Succeed, or be retried, caught, or fail; whatever comes after the first time is ignored."""
        if self._has_ended:
            return
        self.abort()
        # The function that answers a token goes on; what follows from its answer comes a moment later.
        self._machines.happenings.after(0.001, lambda: self._go_on(outcome))

    def abort(self) -> None:
        self._has_ended = True
        self._machines.forget(self._token)
        for timer in self._timers:
            timer.cancel()
        if self._child:
            child, delay = self._child, self._machines.happenings.random.random()
            self._machines.happenings.after(delay, lambda: child.end("ABORTED", ("States.Aborted", "")))

    def _go_on(self, outcome: Outcome) -> None:
        error, result = outcome
        if self._flow.has_ended:
            return
        if not error:
            self._flow.leave(self._state, self._scope, result)
            return
        for number, retrier in enumerate(self._state.get("Retry", [])):
            if _matches(retrier, error):
                if self._attempts[number] < retrier["MaxAttempts"]:
                    self._retry(number, retrier)
                    return
                break
        self._flow.fail(self._state, self._scope, error, result)

    def _retry(self, number: int, retrier: dict[str, Any]) -> None:
        delay = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** self._attempts[number]
        delay = min(delay, retrier.get("MaxDelaySeconds", delay))
        if retrier.get("JitterStrategy") == "FULL":
            delay *= self._machines.happenings.random.random()
        self._attempts[number] += 1
        self._machines.happenings.after(delay, lambda: self._flow.attempt(self._state, self._scope, self._attempts))

    def _let_time_out(self, field: str, error: str) -> Timer | None:
        if field not in self._state:
            return None
        timer = self._machines.happenings.after(self._seconds(field), lambda: self.finish((error, "")))
        self._timers.append(timer)
        return timer

    def _seconds(self, field: str) -> float:
        return float(self._flow.evaluate(self._state[field], self._scope))

    def _invoked(self, outcome: Outcome) -> None:
        if outcome[0]:
            self.finish(outcome)

    def _returned(self, outcome: Outcome) -> None:
        error, result = outcome
        self.finish(outcome if error else ("", {"Payload": result}))

    def _child_ended(self, outcome: Outcome) -> None:
        error, result = outcome
        self.finish(("States.TaskFailed", result) if error else ("", {"Output": result}))


def _matches(rule: dict[str, Any], error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


@cache
def _definition(machine: str) -> dict[str, Any]:
    text = (ROOT / "statemachine" / f"{machine}.asl.json").read_text()
    text = re.sub(r"\$\{(\w+)\}", lambda found: _SUBSTITUTIONS.get(found[1], found[1]), text)
    definition: dict[str, Any] = json.loads(text)
    return definition


def _evaluate(value: Any, bindings: dict[str, Any]) -> Any:
    """Evaluate the JSONata in a value of a state machine."""
    if isinstance(value, dict):
        return {name: _evaluate(inner, bindings) for name, inner in value.items()}
    if isinstance(value, list):
        return [_evaluate(inner, bindings) for inner in value]
    if not isinstance(value, str) or not value.startswith("{%"):
        return value
    return _compiled(value[2:-2].strip()).evaluate(None, bindings)


@cache
def _compiled(expression: str) -> Any:
    return jsonata.Jsonata(expression.replace("$millis()", "$millisecondsNow"))
