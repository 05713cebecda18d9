"""The e-mail subscriptions of the stack's topic that pipeline files ask for.

One address has one subscription, so its filter names all pipelines whose notifications it wants. The filter also
names the stack, by which our subscriptions are told from those that somebody has made: these are left as they are.

What SNS refuses of one address (it is malformed, or the topic has as many filters as it may) is no reason to leave the
others alone.
"""

import json
from collections.abc import Collection, Iterable, Mapping

from emr_pipelines.errors import RequestRefusedError, ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

_PENDING = "PendingConfirmation"
_ALREADY_THERE = "already exists"  # with another filter, though the list did not show it yet
# https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
_MOST_VALUES = 150


class EmailSubscriptions:
    """Makes subscriptions what the pipeline files say; every call is safe to repeat."""

    def __init__(self, topic_arn: str, stack_name: str) -> None:
        self._sns = client("sns")
        self._topic_arn = topic_arn
        self._stack_name = stack_name

    def subscribe(self, wanted: Mapping[str, Collection[str]], *, ask_again: bool) -> dict[str, str]:
        """Let these addresses have a subscription of ours, each to the pipelines that it wants to hear of.

        AWS asks a new address for a confirmation, and with `ask_again` once more those that have not given it. The
        subscription of an address that never confirms is removed by SNS itself, after two days.

        Returns why SNS refuses what it does, by address: only trying tells.
        """
        return self._apply(self._list(), wanted, wanted, ask_again=ask_again)

    def apply(self, wanted: Mapping[str, Collection[str]]) -> dict[str, str]:
        """Let exactly these addresses have a subscription of ours; like `subscribe` otherwise."""
        present = self._list()
        # What goes makes room for what comes.
        return self._apply(present, [*present, *(wanted.keys() - present.keys())], wanted, ask_again=False)

    def _apply(
        self,
        present: Mapping[str, str],
        addresses: Iterable[str],
        wanted: Mapping[str, Collection[str]],
        *,
        ask_again: bool,
    ) -> dict[str, str]:
        refused = {}
        for address in addresses:
            try:
                self._apply_to(address, present.get(address), wanted.get(address, ()), ask_again=ask_again)
            except RequestRefusedError as error:
                refused[address] = str(error)
        return refused

    def _apply_to(self, address: str, arn: str | None, pipelines: Collection[str], *, ask_again: bool) -> None:
        if arn is None:
            try:
                self._subscribe(address, {"FilterPolicy": self._filter(pipelines)})
            except RequestRefusedError as error:
                if _ALREADY_THERE not in str(error):
                    raise
                self._adjust(self._subscribe(address, {}), pipelines)
        elif arn != _PENDING:
            self._adjust(arn, pipelines)
        elif pipelines and ask_again:
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
