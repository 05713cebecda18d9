"""SNS e-mail and EventBridge delivery on the local AWS."""

import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.conftest import LocalAwsUnderTest


@pytest.fixture
def topic(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    arn: str = local_aws.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    return arn


@pytest.fixture
def address(unique: Callable[[str], str]) -> str:
    return f"{unique('you')}@example.com"


def _messages(local_aws: LocalAwsUnderTest, address: str) -> list[dict[str, str]]:
    return [email for email in local_aws.inbox() if email["to"] == address]


def _open_link(email: dict[str, str]) -> None:
    link = re.search(r"http://127\.0\.0\.1:\d+/\S+", email["body"])
    assert link
    urllib.request.urlopen(link[0], timeout=10).close()  # noqa: S310 -- the expression admits http only


def _listed(local_aws: LocalAwsUnderTest, topic: str) -> list[str]:
    listed = local_aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return [subscription["SubscriptionArn"] for subscription in listed]


def _subscribe(local_aws: LocalAwsUnderTest, topic: str, address: str, **attributes: str) -> None:
    local_aws.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=address, Attributes=attributes)
    _open_link(_messages(local_aws, address)[-1])


def test_subscription_is_pending_when_its_link_was_not_opened(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    sns = local_aws.client("sns")
    answer = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    sns.publish(TopicArn=topic, Message="too early")
    assert answer["SubscriptionArn"] == "pending confirmation"
    assert _listed(local_aws, topic) == ["PendingConfirmation"]
    assert [email["subject"] for email in _messages(local_aws, address)] == [
        "AWS Notification - Subscription Confirmation"
    ]


def test_filter_of_a_pending_subscription_can_be_set_when_its_arn_was_asked_for(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    sns = local_aws.client("sns")
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address, ReturnSubscriptionArn=True)[
        "SubscriptionArn"
    ]
    sns.set_subscription_attributes(
        SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue='{"pipeline": ["sales"]}'
    )
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]

    assert (attributes["PendingConfirmation"], attributes["FilterPolicy"]) == ("true", '{"pipeline": ["sales"]}')
    assert _listed(local_aws, topic) == ["PendingConfirmation"]


def test_confirmation_is_sent_again_when_an_unconfirmed_address_subscribes_again(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    for _ in range(2):
        local_aws.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    assert len(_messages(local_aws, address)) == 2


def test_message_arrives_with_its_subject_when_the_subscription_is_confirmed(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    _subscribe(local_aws, topic, address)
    local_aws.client("sns").publish(TopicArn=topic, Subject="It failed", Message="The job failed.\nSee the log.")
    email = _messages(local_aws, address)[-1]
    assert (email["subject"], email["from"]) == ("It failed", "AWS Notifications <no-reply@sns.amazonaws.com>")
    assert email["body"].startswith("The job failed.\nSee the log.\n")
    assert _listed(local_aws, topic)[0].startswith(topic)


def test_message_stays_away_when_the_filter_policy_does_not_match(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    _subscribe(local_aws, topic, address, FilterPolicy=json.dumps({"state": ["FAILED"]}))
    for state in ("SUCCEEDED", "FAILED"):
        attributes = {"state": {"DataType": "String", "StringValue": state}}
        local_aws.client("sns").publish(TopicArn=topic, Message=state, MessageAttributes=attributes)
    assert [email["body"].split("\n")[0] for email in _messages(local_aws, address)[1:]] == ["FAILED"]


def test_message_stays_away_when_the_unsubscribe_link_was_opened(
    local_aws: LocalAwsUnderTest, topic: str, address: str
) -> None:
    _subscribe(local_aws, topic, address)
    local_aws.client("sns").publish(TopicArn=topic, Message="last")
    _open_link(_messages(local_aws, address)[-1])
    local_aws.client("sns").publish(TopicArn=topic, Message="after")
    assert _messages(local_aws, address)[-1]["body"].startswith("last")


def test_subscription_is_pending_when_a_stack_creates_it(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str], address: str, eventually: Callable[..., Any]
) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"Subscription": [{"Protocol": "email", "Endpoint": address}]}}
    local_aws.client("cloudformation").create_stack(
        StackName=unique("stack"), TemplateBody=json.dumps({"Resources": {"Topic": topic}})
    )
    confirmation = eventually(lambda: _messages(local_aws, address))[0]
    assert confirmation["subject"] == "AWS Notification - Subscription Confirmation"


def _queue(local_aws: LocalAwsUnderTest, name: str) -> tuple[str, str]:
    sqs = local_aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return url, attributes["QueueArn"]


def _rule(local_aws: LocalAwsUnderTest, name: str, **target: Any) -> None:
    events = local_aws.client("events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "target"} | target])


def _put_event(local_aws: LocalAwsUnderTest, source: str) -> None:
    entry = {"Source": source, "DetailType": "Test", "Detail": "{}"}
    local_aws.client("events").put_events(Entries=[entry])


def _received(local_aws: LocalAwsUnderTest, url: str) -> dict[str, Any]:
    received = local_aws.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"])
    message: dict[str, Any] = received["Messages"][0]
    return message


def test_event_is_in_the_functions_dead_letter_queue_when_it_failed_three_times(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    name = unique("failing")
    url, arn = _queue(local_aws, name)
    function = local_aws.create_function(
        """
        calls = 0

        def handler(event, context):
            global calls
            calls += 1
            raise ValueError(f"call {calls}")
        """,
        DeadLetterConfig={"TargetArn": arn},
    )
    described = local_aws.client("lambda").get_function(FunctionName=function)
    _rule(local_aws, name, Arn=described["Configuration"]["FunctionArn"])
    _put_event(local_aws, name)
    message = _received(local_aws, url)
    assert json.loads(message["Body"])["source"] == name
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "call 3"


def test_event_is_in_the_targets_dead_letter_queue_when_the_target_does_not_exist(
    local_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    name = unique("missing")
    url, arn = _queue(local_aws, name)
    _rule(local_aws, name, Arn=arn.replace(name, "gone"), DeadLetterConfig={"Arn": arn})
    _put_event(local_aws, name)
    message = _received(local_aws, url)
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert json.loads(message["Body"])["source"] == name
    assert attributes["TARGET_ARN"] == arn.replace(name, "gone")
    assert attributes["RULE_ARN"].endswith(f":rule/{name}")
    assert attributes["ERROR_CODE"] == "NO_RESOURCE"


def test_event_is_in_the_targets_dead_letter_queue_when_the_targets_policy_does_not_let_it_in(
    enforcing_aws: LocalAwsUnderTest, unique: Callable[[str], str]
) -> None:
    name = unique("closed")
    (_, closed), (url, arn) = _queue(enforcing_aws, name), _queue(enforcing_aws, f"{name}-dead")
    enforcing_aws.client("sqs").set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": json.dumps(_policy_for_events(arn))}
    )
    _rule(enforcing_aws, name, Arn=closed, DeadLetterConfig={"Arn": arn})
    _put_event(enforcing_aws, name)
    message = _received(enforcing_aws, url)
    assert json.loads(message["Body"])["source"] == name
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def _policy_for_events(queue_arn: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    return {"Statement": [{**allowed, "Resource": queue_arn}]}
