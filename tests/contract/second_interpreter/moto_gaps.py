"""What moto's Step Functions interpreter lacks to run our state machines, filled in from outside.

moto carries an interpreter of the Amazon States Language that shares no code with the one of the local AWS. Some of
its organs got lost when it was moved into moto: they are put back here. A name that moto no longer has fails every
test at once, with the name.
"""

import importlib
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import botocore.session
import pytest
from botocore import xform_name
from jsonata import Jsonata

_PARSER = "moto.stepfunctions.parser"
_SERVICES = f"{_PARSER}.asl.component.state.exec.state_task.service"
_SYNC_POLL_SECONDS = 0.01


def fill_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete moto's interpreter; the pauses between the attempts of a Retry are left out."""

    def fill(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        monkeypatch.setattr(owner, name, make(_anchor(owner, name)))

    jsonata = _module("asl.jsonata.jsonata")
    fill(jsonata, "_eval_jsonata", lambda _unset: lambda expression: Jsonata(expression).evaluate(None))

    parser = _anchor(_module("asl.parse.asl_parser"), "AmazonStateLanguageParser")
    fill(parser, "parse", lambda parse: staticmethod(cache(parse)))  # half a second for every execution

    fill(
        _module("asl.component.common.retry.retrier_decl"),
        "time",
        lambda _time: SimpleNamespace(sleep=_no_pause),
    )
    fill(_module("models").StepFunctionsParserBackend, "start_execution", _naming_nested_executions)

    service = _anchor(_module("state_task_service", _SERVICES), "StateTaskService")
    _anchor(service, "_to_boto_request")
    _anchor(service, "_from_boto_response")
    fill(service, "_normalise_parameters", lambda _does_nothing: _normalise_parameters)
    fill(service, "_normalise_response", lambda _does_nothing: _normalise_response)

    callback = _module("state_task_service_callback", _SERVICES)
    fill(callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", lambda _seconds: _SYNC_POLL_SECONDS)
    task = _anchor(callback, "StateTaskServiceCallback")
    fill(task, "_wait_for_task_token_heartbeat", _noticing_early_answers)
    fill(task, "_from_error", _naming_missed_heartbeats)

    fill(
        _module("asl.component.state.state").CommonStateField,
        "_set_next",
        _following_a_catch_to_the_same_state,
    )

    # A Fail state may pass on an error of Step Functions itself; moto takes that for a custom error of this name.
    errors = _module("asl.component.common.error_name.error_name")
    fill(_module("asl.component.state.fail.state_fail"), "CustomErrorName", lambda _custom: errors.ErrorName)


def _module(name: str, package: str = _PARSER) -> Any:
    try:
        return importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        pytest.fail(f"moto has changed: {error}. See tests/contract/second_interpreter/moto_gaps.py.")


def _anchor(owner: Any, name: str) -> Any:
    if not hasattr(owner, name):
        pytest.fail(
            f"moto has changed: no {owner.__name__}.{name}. See tests/contract/second_interpreter/moto_gaps.py."
        )
    return getattr(owner, name)


def _no_pause(_seconds: float) -> None:
    """Stand in for time.sleep."""


def _naming_nested_executions(start_execution: Callable[..., Any]) -> Callable[..., Any]:
    """Step Functions makes up the name of a nested execution that was given none; moto calls them all None."""

    def start(self: Any, state_machine_arn: str, name: str | None = None, *arguments: Any, **options: Any) -> Any:
        return start_execution(self, state_machine_arn, name or str(uuid4()), *arguments, **options)

    return start


def _noticing_early_answers(wait_for_heartbeat: Callable[..., Any]) -> Callable[..., Any]:
    """A function may answer its token before it returns; moto would see that only after a heartbeat's time."""

    def wait(self: Any, env: Any, callback_endpoint: Any, heartbeat_endpoint: Any) -> Any:
        return callback_endpoint.get_outcome() or wait_for_heartbeat(self, env, callback_endpoint, heartbeat_endpoint)

    return wait


def _naming_missed_heartbeats(from_error: Callable[..., Any]) -> Callable[..., Any]:
    """Step Functions calls a missed heartbeat States.HeartbeatTimeout; moto calls it States.Timeout."""
    timeouts = _module("asl.component.common.error_name.states_error_name")
    kinds = _module("asl.component.common.error_name.states_error_name_type").StatesErrorNameType
    callback = _module("asl.eval.callback.callback")

    def name_error(self: Any, env: Any, ex: Exception) -> Any:
        event = from_error(self, env, ex)
        if isinstance(ex, callback.HeartbeatTimeoutError):
            event.error_name = timeouts.StatesErrorName(kinds.StatesHeartbeatTimeout)
            event.event_details["taskTimedOutEventDetails"]["error"] = event.error_name.error_name
        return event

    return name_error


def _following_a_catch_to_the_same_state(set_next: Callable[..., Any]) -> Callable[..., Any]:
    """A state may catch an error and name itself as the next; moto takes that for no catch at all."""
    outcomes = _module("asl.component.common.catch.catch_outcome")

    def set_next_unless_caught(self: Any, env: Any) -> None:
        if not (env.stack and isinstance(env.stack[-1], outcomes.CatchOutcome)):
            set_next(self, env)

    return set_next_unless_caught


def _normalise_parameters(
    self: Any, parameters: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    """Bring `StateMachineArn` to the API's `stateMachineArn`."""
    self._to_boto_request(parameters, _operation(self, boto_service_name, service_action_name).input_shape)


def _normalise_response(
    self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    """Bring the API's `executionArn` to `ExecutionArn`."""
    self._from_boto_response(response, _operation(self, boto_service_name, service_action_name).output_shape)


def _operation(task: Any, boto_service_name: str | None, service_action_name: str | None) -> Any:
    service = botocore.session.get_session().get_service_model(task._get_boto_service_name(boto_service_name))
    action = task._get_boto_service_action(service_action_name)
    return service.operation_model(next(name for name in service.operation_names if xform_name(name) == action))
