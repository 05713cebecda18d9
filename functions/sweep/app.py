"""A schedule -> `sweep` -> nothing that clean-up or an event has missed is left."""

import os
from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.aws import PATIENT
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.run_gateways import RunGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.sweep import sweep

logger = Logger()
metrics = Metrics()
gateways = RunGateways(
    record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])),
    emr=EmrServerless(PATIENT),
    clusters=EmrOnEc2(PATIENT),
    events=DomainEvents(os.environ["STACK_NAME"], EventMetrics(os.environ["STACK_NAME"]).observe),
    slots=RunSlots(os.environ["RUN_TABLE"]),
)
held = HeldNotifications(os.environ["RUN_TABLE"])


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Sweep what has been left for `{"graceSeconds"}`, in which clean-up and events do it. Returns `{"leftovers"}`."""
    removals = sweep(
        os.environ["STACK_NAME"],
        os.environ["PIPELINE_STATE_MACHINE_ARN"],
        timedelta(seconds=event["graceSeconds"]),
        gateways,
        held=held,
    )
    for removal in removals:
        logger.warning("Left over", exc_info=removal.problem, leftover=removal.as_json())
    failed = sum(removal.problem is not None for removal in removals)
    metrics.add_metric("LeftoversFound", MetricUnit.Count, len(removals))
    metrics.add_metric("LeftoversNotRemoved", MetricUnit.Count, failed)
    logger.info("Swept", found=len(removals), failed=failed)
    return {"leftovers": [removal.as_json() for removal in removals]}
