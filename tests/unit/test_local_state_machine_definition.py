import json
from typing import Any

import pytest

from emrp.local.patches.stepfunctions_definition import problem_of

_END = {"Type": "Pass", "End": True}


def _problem(machine: dict[str, Any]) -> str | None:
    return problem_of(json.dumps(machine))


def test_problem_of_is_none_when_a_definition_uses_everything_correctly() -> None:
    branch = {"StartAt": "Inside", "States": {"Inside": {"Type": "Succeed"}}}
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Done"}]
    machine = {
        "QueryLanguage": "JSONata",
        "StartAt": "Decide",
        "States": {
            "Decide": {"Type": "Choice", "Choices": [{"Condition": "{% true %}", "Next": "Work"}], "Default": "Stop"},
            "Work": {"Type": "Task", "Resource": "arn", "TimeoutSeconds": 5, "Catch": catch, "Next": "Each"},
            "Each": {"Type": "Map", "Items": [1], "ItemProcessor": branch, "Next": "Both"},
            "Both": {"Type": "Parallel", "Branches": [branch, branch], "Next": "Done"},
            "Done": {"Type": "Succeed"},
            "Stop": {"Type": "Fail"},
        },
    }
    assert _problem(machine) is None


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({}, r"[States] is required at /"),
        ({"StartAt": "A", "States": {"B": _END}}, "Missing 'StartAt' target: A"),
        ({"StartAt": "A", "States": {"A": {"Type": "Nap", "End": True}}}, "at /States/A/Type"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}, "Missing 'Next' target: B"),
        ({"StartAt": "A", "States": {"A": _END, "B": _END}}, 'State "B" is not reachable'),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, "Exactly one of the fields [Next, End]"),
        ({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True}}}, "The field [Resource] is required"),
        (
            {"StartAt": "A", "States": {"A": {**_END, "Output": 1}}},
            "'Output' is not supported by query language JSONPath",
        ),
        (
            {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {**_END, "ResultPath": "$"}}},
            "'ResultPath' is not supported by query language JSONata",
        ),
        (
            {"StartAt": "A", "States": {"A": {**_END, "Type": "Task", "Resource": "r", "Retry": [{}]}}},
            "The field [ErrorEquals] is required at /States/A/Retry[0]",
        ),
        (
            {
                "StartAt": "A",
                "States": {
                    "A": {"Type": "Task", "Resource": "r", "End": True, "TimeoutSeconds": 5, "HeartbeatSeconds": 5}
                },
            },
            "HeartbeatSeconds must be less than TimeoutSeconds",
        ),
        (
            {
                "StartAt": "A",
                "States": {"A": {**_END, "Type": "Map", "ItemProcessor": {"StartAt": "X", "States": {"X": {}}}}},
            },
            "at /States/A/ItemProcessor/States/X/Type",
        ),
    ],
)
def test_problem_of_says_what_and_where_when_a_definition_is_wrong(machine: dict[str, Any], expected: str) -> None:
    assert expected in (_problem(machine) or "nothing")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_problem_of_refuses_the_text_when_it_is_not_a_json_object(text: str) -> None:
    assert problem_of(text) is not None
