"""Inner state machine, "Wait For Upstream" -> `wait_for_upstream`; the token is answered by the job that ends last."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.wait_for_upstream import wait_for_upstream

logger = Logger()
gateways = JobGateways(
    record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])),
    events=DomainEvents(os.environ["STACK_NAME"], EventMetrics(os.environ["STACK_NAME"]).observe),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Let the job wait of `{"runId", "job", "taskToken", "executionArn"}`."""
    logger.append_keys(run=event["runId"], job=event["job"])
    wait_for_upstream(event["runId"], event["job"], event["taskToken"], event["executionArn"], gateways)
