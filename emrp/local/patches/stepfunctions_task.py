"""Step Functions: how a Task state runs, waits, times out and is retried.

ministack swallows the failure of what a `.waitForTaskToken` task calls, ignores HeartbeatSeconds, uses one task
token for all attempts, limits every retry delay to a minute whatever MaxDelaySeconds and JitterStrategy say, and
runs nested executions inside the parent's thread, where no status event tells of them.
"""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

from emrp.local.patches.anchors import edit, replace
from emrp.local.patches.lambda_turns import Turn, holding, join_line
from emrp.local.patches.stepfunctions_execution import (
    ExecutionEnded,
    Response,
    conclude,
    registered,
    task_timeout,
    wait_for,
)

Context = dict[str, Any]
State = dict[str, Any]
Action = Callable[[dict[str, Any]], Response]

# Wildcards do not reach errors that end an execution in any case.
_TERMINAL_ERRORS = frozenset({"States.DataLimitExceeded", "States.Runtime"})
_UUID_LENGTH = 36
_INVOKE = "arn:aws:states:::lambda:invoke"


def install() -> None:
    """Make Task states behave as on AWS."""
    edit(
        stepfunctions,
        "_execute_task",
        ('    if is_callback:\n        ctx["Task"] = {"Token": new_uuid()}\n', ""),
        (
            '        ctx["State"]["RetryCount"] = sum(retry_counts.values())\n',
            (
                '        ctx["State"]["RetryCount"] = sum(retry_counts.values())\n'
                '        if is_callback:\n            ctx["Task"] = {"Token": new_uuid()}\n'
            ),
        ),
        (
            """            if is_callback:
                task_result = _invoke_with_callback(
                    resource, effective, ctx["Task"]["Token"], state_def)
            # Skip activities: their timeout starts when a worker gets the task, not here
            elif "TimeoutSeconds" in state_def and ":activity:" not in resource:
                task_result = _invoke_resource_with_timeout(
                    resource, effective, state_def["TimeoutSeconds"])
            else:
                task_result = _invoke_resource(resource, effective)
""",
            "            task_result = _run_task(state_def, raw_input, effective, ctx)\n",
        ),
        ("_scaled_sleep(min(sleep_sec, 60))", "_scaled_sleep(_retry_delay(retrier, count))"),
        _run_task=_run_task,
        _retry_delay=retry_delay,
    )
    edit(
        stepfunctions,
        "_with_retry_and_catch",
        (
            '_scaled_sleep(min(interval * (retrier.get("BackoffRate", 2.0) ** count), 60))',
            "_scaled_sleep(_retry_delay(retrier, count))",
        ),
    )
    replace(stepfunctions, "_error_matches", "519b9dc729c5", lambda _: _error_matches)
    replace(
        stepfunctions,
        "_invoke_nested_start_execution_sync",
        "d9f13c4aabed",
        lambda _: _run_nested_execution,
    )
    replace(stepfunctions, "_send_task_success", "12eff48bce57", _answering)
    replace(stepfunctions, "_send_task_failure", "c2a489b4ed33", _answering)
    replace(stepfunctions, "_send_task_heartbeat", "56879a4655d1", _answering)


def _run_task(state: State, raw_input: object, arguments: object, context: Context) -> object:
    """Run one attempt of a Task state within its TimeoutSeconds and HeartbeatSeconds."""
    resource: str = state["Resource"]
    seconds = partial(_seconds, state, raw_input=raw_input, context=context)
    timeout = seconds("TimeoutSeconds")
    turn = _turn_to_invoke(resource, arguments)
    with task_timeout(timeout):
        if ".waitForTaskToken" in resource:
            called = resource.replace(".waitForTaskToken", "")
            return _call_and_wait(called, arguments, context["Task"]["Token"], seconds("HeartbeatSeconds"), turn)
        if turn is None and (timeout is None or ".sync" in resource or ":activity:" in resource):
            return stepfunctions._invoke_resource(resource, arguments)  # waits by itself, if at all
        finished = Event()
        call = _call(resource, arguments, turn)
        call.add_done_callback(lambda _: finished.set())
        wait_for(finished)
        return call.result()


def _turn_to_invoke(resource: str, arguments: Any) -> Turn | None:  # noqa: ANN401 -- a task's, whatever they are
    """Wait for the turn of a task that invokes a function: that time is this machine's, not the task's."""
    if not resource.startswith(_INVOKE) or not isinstance(arguments, dict) or "FunctionName" not in arguments:
        return None
    turn = join_line(arguments["FunctionName"])
    try:
        wait_for(turn.came)
    except BaseException:
        turn.leave()
        raise
    return turn


def _seconds(state: State, field: str, *, raw_input: object, context: Context) -> float | None:
    """Read a duration that is a number, a JSONata expression or a path to one."""
    path = state.get(f"{field}Path")
    if path is not None:
        effective = stepfunctions._apply_input_path(state, raw_input, context)
        value = stepfunctions._resolve_path_or_ctx(path, effective, context)
    elif field in state:
        value = stepfunctions._jsonata_state_field(state, field, "number", raw_input, context)
    else:
        return None
    return float(value)


