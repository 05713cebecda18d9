"""The e-mail subscriptions of the stack's topic that pipeline files ask for.

One address has one subscription, so its filter names all pipelines whose notifications it wants. The filter also
names the stack, by which our subscriptions are told from those that somebody has made: these are left as they are.

What SNS refuses of one address (it is malformed, or the topic has as many filters as it may) is no reason to leave the
others alone.
"""

import json
from collections.abc import Collection, Mapping

from emr_pipelines.errors import RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

_PENDING = "PendingConfirmation"
# https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
_MOST_VALUES = 150


class EmailSubscriptions:
    """Makes subscriptions what the pipeline files say; every call is safe to repeat."""

    def __init__(self, topic_arn: str, stack_name: str) -> None:
        self._sns = client("sns")
        self._topic_arn = topic_arn
        self._stack_name = stack_name

    def refusals(self, pipeline: str, addresses: Collection[str]) -> dict[str, str]:
        """Subscribe the addresses that are not subscribed yet, and return why SNS refuses some: only trying tells."""
        refused = {}
        for address in set(addresses) - self._list().keys() if addresses else ():
            try:
                self._subscribe(address, {"FilterPolicy": self._filter([pipeline])})
            except RequestRefusedError as error:
                if not _is_there(error):
                    refused[address] = str(error)
        return refused

    def apply(self, wanted: Mapping[str, Collection[str]], ask_again: Collection[str]) -> dict[str, str]:
        """Let exactly these addresses have a subscription of ours, each to the pipelines that it wants to hear of.

        AWS asks a new address for a confirmation, and those of `ask_again` once more that have not given it. The
        subscription of an address that never confirms is removed by SNS itself, after two days.

        Returns why SNS refuses what it does, by address.
        """
        refused = {}
        present = self._list()
        for address in [*present, *(wanted.keys() - present.keys())]:  # what goes makes room for what comes
            try:
                self._apply(address, present.get(address), wanted.get(address, ()), ask_again)
            except RequestRefusedError as error:
                refused[address] = str(error)
        return refused

    def _apply(self, address: str, arn: str | None, pipelines: Collection[str], ask_again: Collection[str]) -> None:
        if arn is None:
            try:
                self._subscribe(address, {"FilterPolicy": self._filter(pipelines)})
            except RequestRefusedError as error:
                if not _is_there(error):
                    raise
                self._adjust(self._subscribe(address, {}), pipelines)
        elif arn != _PENDING:
            self._adjust(arn, pipelines)
        elif pipelines and address in ask_again:
            self._adjust(self._subscribe(address, {}), pipelines)  # only so one gets to know its ARN

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
        """Return the filter for these pipelines; when it cannot name so many, it lets all of the stack's through."""
        ours = {"stack": [self._stack_name]}
        return json.dumps(ours if len(pipelines) > _MOST_VALUES else {"pipeline": sorted(pipelines), **ours})


def _is_there(error: RequestRefusedError) -> bool:
    """Return whether an address has a subscription with another filter, which the list did not show yet."""
    return "already exists" in str(error)
