"""SNS: e-mail subscriptions are confirmed and delivered, to the local inbox; Lambda subscriptions are retried.

ministack takes every e-mail subscription as confirmed and only logs its messages. Here, as on AWS, a new one
is pending until the link in its confirmation message was opened, and from then on the messages that pass its
filter policy arrive.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from ministack.core.responses import AccountRegionScopedDict
from ministack.services import sns

from emrp.local.inbox import Inbox
from emrp.local.patches.anchors import edit, replace

_EMAIL_PROTOCOLS = frozenset({"email", "email-json"})
_SENDER = "AWS Notifications"
_ADDRESS = "no-reply@sns.amazonaws.com"

Subscription = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]


def install(inbox: Inbox) -> None:
    """Deliver e-mail subscriptions to this inbox, and to functions as Lambda's asynchronous invocation does."""
    replace(sns, "_fanout", "984cdd91d64a", partial(_delivering, inbox))
    replace(sns, "_subscribe", "db260c543268", partial(_asking_again, inbox))
    edit(
        sns,
        "_deliver_to_lambda",
        (
            "_lambda_svc._execute_function_with_config_scope(exec_record, event)",
            "_lambda_svc.invoke_async_with_retry(exec_record, event)",
        ),
    )
    replace(sns, "_list_subscriptions", "03d4e93081a0", _hiding_pending)
    replace(sns, "_list_subscriptions_by_topic", "02119f3da935", _hiding_pending)
    sns._sub_arn_to_topic = _subscription_registry(inbox)


def _subscription_registry(inbox: Inbox) -> AccountRegionScopedDict:
    """Return an index of subscriptions, in which every way to create one (API, CloudFormation) ends."""

    class SubscriptionRegistry(AccountRegionScopedDict):  # type: ignore[misc]
        """Makes a new e-mail subscription a pending one."""

        __slots__ = ()

        def __setitem__(self, arn: str, topic_arn: str) -> None:
            super().__setitem__(arn, topic_arn)
            subscription = sns._find_subscription(topic_arn, arn)
            if subscription and subscription["protocol"] in _EMAIL_PROTOCOLS:
                subscription["confirmed"] = False
                subscription["token"] = uuid4().hex
                subscription["attributes"]["PendingConfirmation"] = "true"
                subscription["attributes"]["ConfirmationWasAuthenticated"] = "false"
                _ask_for_confirmation(inbox, subscription)

    return SubscriptionRegistry()


def _asking_again(inbox: Inbox, subscribe: Action) -> Action:
    """Make Subscribe answer "pending confirmation", unless the ARN is wanted, and ask again at a second call."""

    def subscribe_by_email(params: dict[str, Any]) -> Response:
        known = set(sns._sub_arn_to_topic.keys())
        response = subscribe(params)
        for subscription in _pending_by_email():
            if subscription["arn"].encode() in response[2]:
                if subscription["arn"] in known:
                    _ask_for_confirmation(inbox, subscription)
                if sns._p(params, "ReturnSubscriptionArn") == "true":
                    return response
                return _with_arn(response, subscription["arn"], "pending confirmation")
        return response

    return subscribe_by_email


def _hiding_pending(listing: Action) -> Action:
    """Make a listing show PendingConfirmation where a subscription has no ARN yet."""

    def list_subscriptions(params: dict[str, Any]) -> Response:
        response = listing(params)
        for subscription in _pending_by_email():
            response = _with_arn(response, subscription["arn"], "PendingConfirmation")
        return response

    return list_subscriptions


def _delivering(inbox: Inbox, fanout: Callable[..., None]) -> Callable[..., None]:
    """Make publishing reach the confirmed e-mail subscriptions too."""

    def fanout_with_email(  # noqa: PLR0917 -- the signature of what it replaces
        topic_arn: str,
        msg_id: str,
        message: str,
        subject: str,
        message_structure: str = "",
        message_attributes: dict[str, Any] | None = None,
        **fifo: str,
    ) -> None:
        fanout(topic_arn, msg_id, message, subject, message_structure, message_attributes, **fifo)
        attributes = message_attributes or {}
        topic = sns._topic_by_arn_any_scope(topic_arn) or {"subscriptions": []}
        for subscription in topic["subscriptions"]:
            protocol = subscription["protocol"]
            if protocol not in _EMAIL_PROTOCOLS or not subscription["confirmed"]:
                continue
            text = sns._resolve_message_for_protocol(message, message_structure, protocol)
            if not sns._matches_filter_policy(subscription, attributes, text):
                continue
            if protocol == "email-json":
                body = sns._build_envelope(topic_arn, msg_id, text, subject, attributes, False)
            else:
                body = f"{text}\n\n--\n{_unsubscribe_footer(subscription)}"
            inbox.deliver(
                to=subscription["endpoint"],
                sender=_sender(topic),
                subject=subject or "AWS Notification Message",
                body=body,
            )

    return fanout_with_email


def _ask_for_confirmation(inbox: Inbox, subscription: Subscription) -> None:
    topic_arn = subscription["topic_arn"]
    link = _link(Action="ConfirmSubscription", TopicArn=topic_arn, Token=subscription["token"])
    inbox.deliver(
        to=subscription["endpoint"],
        sender=_sender(sns._topic_by_arn_any_scope(topic_arn)),
        subject="AWS Notification - Subscription Confirmation",
        body=(
            f"You have chosen to subscribe to the topic:\n{topic_arn}\n\n"
            "To confirm this subscription, click or visit the link below "
            f"(If this was in error no action is necessary):\n{link}\n"
        ),
    )


def _unsubscribe_footer(subscription: Subscription) -> str:
    link = _link(Action="Unsubscribe", SubscriptionArn=subscription["arn"])
    return (
        "If you wish to stop receiving notifications from this topic, please click or visit the link below "
        f"to unsubscribe:\n{link}\n"
    )


def _link(**parameters: str) -> str:
    return f"{os.environ['AWS_ENDPOINT_URL']}/?{urlencode(parameters)}"


def _sender(topic: dict[str, Any]) -> str:
    return f"{topic['attributes'].get('DisplayName') or _SENDER} <{_ADDRESS}>"


def _pending_by_email() -> list[Subscription]:
    return [
        subscription
        for topic in sns._topics.values()
        for subscription in topic["subscriptions"]
        if subscription["protocol"] in _EMAIL_PROTOCOLS and not subscription["confirmed"]
    ]


def _with_arn(response: Response, arn: str, replacement: str) -> Response:
    status, headers, body = response
    element = "<SubscriptionArn>{}</SubscriptionArn>".format
    return status, headers, body.replace(element(arn).encode(), element(replacement).encode())
