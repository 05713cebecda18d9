"""Runs the state machines in moto's interpreter, with functions that do what the test says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_lambda
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
)
from moto.stepfunctions.parser.utils import TMP_THREADS

from tests.contract.cloud import ACCOUNT, REGION, function_folder, lambda_functions, resources, state_machines

PIPELINE, JOB_GROUP, JOB_RUN = "PipelineStateMachine", "JobGroupStateMachine", "JobRunStateMachine"
RUN_ID = "salaries-1"
_DEADLINE_SECONDS = 30
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/states"


@dataclass(frozen=True)
class Returns:
    """The function returns; a task token that it was given stays unanswered."""

    payload: Any = None


@dataclass(frozen=True)
class Raises:
    """The function raises an error of this class name."""

    error: str
    cause: str = ""


@dataclass(frozen=True)
class IsRefused:
    """Lambda itself fails with this code, and the function is not called."""

    code: str


@dataclass(frozen=True)
class Succeeds:
    """SendTaskSuccess is called with the token that the function was given."""

    output: Any = None


@dataclass(frozen=True)
class Fails:
    """SendTaskFailure is called with the token that the function was given."""

    error: str
    cause: str = ""


Behaviour = Returns | Raises | IsRefused | Succeeds | Fails


def plan_of(*jobs: str, group: int = 1, ends_at: float | None = None) -> Returns:
    """Let Plan Run find these jobs, in groups of some size."""
    groups = [list(jobs[start : start + group]) for start in range(0, len(jobs), group)]
    return Returns({"runId": RUN_ID, "jobs": groups, "endsAt": ends_at})


@dataclass(frozen=True)
class Execution:
    """How an execution went; `path` has the states in the order in which they were entered."""

    status: str
    error: str | None
    cause: str | None
    path: list[str]
    input: dict[str, Any]


class Interpreter:
    """The state machines, and the functions that they call.

    `functions` says what each call of a function does: under `add_job_run/<job>` for one job, under `add_job_run`
    for all others. The last behaviour lasts.
    """

    def __init__(self, functions: Mapping[str, Sequence[Behaviour]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.functions = dict(functions)
        self._calls: list[tuple[str, dict[str, Any]]] = []
        self._states = boto3.client("stepfunctions", region_name=REGION)
        self._arns: dict[str, str] = {}
        for name in (JOB_RUN, JOB_GROUP, PIPELINE):  # the outer ones name the inner ones
            created = self._states.create_state_machine(
                name=name, definition=_definition(name, self._arns), roleArn=_ROLE
            )
            self._arns[name] = created["stateMachineArn"]
        task = state_task_service_lambda.StateTaskServiceLambda
        monkeypatch.setattr(task, "_eval_service_task", self._invoke)
        self._threads_before = len(TMP_THREADS)

    def stop(self) -> None:
        """End the executions that nobody waits for any more, such as those of a run whose time is over."""
        for arn in self._arns.values():
            for execution in self._states.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]:
                self._states.stop_execution(executionArn=execution["executionArn"])
        for thread in TMP_THREADS[self._threads_before :]:
            thread.join(_DEADLINE_SECONDS)
            assert not thread.is_alive(), f"an execution did not stop in {_DEADLINE_SECONDS} s"

    def run_pipeline(self) -> Execution:
        """Run the outer machine to its end."""
        return self._run(PIPELINE, RUN_ID, {"pipeline": "salaries", "parameters": {"top": 3}})

    def run_job(self) -> Execution:
        """Run the inner machine to its end, alone."""
        return self._run(JOB_RUN, "process", {"runId": RUN_ID, "job": "process"})

    def job_runs(self) -> dict[str, Execution]:
        """Return the executions of the inner machine by job."""
        return {execution.input["job"]: execution for execution in self._executions(JOB_RUN)}

    def job_groups(self) -> list[list[str]]:
        """Return the jobs of each execution of the machine for groups."""
        return sorted(execution.input["jobs"] for execution in self._executions(JOB_GROUP))

    def calls_of(self, function: str) -> list[dict[str, Any]]:
        """Return the payloads that a function was called with."""
        return [payload for name, payload in self._calls if name == function]

    def _run(self, state_machine: str, name: str, run_input: dict[str, Any]) -> Execution:
        arn = self._arns[state_machine]
        position = len(TMP_THREADS)
        started = self._states.start_execution(stateMachineArn=arn, name=name, input=json.dumps(run_input))
        worker = TMP_THREADS[position]
        worker.join(_DEADLINE_SECONDS)
        assert not worker.is_alive(), f"the execution did not end in {_DEADLINE_SECONDS} s"
        return self._execution(started["executionArn"])

    def _executions(self, state_machine: str) -> list[Execution]:
        listed = self._states.list_executions(stateMachineArn=self._arns[state_machine])["executions"]
        return [self._execution(execution["executionArn"]) for execution in listed]

    def _execution(self, arn: str) -> Execution:
        described = self._states.describe_execution(executionArn=arn)
        events = self._states.get_execution_history(executionArn=arn)["events"]
        entered = [event["stateEnteredEventDetails"] for event in events if "stateEnteredEventDetails" in event]
        return Execution(
            status=described["status"],
            error=described.get("error"),
            cause=described.get("cause"),
            path=[state["name"] for state in entered],
            input=json.loads(described["input"]),
        )

    def _invoke(self, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any) -> None:
        """Take the place of moto's call of Lambda."""
        function = normalised_parameters["FunctionName"].rpartition(":")[2]
        payload = json.loads(normalised_parameters["Payload"])
        self._calls.append((function, payload))
        result = _perform(self._behaviour(function, payload.get("job")), payload, env.callback_pool_manager)
        env.stack.append({"StatusCode": 200, "Payload": result})

    def _behaviour(self, function: str, job: str | None) -> Behaviour:
        behaviours: Sequence[Behaviour] = self.functions.get(f"{function}/{job}") or self.functions[function]
        count = len([payload for payload in self.calls_of(function) if payload.get("job") == job])
        return behaviours[min(count, len(behaviours)) - 1]


