"""How the failure of a task reaches Retry, Catch and the end of an execution."""

import json
from typing import Any

import pytest

from tests.local.conftest import LocalAwsUnderTest

LAMBDA = "arn:aws:states:::lambda:invoke"
CALLBACK = "arn:aws:states:::lambda:invoke.waitForTaskToken"
DONE = {"Type": "Succeed"}
BUSY = """
    class TransientError(Exception):
        pass

    calls = 0

    def handler(event, context):
        global calls
        calls += 1
        if calls <= event.get("failures", 1):
            raise TransientError(f"busy {calls}")
        return {"calls": calls}
"""


def _machine(task: dict[str, Any]) -> dict[str, Any]:
    states = {"Work": {"Type": "Task", "Resource": LAMBDA, **({} if "Next" in task else {"End": True}), **task}}
    if "Catch" in task:
        states["Caught"] = DONE
    return {"StartAt": "Work", "States": states}


def _call(function: str, **payload: Any) -> dict[str, Any]:
    return {"FunctionName": function, "Payload": payload}


def test_execution_fails_with_the_class_name_when_a_function_raises(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function(BUSY)
    ended = local_aws.run(_machine({"Arguments": _call(function)}))
    cause = json.loads(ended["cause"])
    assert (ended["status"], ended["error"]) == ("FAILED", "TransientError")
    assert (cause["errorType"], cause["errorMessage"]) == ("TransientError", "busy 1")
    assert 'raise TransientError(f"busy {calls}")' in cause["stackTrace"][-1]


def test_execution_fails_with_the_import_error_when_a_function_cannot_be_loaded(
    local_aws: LocalAwsUnderTest,
) -> None:
    function = local_aws.create_function("import missing_module")
    ended = local_aws.run(_machine({"Arguments": _call(function)}))
    assert ended["error"] == "Runtime.ImportModuleError"
    assert "Unable to import module 'app': No module named 'missing_module'" in ended["cause"]


def test_execution_succeeds_when_the_retry_names_the_class_of_the_exception(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function(BUSY)
    retry = [{"ErrorEquals": ["TransientError"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxDelaySeconds": 2}]
    ended = local_aws.run(
        _machine({"Arguments": _call(function, failures=1), "Retry": retry, "Output": "{% $states.result.Payload %}"})
    )
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", {"calls": 2})


def test_catch_gets_error_and_cause_when_it_names_the_class_of_the_exception(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function(BUSY)
    catch = [
        {"ErrorEquals": ["OtherError"], "Next": "Caught"},
        {
            "ErrorEquals": ["TransientError"],
            "Assign": {"message": "{% $parse($states.errorOutput.Cause).errorMessage %}"},
            "Output": {"error": "{% $states.errorOutput.Error %}", "kept": "{% $states.input.kept %}"},
            "Next": "Caught",
        },
    ]
    machine = _machine({"Arguments": _call(function), "Catch": catch})
    machine["States"]["Caught"] = {
        "Type": "Pass",
        "Output": {"caught": "{% $states.input %}", "message": "{% $message %}"},
        "End": True,
    }
    ended = local_aws.run(machine, {"kept": 1})
    assert json.loads(ended["output"]) == {"caught": {"error": "TransientError", "kept": 1}, "message": "busy 1"}


def test_task_fails_at_once_when_the_function_that_gets_its_token_raises(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function(BUSY)
    ended = local_aws.run(_machine({"Resource": CALLBACK, "Arguments": _call(function), "TimeoutSeconds": 600}))
    assert (ended["status"], ended["error"]) == ("FAILED", "TransientError")


def test_every_attempt_gets_a_token_of_its_own_when_a_task_is_retried(local_aws: LocalAwsUnderTest) -> None:
    function = local_aws.create_function("""
        tokens = []

        def handler(event, context):
            tokens.append(event["token"])
            raise ValueError(",".join(tokens))
    """)
    ended = local_aws.run(
        _machine(
            {
                "Resource": CALLBACK,
                "Arguments": _call(function, token="{% $states.context.Task.Token %}"),
                "Retry": [
                    {"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "MaxAttempts": 1, "JitterStrategy": "FULL"}
                ],
            }
        )
    )
    first, second = json.loads(ended["cause"])["errorMessage"].split(",")
    assert first != second


@pytest.mark.parametrize("wildcard", ["States.ALL", "States.TaskFailed"])
def test_wildcard_catches_the_error_when_a_function_raises(local_aws: LocalAwsUnderTest, wildcard: str) -> None:
    function = local_aws.create_function(BUSY)
    catch = [{"ErrorEquals": [wildcard], "Next": "Caught"}]
    assert local_aws.run(_machine({"Arguments": _call(function), "Catch": catch}))["status"] == "SUCCEEDED"


def test_states_all_does_not_catch_when_the_machine_itself_is_wrong(local_aws: LocalAwsUnderTest) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    ended = local_aws.run(_machine({"Resource": "arn:aws:states:::nothing:likeThis", "Catch": catch}))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
