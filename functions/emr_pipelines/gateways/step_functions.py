"""Step Functions: start a run, and answer the task that waits with a task token."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.aws import client, translated_errors

# The task has been answered before, or its execution is over: there is nobody left to tell.
_NOBODY_WAITS = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


@dataclass(frozen=True)
class ObservedExecution:
    """What Step Functions says about an execution; `stopped_at` is None while it runs."""

    status: str
    started_at: str
    stopped_at: str | None
    run_input: Any
    error: str | None = None
    cause: str | None = None


class StepFunctions:
    """The calls that the functions make."""

    def __init__(self) -> None:
        self._states = client("stepfunctions")

    def start_execution(self, state_machine_arn: str, name: str, run_input: dict[str, Any]) -> bool:
        """Start an execution; return False when one of this name was started before."""
        with translated_errors():
            try:
                self._states.start_execution(
                    stateMachineArn=state_machine_arn, name=name, input=json.dumps(run_input, sort_keys=True)
                )
            except self._states.exceptions.ExecutionAlreadyExists:
                return False
        return True

    def describe_execution(self, execution_arn: str) -> ObservedExecution | None:
        """Return how an execution stands, or None when there is none (any more)."""
        with translated_errors():
            try:
                execution = self._states.describe_execution(executionArn=execution_arn)
            except self._states.exceptions.ExecutionDoesNotExist:
                return None
        return ObservedExecution(
            execution["status"],
            iso_time(execution["startDate"]),
            iso_time(execution["stopDate"]) if execution.get("stopDate") else None,
            json.loads(execution.get("input") or "{}"),
            execution.get("error"),
            execution.get("cause"),
        )

    def list_executions(self, state_machine_arn: str, status: str, since: str | None = None) -> set[str]:
        """Return the names of the executions with a status, all of them or those that started since a time.

        They are listed "by time", the latest first: that may be the time of the end.
        """
        names: set[str] = set()
        earliest = datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=UTC)
        with translated_errors():
            pages = self._states.get_paginator("list_executions").paginate(
                stateMachineArn=state_machine_arn, statusFilter=status
            )
            for page in pages:
                for execution in page["executions"]:
                    if (execution.get("stopDate") or execution["startDate"]) < earliest:
                        return names
                    if execution["startDate"] >= earliest:
                        names.add(execution["name"])
        return names

    def stop_execution(self, execution_arn: str, error: str, cause: str) -> None:
        """Stop an execution; harmless when it has ended."""
        with translated_errors():
            try:
                self._states.stop_execution(executionArn=execution_arn, error=error, cause=cause)
            except (self._states.exceptions.ExecutionDoesNotExist, self._states.exceptions.ValidationException):
                return

    def send_success(self, task_token: str, output: dict[str, Any]) -> None:
        """Let the waiting task succeed; harmless when nobody waits any more."""
        self._answer("send_task_success", taskToken=task_token, output=json.dumps(output))

    def send_failure(self, task_token: str, error: type[Exception], cause: str) -> None:
        """Let the waiting task fail with the name of `error`; harmless when nobody waits any more."""
        self._answer("send_task_failure", taskToken=task_token, error=error.__name__, cause=cause)

    def send_heartbeat(self, task_token: str) -> None:
        """Tell the waiting task that its job is alive; harmless when nobody waits any more."""
        self._answer("send_task_heartbeat", taskToken=task_token)

    def _answer(self, operation: str, **arguments: str) -> None:
        nobody_waits = tuple(getattr(self._states.exceptions, name) for name in _NOBODY_WAITS)
        with translated_errors():
            try:
                getattr(self._states, operation)(**arguments)
            except nobody_waits:
                return
