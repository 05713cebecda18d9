"""Step Functions: definitions that AWS would refuse are refused.

ministack checks nothing but JSONata syntax, and that only in its API. `problem_of` finds what else makes a
definition invalid; it is asked by CreateStateMachine, UpdateStateMachine, ValidateStateMachineDefinition and
CloudFormation.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, json_response
from ministack.services import stepfunctions

from emrp.local.patches.anchors import replace

State = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

_STATE_TYPES = frozenset({"Pass", "Task", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"})
_WITHOUT_NEXT = frozenset({"Choice", "Succeed", "Fail"})
_REQUIRED = {"Task": "Resource", "Choice": "Choices", "Parallel": "Branches"}
_ONLY_JSONATA = frozenset({"Arguments", "Output", "Items"})
_ONLY_JSONPATH = frozenset(
    {"InputPath", "OutputPath", "Parameters", "ResultSelector", "ResultPath", "ItemsPath", "SecondsPath"}
    | {"TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath", "MaxConcurrencyPath", "ErrorPath", "CausePath"}
)


def install() -> None:
    """Check every definition before it is stored."""
    replace(stepfunctions, "_validate_definition_jsonata", "a5ec092b2c8d", _checking)
    replace(stepfunctions, "_validate_state_machine_definition", "91730eff8585", lambda _: _validate)
    stepfunctions._state_machines = _CheckedStateMachines.from_dict(stepfunctions._state_machines.to_dict())


def problem_of(definition: str) -> str | None:
    """Name the first thing that is wrong with the structure of a definition."""
    try:
        machine = json.loads(definition)
    except ValueError as error:
        return f"INVALID_JSON_DESCRIPTION: {error}"
    if not isinstance(machine, dict):
        return "SCHEMA_VALIDATION_FAILED: A definition must be a JSON object at /"
    return next(_problems_of_machine(machine, "", machine.get("QueryLanguage", "JSONPath")), None)


def _problems_of_machine(machine: dict[str, Any], path: str, language: str) -> Iterator[str]:
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield f"SCHEMA_VALIDATION_FAILED: The field [States] is required at {path or '/'}"
        return
    if machine.get("StartAt") not in states:
        yield f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {machine.get('StartAt')} at {path}/StartAt"
        return
    reachable = {machine["StartAt"]}
    for name, state in states.items():
        at = f"{path}/States/{name}"
        if not isinstance(state, dict) or state.get("Type") not in _STATE_TYPES:
            yield f"SCHEMA_VALIDATION_FAILED: A state must have one of the types {sorted(_STATE_TYPES)} at {at}/Type"
            return
        for field, target in _transitions(state):
            reachable.add(target)
            if target not in states:
                yield f"MISSING_TRANSITION_TARGET: Missing '{field}' target: {target} at {at}/{field}"
        yield from _problems_of_state(state, at, state.get("QueryLanguage", language))
    for name in states:
        if name not in reachable:
            yield f'MISSING_TRANSITION_TARGET: State "{name}" is not reachable. at {path}/States/{name}'


def _transitions(state: State) -> Iterator[tuple[str, str]]:
    for field in ("Next", "Default"):
        if field in state:
            yield field, state[field]
    for field in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(field, [])):
            yield f"{field}[{index}]/Next", rule.get("Next")


def _problems_of_state(state: State, at: str, language: str) -> Iterator[str]:
    kind = state["Type"]
    if kind not in _WITHOUT_NEXT and ("Next" in state) == bool(state.get("End")):
        yield f"SCHEMA_VALIDATION_FAILED: Exactly one of the fields [Next, End] is required at {at}"
    required = _REQUIRED.get(kind)
    if required and not state.get(required):
        yield f"SCHEMA_VALIDATION_FAILED: The field [{required}] is required at {at}"
    foreign = _ONLY_JSONPATH if language == "JSONata" else _ONLY_JSONATA
    for field in sorted(foreign & state.keys()):
        yield f"SCHEMA_VALIDATION_FAILED: The field '{field}' is not supported by query language {language} at {at}"
    yield from _problems_of_durations(state, at)
    for field in ("Retry", "Catch"):
        for index, rule in enumerate(state.get(field, [])):
            if not rule.get("ErrorEquals"):
                yield f"SCHEMA_VALIDATION_FAILED: The field [ErrorEquals] is required at {at}/{field}[{index}]"
    for branch, branch_at in _branches(state, at):
        yield from _problems_of_machine(branch, branch_at, language)


def _problems_of_durations(state: State, at: str) -> Iterator[str]:
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield f"SCHEMA_VALIDATION_FAILED: HeartbeatSeconds must be less than TimeoutSeconds at {at}"


def _branches(state: State, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    if state["Type"] == "Parallel":
        for index, branch in enumerate(state.get("Branches", [])):
            yield branch, f"{at}/Branches[{index}]"
    if state["Type"] == "Map":
        field = "Iterator" if "Iterator" in state else "ItemProcessor"
        yield state.get(field, {}), f"{at}/{field}"


def _refusal(problem: str) -> str:
    return f"Invalid State Machine Definition: '{problem}'"


def _checking(problem_of_jsonata: Callable[[object], str | None]) -> Callable[[object], str | None]:
    def problem(definition: object) -> str | None:
        found = problem_of(definition) if isinstance(definition, str) else None
        return _refusal(found) if found else problem_of_jsonata(definition)

    return problem


class _CheckedStateMachines(AccountRegionScopedDict):  # type: ignore[misc]
    """ministack's store of state machines, into which CloudFormation puts its own without asking the API."""

    __slots__ = ()

    def __setitem__(self, arn: str, state_machine: dict[str, Any]) -> None:
        if problem := stepfunctions._validate_definition_jsonata(state_machine["definition"]):
            raise ValueError(f'Resource handler returned message: "{problem}" (HandlerErrorCode: InvalidRequest)')
        super().__setitem__(arn, state_machine)


def _validate(data: dict[str, Any]) -> Response:
    problem = stepfunctions._validate_definition_jsonata(data.get("definition"))
    diagnostics = [{"severity": "ERROR", "code": "INVALID_DEFINITION", "message": problem}] if problem else []
    response: Response = json_response({"result": "FAIL" if problem else "OK", "diagnostics": diagnostics})
    return response
