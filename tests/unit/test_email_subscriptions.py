"""Addresses in pipeline files have subscriptions, one each; those that somebody else has made are left alone."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emr_pipelines.definition import Definition
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.email_subscriptions import EmailSubscriptions
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.register_pipeline import _subscribe

OPS = "ops@example.org"
PAT = "pat@example.org"


class Topic:
    """The topic of the stack in moto."""

    def __init__(self) -> None:
        self.sns = client("sns")
        self.arn: str = self.sns.create_topic(Name="topic")["TopicArn"]
        self.subscriptions = EmailSubscriptions(self.arn, "emr-pipelines")

    def apply(self, wanted: Mapping[str, Collection[str]]) -> dict[str, str]:
        return self.subscriptions.apply(wanted)

    def subscribe(self, wanted: Mapping[str, Collection[str]], *, ask_again: bool = False) -> dict[str, str]:
        return self.subscriptions.subscribe(wanted, ask_again=ask_again)

    def filters(self) -> dict[str, Any]:
        """Return the filter of each subscription, by its address."""
        listed = self.sns.list_subscriptions_by_topic(TopicArn=self.arn)["Subscriptions"]
        return {
            item["Endpoint"]: json.loads(
                self.sns.get_subscription_attributes(SubscriptionArn=item["SubscriptionArn"])["Attributes"].get(
                    "FilterPolicy", "{}"
                )
            )
            for item in listed
        }


@pytest.fixture
def topic(aws: None) -> Topic:
    return Topic()


def ours(*pipelines: str) -> dict[str, list[str]]:
    """Return the filter of a subscription of ours."""
    return {"pipeline": list(pipelines), "stack": ["emr-pipelines"]}


def test_address_hears_of_all_its_pipelines_when_several_name_it(topic: Topic) -> None:
    topic.apply({OPS: {"sales"}})
    topic.apply({OPS: {"sales", "import"}, PAT: {"import"}})

    assert topic.filters() == {OPS: ours("import", "sales"), PAT: ours("import")}


def test_subscription_is_removed_when_no_pipeline_names_its_address_any_more(topic: Topic) -> None:
    topic.apply({OPS: {"sales"}, PAT: {"sales"}})
    topic.apply({PAT: {"sales"}})

    assert topic.filters() == {PAT: ours("sales")}


def test_subscription_is_left_alone_when_somebody_else_has_made_it(topic: Topic) -> None:
    theirs = {"pipeline": ["sales"]}
    topic.sns.subscribe(TopicArn=topic.arn, Protocol="email", Endpoint=OPS)
    topic.sns.subscribe(
        TopicArn=topic.arn, Protocol="email", Endpoint=PAT, Attributes={"FilterPolicy": json.dumps(theirs)}
    )
    topic.apply({OPS: {"import"}})
    topic.apply({})

    assert topic.filters() == {OPS: {}, PAT: theirs}


def refuse(topic: Topic, monkeypatch: pytest.MonkeyPatch, address: str, why: str) -> None:
    """Let SNS refuse to subscribe an address with a filter."""
    subscribe = topic.sns.subscribe

    def refusing(**request: Any) -> Any:
        if request["Endpoint"] == address and request["Attributes"]:
            raise ClientError({"Error": {"Code": "InvalidParameter", "Message": why}}, "Subscribe")
        return subscribe(**request)

    monkeypatch.setattr(topic.subscriptions._sns, "subscribe", refusing)


def test_other_addresses_are_subscribed_when_sns_refuses_one(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(topic, monkeypatch, "bad@example.org", "Invalid parameter: Email address")
    refused = topic.apply({"bad@example.org": {"sales"}, OPS: {"sales"}, PAT: {"import"}})

    assert topic.filters() == {OPS: ours("sales"), PAT: ours("import")}
    assert refused == {"bad@example.org": "Subscribe was refused (InvalidParameter): Invalid parameter: Email address"}
    assert topic.subscribe({"bad@example.org": {"new"}, PAT: {"import", "new"}}) == refused
    assert topic.filters() == {OPS: ours("sales"), PAT: ours("import", "new")}


def test_filter_is_made_right_when_the_list_did_not_show_a_subscription_yet(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.apply({OPS: {"sales"}})
    refuse(topic, monkeypatch, OPS, "Attributes Reason: Subscription already exists with different attributes")
    monkeypatch.setattr(topic.subscriptions, "_list", dict)

    assert topic.subscribe({OPS: {"import", "sales"}}) == {}
    assert topic.filters() == {OPS: ours("import", "sales")}


def test_subscription_hears_of_the_whole_stack_when_a_filter_cannot_name_its_pipelines(topic: Topic) -> None:
    names = [f"pipeline-{number:03}" for number in range(151)]
    topic.apply({OPS: names[:150]})
    assert topic.filters() == {OPS: ours(*names[:150])}

    topic.apply({OPS: names})
    assert topic.filters() == {OPS: {"stack": ["emr-pipelines"]}}

    topic.apply({OPS: names[1:]})
    assert topic.filters() == {OPS: ours(*names[1:])}


class PendingSns:
    """SNS with one subscription that was never confirmed: its ARN is shown to nobody but who subscribes again."""

    def __init__(self, address: str, filter_policy: dict[str, Any]) -> None:
        self.address, self.filter_policy = address, filter_policy
        self.asked = 0

    def get_paginator(self, _operation: str) -> Any:
        return self

    def paginate(self, **_topic: str) -> list[dict[str, Any]]:
        pending = {"Protocol": "email", "Endpoint": self.address, "SubscriptionArn": "PendingConfirmation"}
        return [{"Subscriptions": [pending]}]

    def subscribe(self, *, Attributes: dict[str, str], **request: Any) -> dict[str, str]:  # noqa: N803 - boto3's
        assert (Attributes, request["ReturnSubscriptionArn"]) == ({}, True)
        self.asked += 1
        return {"SubscriptionArn": "arn:pending"}

    def get_subscription_attributes(self, **_arn: str) -> dict[str, Any]:
        return {"Attributes": {"FilterPolicy": json.dumps(self.filter_policy)}}

    def set_subscription_attributes(self, **request: str) -> None:
        self.filter_policy = json.loads(request["AttributeValue"])


@pytest.mark.parametrize(("ask_again", "filtered"), [(True, ours("import", "sales")), (False, ours("sales"))])
def test_address_is_asked_again_when_it_has_not_confirmed_and_its_pipeline_changes(
    topic: Topic, ask_again: bool, filtered: dict[str, Any]
) -> None:
    sns = PendingSns(OPS, ours("sales"))
    topic.subscriptions._sns = sns
    topic.subscribe({OPS: {"sales", "import"}}, ask_again=ask_again)
    topic.apply({OPS: {"sales", "import"}})

    assert (sns.asked, sns.filter_policy) == (int(ask_again), filtered)


def definition(name: str, *emails: str) -> Definition:
    """Return a pipeline that names addresses."""
    data = {"notifications": {"email": list(emails)}}
    return Definition(name=name, file=f"pipelines/{name}.yaml", version="v1", lines={}, data=data)


def test_addresses_are_those_of_the_registry_when_another_pipeline_is_registered_meanwhile(
    topic: Topic, record: RunRecord
) -> None:
    registry = PipelineRegistry("runs")
    registry.put(definition("sales", OPS))

    class Slow(EmailSubscriptions):
        """Lets somebody else register a pipeline between what was read and what is written."""

        def apply(self, wanted: Mapping[str, Collection[str]]) -> dict[str, str]:
            if not registry.find("import"):
                registry.put(definition("import", OPS, PAT))
                super().apply({OPS: {"import", "sales"}, PAT: {"import"}})
            return super().apply(wanted)

    _subscribe(registry, Slow(topic.arn, "emr-pipelines"))

    assert topic.filters() == {OPS: ours("import", "sales"), PAT: ours("import")}
