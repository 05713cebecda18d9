"""Definitions, starts and histories of executions."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import ROLE_ARN, LocalAwsUnderTest

NAP = {"StartAt": "Nap", "States": {"Nap": {"Type": "Wait", "Seconds": 600, "End": True}}}
PASS = {"StartAt": "Go", "States": {"Go": {"Type": "Pass", "End": True}}}


def _code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return refused.value.response["Error"]["Code"]


def test_execution_is_the_same_when_it_runs_and_is_started_again(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    stepfunctions = local_aws.client("stepfunctions")
    request = {"stateMachineArn": local_aws.create_state_machine(NAP), "name": unique("run"), "input": '{"a": 1}'}
    first, second = stepfunctions.start_execution(**request), stepfunctions.start_execution(**request)
    assert (first["executionArn"], first["startDate"]) == (second["executionArn"], second["startDate"])
    with pytest.raises(ClientError) as refused:
        stepfunctions.start_execution(**request | {"input": '{"a": 2}'})
    assert _code(refused) == "ExecutionAlreadyExists"
    stepfunctions.stop_execution(executionArn=first["executionArn"])


def test_execution_exists_already_when_one_of_its_name_has_ended(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    stepfunctions = local_aws.client("stepfunctions")
    request = {"stateMachineArn": local_aws.create_state_machine(PASS), "name": unique("run")}
    local_aws.ended(stepfunctions.start_execution(**request)["executionArn"])
    with pytest.raises(ClientError) as refused:
        stepfunctions.start_execution(**request)
    assert _code(refused) == "ExecutionAlreadyExists"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"name": "a b"}, "InvalidName"),
        ({"name": "x" * 81}, "InvalidName"),
        ({"input": "{"}, "InvalidExecutionInput"),
        ({"stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:none"}, "StateMachineDoesNotExist"),
    ],
)
def test_start_is_refused_when_the_request_is_wrong(
    local_aws: LocalAwsUnderTest, request_: dict[str, str], code: str
) -> None:
    request = {"stateMachineArn": local_aws.create_state_machine(PASS)} | request_
    with pytest.raises(ClientError) as refused:
        local_aws.client("stepfunctions").start_execution(**request)
    assert _code(refused) == code


@pytest.mark.parametrize(
    "definition",
    [
        "{",
        '{"StartAt": "A"}',
        '{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}',
        '{"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "{% ( %}"}}}',
    ],
)
def test_definition_is_refused_when_it_is_invalid(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], definition: str
) -> None:
    stepfunctions = local_aws.client("stepfunctions")
    with pytest.raises(ClientError) as refused:
        stepfunctions.create_state_machine(name=unique("machine"), definition=definition, roleArn=ROLE_ARN)
    assert _code(refused) == "InvalidDefinition"
    with pytest.raises(ClientError) as refused:
        stepfunctions.update_state_machine(stateMachineArn=local_aws.create_state_machine(PASS), definition=definition)
    assert _code(refused) == "InvalidDefinition"
    validated = stepfunctions.validate_state_machine_definition(definition=definition)
    assert (validated["result"], len(validated["diagnostics"])) == ("FAIL", 1)


def test_stack_fails_when_a_definition_in_it_is_invalid(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    properties = {"RoleArn": ROLE_ARN, "Definition": {"StartAt": "A", "States": {}}}
    template = {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    cloudformation, name = local_aws.client("cloudformation"), unique("stack")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def reasons() -> list[str]:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"]

    assert "Invalid State Machine Definition" in eventually(reasons)[0]


def test_history_has_the_states_of_every_item_when_a_map_runs(local_aws: LocalAwsUnderTest) -> None:
    each = {"Type": "Map", "Items": [1, 2, 3], "ItemProcessor": PASS, "End": True}
    ended = local_aws.run({"StartAt": "Each", "States": {"Each": each}})
    events = local_aws.history(ended["executionArn"])
    entered = Counter(
        event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered")
    )
    assert entered == {"Each": 1, "Go": 3}
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    iterations = [e["mapIterationSucceededEventDetails"] for e in events if e["type"] == "MapIterationSucceeded"]
    assert sorted(iteration["index"] for iteration in iterations) == [0, 1, 2]
    assert events[-1]["type"] == "ExecutionSucceeded"


def test_execution_fails_when_a_path_finds_nothing(local_aws: LocalAwsUnderTest) -> None:
    state = {"Type": "Pass", "Parameters": {"n.$": "$.missing"}, "End": True}
    ended = local_aws.run({"QueryLanguage": "JSONPath", "StartAt": "Go", "States": {"Go": state}})
    assert (ended["error"], "'$.missing'" in ended["cause"]) == ("States.Runtime", True)


def test_choice_goes_on_when_it_asks_whether_a_path_is_present(local_aws: LocalAwsUnderTest) -> None:
    rule = {"Variable": "$.missing", "IsPresent": True, "Next": "No"}
    states = {
        "Ask": {"Type": "Choice", "Choices": [rule], "Default": "Yes"},
        "No": {"Type": "Fail"},
        "Yes": {"Type": "Pass", "Parameters": {"null.$": "$.null"}, "End": True},
    }
    ended = local_aws.run({"QueryLanguage": "JSONPath", "StartAt": "Ask", "States": states}, {"null": None})
    assert json.loads(ended["output"]) == {"null": None}


def test_branches_keep_their_variables_when_they_run_in_parallel(local_aws: LocalAwsUnderTest) -> None:
    def branch(value: int) -> dict[str, Any]:
        assign = {"Type": "Pass", "Assign": {"own": value}, "Next": "Read"}
        read = {"Type": "Pass", "Output": "{% $outer + $own %}", "End": True}
        return {"StartAt": "Assign", "States": {"Assign": assign, "Read": read}}

    states = {
        "Before": {"Type": "Pass", "Assign": {"outer": 10, "own": 0}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [branch(1), branch(2)],
            "Output": {"branches": "{% $states.result %}", "own": "{% $own %}"},
            "End": True,
        },
    }
    output = json.loads(local_aws.run({"StartAt": "Before", "States": states})["output"])
    assert output == {"branches": [11, 12], "own": 0}


def test_context_describes_the_execution_when_a_state_asks(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    states = {"Look": {"Type": "Pass", "Output": "{% $states.context.Execution %}", "End": True}}
    machine, name = local_aws.create_state_machine({"StartAt": "Look", "States": states}), unique("run")
    started = local_aws.client("stepfunctions").start_execution(stateMachineArn=machine, name=name, input='{"a": 1}')
    context = json.loads(local_aws.ended(started["executionArn"])["output"])
    assert context.pop("StartTime").endswith("Z")
    assert context == {
        "Id": started["executionArn"],
        "Name": name,
        "Input": {"a": 1},
        "RoleArn": ROLE_ARN,
    }


def test_status_events_tell_of_the_child_when_an_execution_is_nested(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], eventually: Callable[..., Any]
) -> None:
    queue = _queue_for_status_events(local_aws, unique("status"))
    child = local_aws.create_state_machine(PASS)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": child, "Input": {}},
        "End": True,
    }
    local_aws.run({"StartAt": "Run", "States": {"Run": task}})
    statuses: list[str] = []

    def both() -> bool:
        received = local_aws.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        details = [json.loads(message["Body"])["detail"] for message in received.get("Messages", [])]
        statuses.extend(detail["status"] for detail in details if detail["stateMachineArn"] == child)
        return len(statuses) == 2

    eventually(both)
    assert sorted(statuses) == ["RUNNING", "SUCCEEDED"]


def _queue_for_status_events(local_aws: LocalAwsUnderTest, name: str) -> str:
    sqs, events = local_aws.client("sqs"), local_aws.client("events")
    queue: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.states"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return queue
