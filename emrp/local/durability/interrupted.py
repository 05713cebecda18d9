"""What was going on in a server that has ended has ended with it; whoever waits for it is told."""

import sys
from typing import Any

from ministack.core.arn import parse_arn
from ministack.core.responses import request_scope
from ministack.services import stepfunctions

from emrp.local.durability.replay import State

_REASON = "The local AWS ended while this was under way."
_FAILED = {"CREATE": "CREATE_FAILED", "UPDATE": "UPDATE_FAILED", "DELETE": "DELETE_FAILED"}


def running_executions(state: State) -> list[str]:
    """Return the executions that were running; ministack takes them as failed."""
    executions = state.get("executions")
    found = executions.all_values() if executions else []
    return [execution["executionArn"] for execution in found if execution["status"] == "RUNNING"]


def end_executions(arns: list[str]) -> None:
    """Have executions in their history and in an event what ministack has made of them."""
    for arn in arns:
        scope = parse_arn(arn)
        with request_scope(scope.account_id, scope.region):
            execution: dict[str, Any] = stepfunctions._executions[arn]
            execution |= {"status": "RUNNING", "error": "States.ServiceRestart", "cause": _REASON}
            stepfunctions._fail_execution(execution, execution["error"], _REASON)


def end_deployments() -> None:
    """Let stacks be updated or deleted again whose deployment has not been finished."""
    cloudformation = sys.modules.get("ministack.services.cloudformation")
    for stack in cloudformation._stacks.all_values() if cloudformation else []:
        verb, _, progress = stack["StackStatus"].partition("_")
        if progress.endswith("IN_PROGRESS") and verb != "REVIEW":
            stack |= {"StackStatus": _FAILED.get(verb, "UPDATE_FAILED"), "StackStatusReason": _REASON}
