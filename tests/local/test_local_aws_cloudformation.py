"""Stacks have what the local AWS cannot use, and are deployed unchanged."""

import json
from collections.abc import Callable
from typing import Any

from tests.local.conftest import LocalAwsUnderTest


def template(expression: str) -> str:
    plain = {
        "Namespace": "EmrPipelines",
        "MetricName": "RunsFailed",
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0,
    }
    metric = {"Metric": {"Namespace": "AWS/Usage", "MetricName": "ResourceCount"}, "Period": 300, "Stat": "Maximum"}
    math: dict[str, Any] = {
        "Metrics": [
            {"Id": "share", "Expression": expression},
            {"Id": "used", "MetricStat": metric, "ReturnData": False},
        ],
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 80,
    }
    query = {"Name": "stack/errors", "LogGroupNames": ["group"], "QueryString": "fields @message"}
    resources = {
        "Plain": {"Type": "AWS::CloudWatch::Alarm", "Properties": plain},
        "Math": {"Type": "AWS::CloudWatch::Alarm", "Properties": math},
        "Query": {"Type": "AWS::Logs::QueryDefinition", "Properties": query},
        "Dashboard": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": '{"widgets": []}'}},
    }
    return json.dumps({"Resources": resources, "Outputs": {"Query": {"Value": {"Ref": "Query"}}}})


def test_stack_is_created_updated_and_deleted_when_it_has_alarm_math_and_saved_queries(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    stacks, name = local_aws.client("cloudformation"), unique("observed")

    def done(event: str) -> None:
        stacks.get_waiter(f"stack_{event}_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 45})

    stacks.create_stack(StackName=name, TemplateBody=template("100 * used / SERVICE_QUOTA(used)"))
    done("create")
    created = stacks.describe_stacks(StackName=name)["Stacks"][0]
    stacks.update_stack(StackName=name, TemplateBody=template("used / SERVICE_QUOTA(used)"))
    done("update")
    updated = stacks.describe_stacks(StackName=name)["Stacks"][0]
    stacks.delete_stack(StackName=name)
    done("delete")

    assert len(created["Outputs"][0]["OutputValue"]) == 36
    assert created["Outputs"] == updated["Outputs"]
    alarms = local_aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert not [alarm for alarm in alarms if name in alarm["AlarmName"]]
