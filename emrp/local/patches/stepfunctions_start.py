"""Step Functions: StartExecution is safe to repeat and refuses what AWS refuses.

ministack calls every second use of a name an error and takes any name and any input.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions

from emrp.local.patches.anchors import replace

Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]

_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


def install() -> None:
    """Check a name and an input before an execution starts."""
    replace(stepfunctions, "_start_execution", "9923282fc76c", _checking)


def _checking(start: Action) -> Action:
    def start_execution(data: dict[str, Any]) -> Response:
        name, text = data.get("name"), data.get("input", "{}")
        if name is not None and not _NAME.fullmatch(name):
            return _error("InvalidName", f"Invalid Name: '{name}'")
        try:
            json.loads(text)
        except ValueError as error:
            return _error("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'")
        running = _execution_named(name, data.get("stateMachineArn", "")) if name else None
        if running and running["status"] == "RUNNING" and running["input"] == text:
            response: Response = json_response(
                {"executionArn": running["executionArn"], "startDate": running["startDate"]}
            )
            return response
        return start(data)

    return start_execution


def _execution_named(name: str, arn: str) -> dict[str, Any] | None:
    state_machine_arn = stepfunctions._resolve_state_machine_arn(arn)
    if state_machine_arn is None:
        return None
    prefix = state_machine_arn.replace(":stateMachine:", ":execution:")
    execution: dict[str, Any] | None = stepfunctions._executions.get(f"{prefix}:{name}")
    return execution


def _error(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response
