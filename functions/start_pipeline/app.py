"""Trigger queue -> `start_pipeline` -> executions of the outer state machine."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.start_pipeline import start_pipeline

logger = Logger()
metrics = Metrics()
processor = BatchProcessor(event_type=EventType.SQS)
bucket = PipelineBucket(os.environ["BUCKET"])
step_functions = StepFunctions()


def _start(record: SQSRecord) -> None:
    result = start_pipeline(
        record.body,
        bucket=bucket,
        step_functions=step_functions,
        state_machine_arn=os.environ["PIPELINE_STATE_MACHINE_ARN"],
    )
    metrics.add_metric("UploadsIgnored", MetricUnit.Count, int(result.ignored))
    metrics.add_metric("RunsStarted", MetricUnit.Count, len(result.started))
    logger.info(
        "Upload handled",
        key=result.upload.key,
        started=result.started,
        repeated=result.repeated,
        ignored=result.ignored,
    )


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle a batch of SQS messages; those that fail are reported back and come again."""
    return dict(process_partial_response(event, _start, processor, context))
