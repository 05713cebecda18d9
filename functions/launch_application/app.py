"""Outer state machine, "Launch Application" -> `launch_application`; the token is answered by an event."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.job_gateways import EmrGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.launch_application import launch_application

logger = Logger()
gateways = EmrGateways(record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])))
stacks = ClusterStacks(os.environ["CLUSTER_TEMPLATE_ROLE_ARN"])
slots = RunSlots(os.environ["RUN_TABLE"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Launch the application for `{"runId", "taskToken"}`."""
    logger.append_keys(run=event["runId"])
    launch_application(
        event["runId"],
        event["taskToken"],
        gateways,
        stacks=stacks,
        slots=slots,
        own_prices=os.environ["EMR_SERVERLESS_PRICES"],
    )