def _call(resource: str, arguments: object, turn: Turn | None) -> Future[object]:
    """Call what a task names in a thread of its own, so that the task can end before the call does."""
    call: Future[object] = Future()

    def run() -> None:
        try:
            with holding(turn) if turn else nullcontext():
                result = stepfunctions._invoke_resource(resource, arguments)
            call.set_result(result)
        except Exception as error:
            call.set_exception(error)

    Thread(target=copy_context().run, args=(run,), daemon=True, name="sfn-task").start()
    return call


def _call_and_wait(resource: str, arguments: object, token: str, heartbeat: float | None, turn: Turn | None) -> object:
    """Call a resource with a task token and wait for the answer; a call that fails is one."""
    answer: dict[str, Any] = {"event": Event(), "result": None, "error": None, "beat_at": time.monotonic()}
    stepfunctions._task_tokens[token] = answer
    try:
        _call(resource, arguments, turn).add_done_callback(partial(_answer_failure, answer))
        while not wait_for(answer["event"], _until_beat_is_missed(answer, heartbeat)):
            if heartbeat is not None and time.monotonic() >= answer["beat_at"] + heartbeat:
                raise stepfunctions._ExecutionError(
                    "States.HeartbeatTimeout", f"No heartbeat was sent for {heartbeat:g} seconds."
                )
    finally:
        stepfunctions._task_tokens.pop(token, None)
    if answer["error"]:
        raise stepfunctions._ExecutionError(answer["error"]["Error"], answer["error"]["Cause"])
    return json.loads(answer["result"])


def _until_beat_is_missed(answer: dict[str, Any], heartbeat: float | None) -> float | None:
    return None if heartbeat is None else answer["beat_at"] + heartbeat - time.monotonic()


def _answer_failure(answer: dict[str, Any], call: Future[object]) -> None:
    error = call.exception()
    if error is None or answer["event"].is_set():
        return
    if isinstance(error, stepfunctions._ExecutionError):
        answer["error"] = {"Error": error.error, "Cause": error.cause}
    else:
        answer["error"] = {"Error": "States.TaskFailed", "Cause": str(error)}
    answer["event"].set()


def _answering(send: Action) -> Action:
    """Make SendTask* refuse tokens of tasks that are over and output that is not JSON; note heartbeats."""

    def send_task(data: dict[str, Any]) -> Response:
        token = data.get("taskToken", "")
        answer = stepfunctions._task_tokens.get(token)
        if answer is None or answer["event"].is_set():
            return _unknown_token(token)
        try:
            json.loads(data.get("output", "{}"))
        except ValueError as error:
            return _error("InvalidOutput", f"Invalid Output: '{error}'")
        answer["beat_at"] = time.monotonic()
        return send(data)

    return send_task


def _unknown_token(token: str) -> Response:
    if len(token) == _UUID_LENGTH:
        return _error("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    return _error("InvalidToken", "Invalid Token: 'Invalid token'")


def _error(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response


def retry_delay(retrier: dict[str, Any], retries: int) -> float:
    """Return how many seconds to wait before another attempt."""
    delay: float = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        return random.uniform(0, delay)  # noqa: S311 -- spreads load, protects nothing
    return delay


def _error_matches(error_equals: list[str], error: str) -> bool:
    if error in error_equals:
        return True
    if error == "States.HeartbeatTimeout" and "States.Timeout" in error_equals:
        return True
    if "States.ALL" in error_equals and error not in _TERMINAL_ERRORS:
        return True
    return "States.TaskFailed" in error_equals and error not in _TERMINAL_ERRORS | {"States.Timeout"}


def _run_nested_execution(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run an execution for a `startExecution.sync` task; it ends with the task that started it."""
    started = stepfunctions._invoke_nested_start_execution(resource, arguments)
    child = stepfunctions._executions[started["ExecutionArn"]]
    finished = Event()
    registered(child).wake_at_end(finished)
    try:
        wait_for(finished)
    except (ExecutionEnded, stepfunctions._ExecutionError):
        conclude(child, "Aborted", cause="The execution that started this one no longer waits for it.")
        raise
    described = _described(child)
    if child["status"] != "SUCCEEDED":
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(described))
    if ".sync:2" in resource:
        described["Output"] = json.loads(child["output"])
    return described


def _described(execution: dict[str, Any]) -> dict[str, Any]:
    """Describe an execution that has ended as its parent's task sees it."""
    described = {
        "ExecutionArn": execution["executionArn"],
        "Input": execution["input"],
        "InputDetails": {"Included": True},
        "Name": execution["name"],
        "StartDate": stepfunctions._iso_to_epoch_ms(execution["startDate"]),
        "StateMachineArn": execution["stateMachineArn"],
        "Status": execution["status"],
        "StopDate": stepfunctions._iso_to_epoch_ms(execution["stopDate"]),
    }
    if execution["output"] is not None:
        described |= {"Output": execution["output"], "OutputDetails": {"Included": True}}
    ending = {"Error": execution.get("error"), "Cause": execution.get("cause")}
    return described | {name: value for name, value in ending.items() if value}
