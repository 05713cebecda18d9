"""The e-mail subscriptions of the stack's topic that pipeline files ask for.

One address has one subscription, so its filter names all pipelines whose notifications it wants. The filter also
names the stack, by which our subscriptions are told from those that somebody has made: these are left as they are.
"""

import json
from collections.abc import Collection, Mapping

from emr_pipelines.errors import ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

_PENDING = "PendingConfirmation"


class EmailSubscriptions:
    """Makes subscriptions what the pipeline files say; every call is safe to repeat."""

    def __init__(self, topic_arn: str, stack_name: str) -> None:
        self._sns = client("sns")
        self._topic_arn = topic_arn
        self._stack_name = stack_name

    def apply(self, wanted: Mapping[str, Collection[str]], ask_again: Collection[str]) -> None:
        """Let exactly these addresses have a subscription of ours, each to the pipelines that it wants to hear of.

        AWS asks a new address for a confirmation, and those of `ask_again` once more that have not given it. The
        subscription of an address that never confirms is removed by SNS itself, after two days.
        """
        present = self._list()
        for address in wanted.keys() - present.keys():
            self._subscribe(address, {"FilterPolicy": self._filter(wanted[address])})
        for address, arn in present.items():
            if arn != _PENDING:
                self._adjust(arn, wanted.get(address, ()))
            elif address in wanted and address in ask_again:
                self._adjust(self._subscribe(address, {}), wanted[address])  # only so one gets to know its ARN

    def _list(self) -> dict[str, str]:
        with translated_errors():
            pages = self._sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self._topic_arn)
            return {
                subscription["Endpoint"]: subscription["SubscriptionArn"]
                for page in pages
                for subscription in page["Subscriptions"]
                if subscription["Protocol"] == "email"
            }

    def _subscribe(self, address: str, attributes: dict[str, str]) -> str:
        with translated_errors():
            answer = self._sns.subscribe(
                TopicArn=self._topic_arn,
                Protocol="email",
                Endpoint=address,
                Attributes=attributes,
                ReturnSubscriptionArn=True,
            )
        arn: str = answer["SubscriptionArn"]
        return arn

    def _adjust(self, arn: str, pipelines: Collection[str]) -> None:
        """Let a subscription of ours be for these pipelines, or remove it when there are none."""
        try:
            with translated_errors():
                attributes = self._sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
                present, filtered = attributes.get("FilterPolicy") or "{}", self._filter(pipelines)
                if json.loads(present).get("stack") != [self._stack_name]:
                    return
                if not pipelines:
                    self._sns.unsubscribe(SubscriptionArn=arn)
                elif json.loads(present) != json.loads(filtered):
                    self._sns.set_subscription_attributes(
                        SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue=filtered
                    )
        except ResourceMissingError:
            return  # the person has unsubscribed just now

    def _filter(self, pipelines: Collection[str]) -> str:
        return json.dumps({"pipeline": sorted(pipelines), "stack": [self._stack_name]})
