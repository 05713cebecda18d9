"""Pipelines come and go with their files, through S3, EventBridge and Lambda, with IAM enforced."""

import json
import re
from uuid import uuid4

import pytest

from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import PIPELINE, DeployedStack, deploy
from tests.local.test_least_privilege import statements_changed, without

TRIGGERS = """\
  schedules: [{expression: "cron(0 14 ? * FRI *)", timezone: Europe/Dublin}, {expression: rate(1 day), enabled: false}]
  events: [{pattern: {source: [made.up], detail-type: [Go]}, parameters: {}}]
"""


@pytest.fixture(scope="module")
def stack(enforced_stack: DeployedStack) -> DeployedStack:
    return enforced_stack


def pipeline(name: str, more_triggers: str = "") -> str:
    text = PIPELINE.format(name=name, lifecycle="shared")
    return text.replace("triggers:\n", f"triggers:\n{more_triggers}")


def schedules(stack: DeployedStack, name: str) -> list[str]:
    found = stack.aws.client("scheduler").list_schedules(GroupName=stack.stack.name, NamePrefix=f"{name}.")
    return [schedule["Name"] for schedule in found["Schedules"]]


def rules(stack: DeployedStack, name: str) -> list[str]:
    found = stack.aws.client("events").list_rules(NamePrefix=f"{stack.stack.name}.{name}.")
    return [rule["Name"] for rule in found["Rules"]]


def report(stack: DeployedStack, key: str) -> str | None:
    s3 = stack.aws.client("s3")
    try:
        body: bytes = s3.get_object(Bucket=stack.stack.bucket, Key=f"{key}.errors")["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    return body.decode()


def delete(stack: DeployedStack, key: str) -> None:
    stack.aws.client("s3").delete_object(Bucket=stack.stack.bucket, Key=key)


def new_name() -> str:
    return f"test-{uuid4().hex[:8]}"


def test_pipeline_has_its_triggers_as_long_as_its_file_is_there(stack: DeployedStack) -> None:
    name = new_name()
    stack.register(f"{name}.yaml", pipeline(name, TRIGGERS))
    assert (len(schedules(stack, name)), len(rules(stack, name))) == (2, 1)

    stack.register(f"{name}.yaml", pipeline(name))
    assert (schedules(stack, name), rules(stack, name)) == ([], [])

    stack.register(f"{name}.yaml", pipeline(name, TRIGGERS))
    delete(stack, f"pipelines/{name}.yaml")
    eventually(lambda: not stack.registered(name))
    assert (schedules(stack, name), rules(stack, name)) == ([], [])


def test_event_of_a_pipelines_own_rule_starts_it_when_it_matches(stack: DeployedStack) -> None:
    name = new_name()
    stack.register(f"{name}.yaml", pipeline(name, TRIGGERS))
    entry = {"Source": "made.up", "DetailType": "Go", "Detail": json.dumps({"for": name})}
    stack.aws.client("events").put_events(Entries=[entry])

    def execution() -> str | None:
        for found in stack.executions():
            described = stack.aws.client("stepfunctions").describe_execution(executionArn=found["executionArn"])
            event = json.loads(described["input"]).get("trigger", {}).get("event", {})
            if event.get("detail") == {"for": name}:
                return str(found["executionArn"])
        return None

    eventually(execution)


def test_bad_file_leaves_the_earlier_version_live_and_is_told_once(stack: DeployedStack) -> None:
    name = new_name()
    key = f"pipelines/{name}.yaml"
    stack.register(f"{name}.yaml", pipeline(name, TRIGGERS))
    live = stack.registered(name)

    version = stack.put(key, f"name: {name}\njobs: 3\n")

    told = eventually(lambda: report(stack, key))
    assert version in told
    assert "line 2: jobs: " in told
    (email,) = eventually(lambda: [email for email in stack.aws.inbox() if version in email["body"]])
    assert email["subject"].startswith(f"{key} was not registered: ")
    assert "line 2: jobs: " in email["body"]
    assert stack.registered(name) == live
    assert (len(schedules(stack, name)), len(rules(stack, name))) == (2, 1)

    stack.register(f"{name}.yaml", pipeline(name))
    eventually(lambda: report(stack, key) is None)
    assert len([email for email in stack.aws.inbox() if version in email["body"]]) == 1


def test_address_is_subscribed_to_its_pipeline_when_and_as_long_as_the_file_names_it(stack: DeployedStack) -> None:
    name = new_name()
    address = f"{name}@example.org"
    stack.register(f"{name}.yaml", f"{pipeline(name)}notifications: {{email: [{address}]}}\n")

    (email,) = eventually(lambda: [email for email in stack.aws.inbox() if email["to"] == address])
    link = re.search(r"Token=(\w+)", email["body"])
    assert link
    sns, topic = stack.aws.client("sns"), stack.stack.notification_topic_arn
    arn = sns.confirm_subscription(TopicArn=topic, Token=link[1])["SubscriptionArn"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert json.loads(attributes["FilterPolicy"]) == {"pipeline": [name], "stack": [stack.stack.name]}

    stack.register(f"{name}.yaml", pipeline(name))
    listed = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    assert address not in [item["Endpoint"] for page in listed for item in page["Subscriptions"]]


def test_pattern_is_reported_when_eventbridge_refuses_it(stack: DeployedStack) -> None:
    name = new_name()
    stack.put(f"pipelines/{name}.yaml", pipeline(name, "  events: [{pattern: {source: [{prefixx: x}]}}]\n"))

    told = eventually(lambda: report(stack, f"pipelines/{name}.yaml"))
    assert "triggers.events[0].pattern: Event pattern is not valid" in told
    assert rules(stack, name) == []


@pytest.mark.parametrize(
    "action",
    [
        "events:PutRule",
        "events:PutTargets",
        "events:TestEventPattern",
        "s3:GetObject",
        "scheduler:CreateSchedule",
        "scheduler:ListSchedules",
    ],
)
def test_registration_ends_in_the_dead_letter_queue_when_a_permission_is_missing(
    stack: DeployedStack, action: str
) -> None:
    name = new_name()
    with statements_changed(stack, "RegisterPipelineFunctionRole", without(action)):
        function = stack.aws.client("cloudformation").describe_stack_resource(
            StackName=stack.stack.name, LogicalResourceId="RegisterPipelineFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        event = {"detail": {"object": {"key": f"pipelines/{name}.yaml"}}}
        stack.put(f"pipelines/{name}.yaml", pipeline(name, TRIGGERS))
        answer = stack.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        assert f"not authorized to perform: {action}" in answer["Payload"].read().decode()


def test_schedules_go_with_the_stack_when_it_is_deleted(enforcing_aws: LocalAwsUnderTest) -> None:
    stack = deploy(enforcing_aws, "registration-deleted")
    name = new_name()
    stack.register(f"{name}.yaml", pipeline(name, TRIGGERS))
    assert len(schedules(stack, name)) == 2

    stack.aws.client("cloudformation").delete_stack(StackName=stack.stack.name)

    eventually(lambda: not stack.aws.client("scheduler").list_schedules(NamePrefix=f"{name}.")["Schedules"])
