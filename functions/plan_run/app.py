"""Outer state machine, "Plan Run" -> `plan_run` -> the jobs of the run."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.plan_run import plan_run
from emr_pipelines.stack import Stack

logger = Logger()
record = RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"]))
registry = PipelineRegistry(os.environ["RUN_TABLE"])
events = DomainEvents(os.environ["STACK_NAME"])
stack = Stack(
    os.environ["STACK_NAME"],
    os.environ["BUCKET"],
    os.environ["JOB_ROLE_ARN"],
    os.environ["CLUSTER_SERVICE_ROLE"],
    os.environ["CLUSTER_INSTANCE_PROFILE"],
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Plan the run of `{"runId", "executionArn", "input"}`."""
    logger.append_keys(run=event["runId"])
    result = plan_run(
        event["runId"],
        event["executionArn"],
        event["input"],
        record=record,
        registry=registry,
        events=events,
        stack=stack,
        started_at=event["startedAt"],
    )
    logger.info("Run planned", jobs=sum(map(len, result["jobs"])))
    return result
