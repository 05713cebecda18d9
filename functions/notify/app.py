"""Domain events -> `notify` -> SNS."""

import os
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.log_tails import LogTails
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import Notification
from emr_pipelines.notify import Burst, notify

logger = Logger()
record = RunRecord(os.environ["RUN_TABLE"])
held = HeldNotifications(os.environ["RUN_TABLE"])
logs = LogTails()
topic = NotificationTopic(os.environ["NOTIFICATION_TOPIC_ARN"], os.environ["STACK_NAME"])
burst = Burst(int(os.environ["BURST_SIZE"]), timedelta(minutes=int(os.environ["BURST_MINUTES"])))

_WEEK_SECONDS = 7 * 24 * 3600
_once = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=_WEEK_SECONDS)
# Two: a layer remembers of which function it is, and one function calls the other.
_handled, _sent = (
    DynamoDBPersistenceLayer(
        os.environ["RUN_TABLE"],
        key_attr="pk",
        static_pk_value="NOTIFICATION",
        sort_key_attr="sk",
        expiry_attr="ttl",
        boto3_client=client("dynamodb"),
    )
    for _ in range(2)
)


@idempotent_function(data_keyword_argument="detail", config=_once, persistence_store=_handled)  # type: ignore[untyped-decorator]
def _notify_once(*, detail_type: str, detail: dict[str, Any]) -> str:
    return notify(detail_type, detail, record=record, held=held, logs=logs, publish=_publish, burst=burst)


def _publish(delivery_id: str, notification: Notification, to: str | None) -> None:
    """Send a notification to one topic; when the others of the event are tried again, not to this one."""
    _publish_once(delivery={"id": delivery_id}, notification=notification, to=to)


@idempotent_function(data_keyword_argument="delivery", config=_once, persistence_store=_sent)  # type: ignore[untyped-decorator]
def _publish_once(*, delivery: dict[str, str], notification: Notification, to: str | None) -> None:  # noqa: ARG001 - read by Powertools
    topic.publish(notification.subject, notification.body, notification.document, notification.attributes, to)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Handle one domain event; an event that comes again sends nothing."""
    _once.register_lambda_context(context)
    outcome = _notify_once(detail_type=event["detail-type"], detail=event["detail"])
    logger.info("Notified", event=event["detail-type"], id=event["detail"]["id"], outcome=outcome)
