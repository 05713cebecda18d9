"""Domain events -> `notify` -> SNS."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notify import notify

logger = Logger()
record = RunRecord(os.environ["RUN_TABLE"])
topic = NotificationTopic(os.environ["NOTIFICATION_TOPIC_ARN"])

_WEEK_SECONDS = 7 * 24 * 3600
_once = IdempotencyConfig(event_key_jmespath="id", expires_after_seconds=_WEEK_SECONDS)
_sent = DynamoDBPersistenceLayer(
    os.environ["RUN_TABLE"],
    key_attr="pk",
    static_pk_value="NOTIFICATION",
    sort_key_attr="sk",
    expiry_attr="ttl",
)


@idempotent_function(data_keyword_argument="detail", config=_once, persistence_store=_sent)  # type: ignore[untyped-decorator]
def _notify_once(*, detail_type: str, detail: dict[str, Any]) -> bool:
    return notify(detail_type, detail, record=record, topic=topic)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Handle one domain event; an event that comes again sends nothing."""
    _once.register_lambda_context(context)
    sent = _notify_once(detail_type=event["detail-type"], detail=event["detail"])
    logger.info("Notified", event=event["detail-type"], id=event["detail"]["id"], sent=sent)
