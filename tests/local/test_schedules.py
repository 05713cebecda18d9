"""EventBridge Scheduler on the local AWS: schedules fire on time, in their zone, and nothing that is due is lost."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError

from emrp.local import ACCOUNT_ID, REGION, lifecycle
from tests.local.conftest import ROLE_ARN, LocalAwsUnderTest, eventually

LATE = timedelta(seconds=2)
INPUT = (
    '{"schedule": "<aws.scheduler.schedule-arn>", "time": "<aws.scheduler.scheduled-time>",'
    ' "execution": "<aws.scheduler.execution-id>", "attempt": <aws.scheduler.attempt-number>}'
)


class Queue:
    """A queue and what arrives in it."""

    def __init__(self, aws: LocalAwsUnderTest, name: str) -> None:
        self._sqs = aws.client("sqs")
        self.name = name
        self.arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
        self.url: str = self._sqs.create_queue(QueueName=name)["QueueUrl"]

    def message(self, seconds: float = 20) -> dict[str, Any]:
        """Wait for a message; returns it as it came, with the time it was sent."""

        def receive() -> dict[str, Any] | None:
            answer = self._sqs.receive_message(
                QueueUrl=self.url, WaitTimeSeconds=1, AttributeNames=["All"], MessageAttributeNames=["All"]
            )
            messages: list[dict[str, Any]] = answer.get("Messages", [])
            return messages[0] if messages else None

        found = eventually(receive, seconds)
        self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=found["ReceiptHandle"])
        return found

    def count(self) -> int:
        answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def queue(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> Queue:
    return Queue(local_aws, unique("queue"))


def sent_at(message: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)


def soon(zone: str = "UTC", seconds: float = 2) -> datetime:
    """Return a whole second that is about to come, as a zone's clocks show it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0).astimezone(ZoneInfo(zone))


def at(moment: datetime) -> str:
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def create(aws: LocalAwsUnderTest, name: str, expression: str, target: dict[str, Any], **more: Any) -> None:
    aws.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"RoleArn": ROLE_ARN, "Input": INPUT} | target,
        **more,
    )


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_schedule_fires_within_two_seconds_when_its_time_comes_in_its_zone(
    local_aws: LocalAwsUnderTest, queue: Queue, zone: str
) -> None:
    due = soon(zone)

    create(local_aws, queue.name, at(due), {"Arn": queue.arn}, ScheduleExpressionTimezone=zone)

    message = queue.message()
    body = json.loads(message["Body"])
    assert body["schedule"] == f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{queue.name}"
    assert body["time"] == f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert body["attempt"] == 1
    assert body["execution"]
    assert due <= sent_at(message) <= due + LATE


