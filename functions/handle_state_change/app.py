"""EMR's events -> `handle_state_change` -> run record, task token, domain event."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.handle_state_change import handle_state_change

logger = Logger()
gateways = JobGateways(
    record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])),
    events=DomainEvents(os.environ["STACK_NAME"], EventMetrics(os.environ["STACK_NAME"]).observe),
)
stacks = ClusterStacks()


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Handle one event of EMR Serverless, of EMR on EC2, or of a stack with a cluster."""
    concerned = handle_state_change(event, gateways, stacks=stacks)
    detail = event["detail"]
    logger.info(
        event["detail-type"],
        **concerned,
        application=detail.get("applicationId") or detail.get("clusterId"),
        job_run=detail.get("jobRunId") or detail.get("stepId"),
        stack=detail.get("stack-id"),
        state=detail.get("state"),
    )
