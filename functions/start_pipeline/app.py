"""Trigger queue -> `start_pipeline` -> executions of the outer state machine."""

import os
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.manifests import Manifests
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry, Registered
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.gateways.trigger_queue import TriggerQueue
from emr_pipelines.gateways.upload_batches import UploadBatches
from emr_pipelines.start_pipeline import start_pipeline

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(event_type=EventType.SQS)
registry = PipelineRegistry(os.environ["RUN_TABLE"])
record = RunRecord(os.environ["RUN_TABLE"])
batches = UploadBatches(os.environ["RUN_TABLE"])
manifests = Manifests(os.environ["BUCKET"])
queue = TriggerQueue(os.environ["TRIGGER_QUEUE_URL"], os.environ["REJECTED_TRIGGER_QUEUE_URL"])
step_functions = StepFunctions()
events = DomainEvents(os.environ["STACK_NAME"])


def _start(message: SQSRecord, pipelines: Sequence[Registered]) -> None:
    result = start_pipeline(
        message.body,
        pipelines,
        record=record,
        batches=batches,
        manifests=manifests,
        queue=queue,
        events=events,
        step_functions=step_functions,
        state_machine_arn=os.environ["PIPELINE_STATE_MACHINE_ARN"],
    )
    metrics.add_metric("RunsStarted", MetricUnit.Count, len(result.started))
    metrics.add_metric("TriggersRejected", MetricUnit.Count, int(result.rejected is not None))
    metrics.add_metric("UploadsIgnored", MetricUnit.Count, int(result.ignored))
    logger.info(
        "Message handled",
        message_id=message.message_id,
        started=result.started,
        repeated=result.repeated,
        rejected=result.rejected,
        ignored=result.ignored,
    )


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle a batch of SQS messages; those that fail are reported back and come again."""
    pipelines = registry.list()
    return dict(process_partial_response(event, lambda record: _start(record, pipelines), processor, context))