def _perform(behaviour: Behaviour, payload: dict[str, Any], tokens: Any) -> Any:
    token = payload.get("taskToken")
    match behaviour:
        case Returns(result):
            return result
        case Succeeds(output):
            tokens.notify(callback_id=token, outcome=CallbackOutcomeSuccess(token, json.dumps(output)))
        case Fails(error, cause):
            tokens.notify(callback_id=token, outcome=CallbackOutcomeFailure(token, error, cause))
        case Raises(error, cause):
            failure = {"errorMessage": cause, "errorType": error, "stackTrace": []}
            raise lambda_eval_utils.LambdaFunctionErrorException("Unhandled", json.dumps(failure))
        case IsRefused(code):
            response: Any = {
                "Error": {"Code": code, "Message": ""},
                "ResponseMetadata": {"HTTPStatusCode": 500, "RequestId": "request"},
            }
            raise ClientError(response, "Invoke")
    return None


def _definition(name: str, arns: Mapping[str, str]) -> str:
    """Return a definition with the template's substitutions filled in; every heartbeat's time is over at once."""
    text = json.dumps(state_machines()[name])
    for placeholder, value in resources("AWS::Serverless::StateMachine")[name]["DefinitionSubstitutions"].items():
        match value:
            case {"Fn::GetAtt": [function, "Arn"]}:
                folder = function_folder(lambda_functions()[function])
                filled = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{folder}"
            case {"Ref": "AWS::Partition"}:
                filled = "aws"
            case {"Ref": reference}:
                filled = arns.get(reference, "0")
            case _:
                raise AssertionError(f"{name}: {placeholder} is neither an ARN nor a parameter")
        text = text.replace(f"${{{placeholder}}}", filled)
    return text
