"""Task tokens, heartbeats, timeouts and stops."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import LocalAwsUnderTest

CALLBACK = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
NESTED = "arn:aws:states:::states:startExecution.sync:2"


@pytest.fixture
def queue_url(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    url: str = local_aws.client("sqs").create_queue(QueueName=unique("tokens"))["QueueUrl"]
    return url


def _waiting(queue_url: str, **task: Any) -> dict[str, Any]:
    arguments = {"QueueUrl": queue_url, "MessageBody": "{% $states.context.Task.Token %}"}
    state = {"Type": "Task", "Resource": CALLBACK, "Arguments": arguments, "End": True}
    return {"StartAt": "Wait", "States": {"Wait": state | task}}


def _token(local_aws: LocalAwsUnderTest, queue_url: str) -> str:
    received = local_aws.client("sqs").receive_message(QueueUrl=queue_url, WaitTimeSeconds=10)
    token: str = received["Messages"][0]["Body"]
    return token


def test_task_has_the_output_when_its_token_is_answered(local_aws: LocalAwsUnderTest, queue_url: str) -> None:
    execution = local_aws.start_execution(_waiting(queue_url, HeartbeatSeconds=60, TimeoutSeconds=90))
    token = _token(local_aws, queue_url)
    local_aws.client("stepfunctions").send_task_success(taskToken=token, output='{"n": 1}')
    assert json.loads(local_aws.ended(execution)["output"]) == {"n": 1}


def test_task_fails_with_the_given_error_when_its_token_is_answered_so(
    local_aws: LocalAwsUnderTest, queue_url: str
) -> None:
    execution = local_aws.start_execution(_waiting(queue_url))
    token = _token(local_aws, queue_url)
    local_aws.client("stepfunctions").send_task_failure(taskToken=token, error="JobFailed", cause="why")
    ended = local_aws.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "JobFailed", "why")


@pytest.mark.parametrize("heartbeat", [1, "{% 0 + 1 %}"])
def test_task_fails_with_heartbeat_timeout_when_no_heartbeat_comes(
    local_aws: LocalAwsUnderTest, queue_url: str, heartbeat: object
) -> None:
    ended = local_aws.run(_waiting(queue_url, HeartbeatSeconds=heartbeat, TimeoutSeconds=600))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.HeartbeatTimeout")


def test_task_reads_its_heartbeat_from_the_input_when_it_has_a_path(
    local_aws: LocalAwsUnderTest, queue_url: str
) -> None:
    machine = _waiting(queue_url, QueryLanguage="JSONPath", HeartbeatSecondsPath="$.beat")
    state = machine["States"]["Wait"]
    state["Parameters"] = {"QueueUrl": state.pop("Arguments")["QueueUrl"], "MessageBody.$": "$$.Task.Token"}
    ended = local_aws.run(machine | {"QueryLanguage": "JSONPath"}, {"beat": 1})
    assert ended["error"] == "States.HeartbeatTimeout"


@pytest.mark.parametrize("name", ["States.HeartbeatTimeout", "States.Timeout", "States.ALL"])
def test_catch_gets_the_heartbeat_timeout_when_it_names_it(
    local_aws: LocalAwsUnderTest, queue_url: str, name: str
) -> None:
    machine = _waiting(queue_url, HeartbeatSeconds=1, Catch=[{"ErrorEquals": [name], "Next": "Caught"}])
    machine["States"]["Caught"] = {"Type": "Succeed"}
    ended = local_aws.run(machine)
    assert (ended["status"], json.loads(ended["output"])["Error"]) == ("SUCCEEDED", "States.HeartbeatTimeout")


def test_task_goes_on_waiting_when_heartbeats_are_sent(
    local_aws: LocalAwsUnderTest, queue_url: str, eventually: Callable[..., Any]
) -> None:
    execution = local_aws.start_execution(_waiting(queue_url, HeartbeatSeconds=2, TimeoutSeconds=3))
    token = _token(local_aws, queue_url)

    def timed_out() -> bool:
        try:
            local_aws.client("stepfunctions").send_task_heartbeat(taskToken=token)
        except ClientError as error:
            return error.response["Error"]["Code"] == "TaskTimedOut"
        return False

    eventually(timed_out)
    assert local_aws.ended(execution)["error"] == "States.Timeout"


def test_task_fails_with_timeout_when_a_function_takes_too_long(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function("""
        import time

        def handler(event, context):
            time.sleep(5)
    """)
    arguments = {"FunctionName": function}
    resource = "arn:aws:states:::lambda:invoke"
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "TimeoutSeconds": 1, "End": True}
    assert local_aws.run({"StartAt": "Slow", "States": {"Slow": state}})["error"] == "States.Timeout"


def test_execution_is_timed_out_when_the_machine_takes_too_long(local_aws: LocalAwsUnderTest, queue_url: str) -> None:
    ended = local_aws.run(_waiting(queue_url) | {"TimeoutSeconds": 1})
    assert ended["status"] == "TIMED_OUT"
    assert local_aws.history(ended["executionArn"])[-1]["type"] == "ExecutionTimedOut"


def test_wait_state_is_left_when_the_machine_times_out(local_aws: LocalAwsUnderTest) -> None:
    states = {"Nap": {"Type": "Wait", "Seconds": 600, "End": True}}
    assert local_aws.run({"StartAt": "Nap", "States": states, "TimeoutSeconds": 1})["status"] == "TIMED_OUT"


def test_execution_stays_aborted_when_an_answer_comes_after_it_was_stopped(
    local_aws: LocalAwsUnderTest, queue_url: str, eventually: Callable[..., Any]
) -> None:
    stepfunctions = local_aws.client("stepfunctions")
    execution = local_aws.start_execution(_waiting(queue_url))
    token = _token(local_aws, queue_url)
    stepfunctions.stop_execution(executionArn=execution, error="Operator", cause="enough")

    def refused() -> str | None:
        try:
            stepfunctions.send_task_success(taskToken=token, output="{}")
        except ClientError as error:
            code: str = error.response["Error"]["Code"]
            return code
        return None

    assert eventually(refused) == "TaskTimedOut"
    ended = local_aws.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Operator", "enough")
    assert local_aws.history(execution)[-1]["type"] == "ExecutionAborted"


def test_stop_reaches_the_items_of_a_map_when_they_wait(local_aws: LocalAwsUnderTest, queue_url: str) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "After"}]
    each = {"Type": "Map", "Items": [1, 2], "ItemProcessor": _waiting(queue_url), "Catch": catch, "Next": "After"}
    machine = {"StartAt": "Each", "States": {"Each": each, "After": {"Type": "Succeed"}}}
    execution = local_aws.start_execution(machine)
    for _ in range(2):
        _token(local_aws, queue_url)
    local_aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert local_aws.ended(execution)["status"] == "ABORTED"
    assert "After" not in [
        event["stateEnteredEventDetails"]["name"]
        for event in local_aws.history(execution)
        if "stateEnteredEventDetails" in event
    ]


@pytest.mark.parametrize("kind", ["Map", "Parallel"])
def test_other_branches_are_ended_when_one_fails(local_aws: LocalAwsUnderTest, queue_url: str, kind: str) -> None:
    choose = {
        "Type": "Choice",
        "Choices": [{"Condition": "{% $states.input = 'fail' %}", "Next": "Fail"}],
        "Default": "Wait",
    }
    waiting = _waiting(queue_url)["States"]
    states = {"Choose": choose, "Fail": {"Type": "Fail", "Error": "First"}, **waiting}
    branch = {"StartAt": "Choose", "States": states}
    fields: dict[str, Any] = {"Items": ["wait", "fail"], "ItemProcessor": branch}
    if kind == "Parallel":
        fields = {"Arguments": "fail", "Branches": [_waiting(queue_url), branch]}
    ended = local_aws.run({"StartAt": "Both", "States": {"Both": {"Type": kind, **fields, "End": True}}})
    assert (ended["status"], ended["error"]) == ("FAILED", "First")


@pytest.mark.parametrize(
    ("code", "token", "output"), [("InvalidToken", "nonsense", "{}"), ("InvalidOutput", None, "not JSON")]
)
def test_answer_is_refused_when_it_is_no_answer(
    local_aws: LocalAwsUnderTest, queue_url: str, code: str, token: str | None, output: str
) -> None:
    stepfunctions = local_aws.client("stepfunctions")
    execution = local_aws.start_execution(_waiting(queue_url))
    token = token or _token(local_aws, queue_url)
    with pytest.raises(ClientError) as refused:
        stepfunctions.send_task_success(taskToken=token, output=output)
    assert refused.value.response["Error"]["Code"] == code
    stepfunctions.stop_execution(executionArn=execution)


def test_nested_execution_is_stopped_when_its_parent_is(local_aws: LocalAwsUnderTest, queue_url: str) -> None:
    child = local_aws.create_state_machine(_waiting(queue_url))
    execution = local_aws.start_execution(_parent(child))
    _token(local_aws, queue_url)
    local_aws.client("stepfunctions").stop_execution(executionArn=execution)
    running = local_aws.client("stepfunctions").list_executions(stateMachineArn=child)["executions"]
    assert [local_aws.ended(one["executionArn"])["status"] for one in running] == ["ABORTED"]


def test_nested_execution_is_stopped_when_the_task_that_runs_it_times_out(
    local_aws: LocalAwsUnderTest, queue_url: str
) -> None:
    child = local_aws.create_state_machine(_waiting(queue_url))
    assert local_aws.run(_parent(child, TimeoutSeconds=1))["error"] == "States.Timeout"
    running = local_aws.client("stepfunctions").list_executions(stateMachineArn=child)["executions"]
    assert [one["status"] for one in running] == ["ABORTED"]


def test_parent_gets_the_output_when_a_nested_execution_succeeds(local_aws: LocalAwsUnderTest) -> None:
    child = local_aws.create_state_machine(
        {
            "StartAt": "Echo",
            "States": {"Echo": {"Type": "Pass", "Output": {"got": "{% $states.input %}"}, "End": True}},
        }
    )
    output = json.loads(local_aws.run(_parent(child, Output="{% $states.result %}"))["output"])
    assert output["Status"] == "SUCCEEDED"
    assert output["Output"]["got"]["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"].startswith("arn:aws:states:")


def test_parent_gets_the_description_when_a_nested_execution_fails(local_aws: LocalAwsUnderTest) -> None:
    child = local_aws.create_state_machine(
        {
            "StartAt": "No",
            "States": {"No": {"Type": "Fail", "Error": "JobFailed", "Cause": "why"}},
        }
    )
    ended = local_aws.run(_parent(child))
    cause = json.loads(ended["cause"])
    assert ended["error"] == "States.TaskFailed"
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "JobFailed", "why")


def _parent(child: str, **task: Any) -> dict[str, Any]:
    data = {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "{% $states.context.Execution.Id %}"}
    state = {
        "Type": "Task",
        "Resource": NESTED,
        "Arguments": {"StateMachineArn": child, "Input": data},
        "End": True,
    }
    return {"StartAt": "Run", "States": {"Run": state | task}}
