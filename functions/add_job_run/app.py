"""Inner state machine, "Add Job Run" -> `add_job_run`; the token is answered once the job run has ended."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.add_job_run import add_job_run
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.job_outputs import JobOutputs
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.stack import Stack

logger = Logger()
gateways = JobGateways(
    record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])),
    events=DomainEvents(os.environ["STACK_NAME"], EventMetrics(os.environ["STACK_NAME"]).observe),
)
outputs = JobOutputs()
stack = Stack(os.environ["STACK_NAME"], os.environ["BUCKET"], os.environ["JOB_ROLE_ARN"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Submit the job of `{"runId", "job", "taskToken", "executionArn"}`."""
    logger.append_keys(run=event["runId"], job=event["job"])
    add_job_run(
        event["runId"], event["job"], event["taskToken"], event["executionArn"], gateways, outputs=outputs, stack=stack
    )
