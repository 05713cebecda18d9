"""S3 events of pipeline files -> `register_pipeline` -> registry, schedules, event rules."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.email_subscriptions import EmailSubscriptions
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.notification_topic import NotificationTopic
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket, name_of
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.schedules import Schedules
from emr_pipelines.register_pipeline import register_pipeline

logger = Logger()
bucket = PipelineBucket(os.environ["BUCKET"])
registry = PipelineRegistry(os.environ["RUN_TABLE"])
schedules = Schedules(
    os.environ["SCHEDULE_GROUP"],
    os.environ["SCHEDULE_ROLE_ARN"],
    os.environ["TRIGGER_QUEUE_ARN"],
    os.environ["EVENT_DEAD_LETTER_QUEUE_ARN"],
)
rules = EventRules(os.environ["STACK_NAME"], os.environ["TRIGGER_QUEUE_ARN"], os.environ["EVENT_DEAD_LETTER_QUEUE_ARN"])
subscriptions = EmailSubscriptions(os.environ["NOTIFICATION_TOPIC_ARN"], os.environ["STACK_NAME"])
notification_topic = NotificationTopic(os.environ["NOTIFICATION_TOPIC_ARN"], os.environ["STACK_NAME"])
events = DomainEvents(os.environ["STACK_NAME"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Handle "Object Created" or "Object Deleted" of a pipeline file."""
    name = name_of(event["detail"]["object"]["key"])
    result = register_pipeline(
        name,
        bucket=bucket,
        registry=registry,
        schedules=schedules,
        rules=rules,
        subscriptions=subscriptions,
        topic=notification_topic,
        events=events,
    )
    logger.info(
        "Pipeline file handled",
        pipeline=name,
        live_file=result.live and result.live.file,
        live_version=result.live and result.live.version,
        rejected=[str(error) for error in result.rejected.values()],
        not_subscribed=result.not_subscribed,
    )