def test_rate_fires_at_once_when_it_has_no_start_date(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    create(local_aws, queue.name, "rate(1 day)", {"Arn": queue.arn})

    message = queue.message()
    assert before <= datetime.fromisoformat(json.loads(message["Body"])["time"]) <= sent_at(message) <= before + LATE


def test_rate_fires_first_on_its_start_date_when_it_has_one(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    due = soon()

    create(local_aws, queue.name, "rate(1 day)", {"Arn": queue.arn}, StartDate=due)

    assert json.loads(queue.message()["Body"])["time"] == f"{due:%Y-%m-%dT%H:%M:%SZ}"


def test_update_takes_effect_at_once_when_a_schedule_waits(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    create(local_aws, queue.name, "cron(0 0 1 1 ? *)", {"Arn": queue.arn})
    due = soon()

    local_aws.client("scheduler").update_schedule(
        Name=queue.name,
        ScheduleExpression=at(due),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"RoleArn": ROLE_ARN, "Arn": queue.arn, "Input": "updated"},
    )

    message = queue.message()
    assert message["Body"] == "updated"
    assert due <= sent_at(message) <= due + LATE


def test_schedules_stay_silent_when_they_are_disabled_deleted_or_not_in_their_period(
    local_aws: LocalAwsUnderTest, queue: Queue, unique: Callable[[str], str]
) -> None:
    scheduler = local_aws.client("scheduler")
    target = {"Arn": queue.arn}
    deleted, group, last = unique("deleted"), unique("group"), unique("last")
    create(local_aws, unique("disabled"), at(soon()), target, State="DISABLED")
    create(local_aws, unique("ended"), "rate(1 day)", target, StartDate=soon(), EndDate=soon(seconds=1))
    create(local_aws, deleted, at(soon()), target)
    scheduler.delete_schedule(Name=deleted)
    scheduler.create_schedule_group(Name=group)
    create(local_aws, deleted, at(soon()), target, GroupName=group)
    scheduler.delete_schedule_group(Name=group)

    create(local_aws, last, at(soon(seconds=3)), {"Arn": queue.arn, "Input": "last"})

    assert queue.message()["Body"] == "last"
    assert queue.count() == 0
    assert scheduler.list_schedules(GroupName=group)["Schedules"] == []


def test_one_time_schedule_is_deleted_when_it_says_so(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    create(local_aws, queue.name, at(soon()), {"Arn": queue.arn}, ActionAfterCompletion="DELETE")

    queue.message()

    def gone() -> bool:
        return not local_aws.client("scheduler").list_schedules(NamePrefix=queue.name)["Schedules"]

    eventually(gone)


def test_one_time_schedule_stays_and_fires_no_more_when_it_says_nothing(
    local_aws: LocalAwsUnderTest, queue: Queue
) -> None:
    scheduler = local_aws.client("scheduler")
    create(local_aws, queue.name, at(soon()), {"Arn": queue.arn})
    queue.message()

    create(local_aws, f"{queue.name}-2", at(soon()), {"Arn": queue.arn, "Input": "second"})

    assert queue.message()["Body"] == "second"
    assert queue.count() == 0
    assert len(scheduler.list_schedules(NamePrefix=queue.name)["Schedules"]) == 2


def test_invocation_is_in_the_dead_letter_queue_when_the_target_never_took_it(
    local_aws: LocalAwsUnderTest, queue: Queue
) -> None:
    missing = f"{queue.arn}-missing"
    target = {
        "Arn": missing,
        "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60},
        "DeadLetterConfig": {"Arn": queue.arn},
    }
    due = soon()

    create(local_aws, queue.name, at(due), target)

    message = queue.message()
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["attempt"] == 2
    assert attributes.pop("EXECUTION_ID")
    assert "does not exist" in attributes.pop("ERROR_MESSAGE")
    assert attributes == {
        "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "1",
        "SCHEDULED_TIME": f"{due:%Y-%m-%dT%H:%M:%SZ}",
        "SCHEDULE_ARN": f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule/default/{queue.name}",
        "TARGET_ARN": missing,
    }


def test_invocation_arrives_when_the_target_comes_to_exist_between_two_attempts(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    name = unique("late")
    create(local_aws, name, "rate(1 day)", {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"})

    body = json.loads(Queue(local_aws, name).message()["Body"])

    assert body["attempt"] >= 1


def test_universal_target_is_called_when_a_schedule_names_an_api(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    call = {"QueueUrl": queue.url, "MessageBody": "<aws.scheduler.scheduled-time>"}
    due = soon()

    create(
        local_aws,
        queue.name,
        at(due),
        {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": json.dumps(call)},
    )

    assert queue.message()["Body"] == f"{due:%Y-%m-%dT%H:%M:%SZ}"


def test_function_gets_an_event_when_a_schedule_has_no_input(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    function = local_aws.create_function(
        f"""
        import boto3, json
        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl="{queue.url}", MessageBody=json.dumps(event))
        """
    )
    arn = local_aws.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    due = soon()

    local_aws.client("scheduler").create_schedule(
        Name=queue.name,
        ScheduleExpression=at(due),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"RoleArn": ROLE_ARN, "Arn": arn},
    )

    event = json.loads(queue.message()["Body"])
    assert (event["source"], event["detail-type"]) == ("aws.scheduler", "Scheduled Event")
    assert event["time"] == f"{due:%Y-%m-%dT%H:%M:%SZ}"


def test_schedule_is_refused_when_its_expression_or_zone_is_wrong(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    for expression, zone in (("cron(0 10 * * * *)", "UTC"), ("rate(1 day)", "Europe/Atlantis")):
        with pytest.raises(ClientError, match="ValidationException"):
            create(local_aws, queue.name, expression, {"Arn": queue.arn}, ScheduleExpressionTimezone=zone)


def test_all_schedules_are_listed_when_they_fill_several_pages(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    group = unique("group")
    local_aws.client("scheduler").create_schedule_group(Name=group)
    names = {f"schedule-{number}" for number in range(5)}
    for name in names:
        create(local_aws, name, "cron(0 0 1 1 ? *)", {"Arn": ROLE_ARN}, GroupName=group)

    pages = local_aws.client("scheduler").get_paginator("list_schedules")
    listed = list(pages.paginate(GroupName=group, PaginationConfig={"PageSize": 2}))

    assert len(listed) == 3
    assert {schedule["Name"] for page in listed for schedule in page["Schedules"]} == names


STACK = """
Resources:
  Group: {Type: AWS::Scheduler::ScheduleGroup, Properties: {Name: %(name)s}}
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      GroupName: !Ref Group
      ScheduleExpression: %(expression)s
      ScheduleExpressionTimezone: Asia/Kolkata
      FlexibleTimeWindow: {Mode: "OFF"}
      Target: {Arn: %(queue)s, RoleArn: %(role)s, Input: from a stack}
"""


def test_stack_has_group_and_schedule_when_its_template_does(local_aws: LocalAwsUnderTest, queue: Queue) -> None:
    scheduler, stacks = local_aws.client("scheduler"), local_aws.client("cloudformation")

    def template(expression: str) -> str:
        return STACK % {"name": queue.name, "expression": expression, "queue": queue.arn, "role": ROLE_ARN}

    stacks.create_stack(StackName=queue.name, TemplateBody=template("cron(0 0 1 1 ? *)"))
    stacks.get_waiter("stack_create_complete").wait(StackName=queue.name, WaiterConfig={"Delay": 1})
    due = soon("Asia/Kolkata", seconds=4)
    stacks.update_stack(StackName=queue.name, TemplateBody=template(at(due)))
    stacks.get_waiter("stack_update_complete").wait(StackName=queue.name, WaiterConfig={"Delay": 1})

    message = queue.message()
    assert message["Body"] == "from a stack"
    assert due <= sent_at(message) <= due + LATE
    create(local_aws, "of-the-program", "cron(0 0 1 1 ? *)", {"Arn": queue.arn}, GroupName=queue.name)
    stacks.delete_stack(StackName=queue.name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=queue.name, WaiterConfig={"Delay": 1})
    assert scheduler.list_schedules(GroupName=queue.name)["Schedules"] == []


def test_schedules_go_on_and_nothing_is_made_up_for_when_the_server_starts_again(tmp_path: Path) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        aws = LocalAwsUnderTest(server)
        queue = Queue(aws, "restart")
        create(aws, "fired", at(soon()), {"Arn": queue.arn, "Input": "fired"})
        create(aws, "every-day", "rate(1 day)", {"Arn": queue.arn, "Input": "every day"})
        assert {queue.message()["Body"], queue.message()["Body"]} == {"fired", "every day"}
        missed, due = soon(seconds=5), soon(seconds=12)
        create(aws, "missed", at(missed), {"Arn": queue.arn, "Input": "missed"})
        create(aws, "later", at(due), {"Arn": queue.arn, "Input": "later"})
    time.sleep(max(0.0, (missed - datetime.now(UTC)).total_seconds()))

    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        queue = Queue(LocalAwsUnderTest(server), "restart")
        message = queue.message()
        assert message["Body"] == "later"
        assert due <= sent_at(message) <= due + LATE
        assert queue.count() == 0


def test_role_needs_permission_for_the_target_when_iam_is_enforced(
    enforcing_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    target, dead = Queue(enforcing_aws, unique("target")), Queue(enforcing_aws, unique("dead"))
    iam, role = enforcing_aws.client("iam"), unique("role")
    trust = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": dead.arn}
    role_arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"][
        "Arn"
    ]
    iam.put_role_policy(RoleName=role, PolicyName="send", PolicyDocument=json.dumps({"Statement": [allowed]}))

    for queue in (target, dead):
        more = {"RetryPolicy": {"MaximumRetryAttempts": 0}, "DeadLetterConfig": {"Arn": dead.arn}}
        create(enforcing_aws, queue.name, "rate(1 day)", {"Arn": queue.arn, "RoleArn": role_arn, "Input": "x"} | more)

    refused = next(message for message in (dead.message(), dead.message()) if "MessageAttributes" in message)
    assert refused["MessageAttributes"]["TARGET_ARN"]["StringValue"] == target.arn
    assert "AccessDenied" in refused["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert target.count() == 0
