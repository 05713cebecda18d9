"""Outer state machine, "Wait For Slot" -> `wait_for_slot`; the token is answered when the run may go on."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.wait_for_slot import wait_for_slot

logger = Logger()
record = RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"]))
step_functions = StepFunctions()
slots = RunSlots(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"]))


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Let the run of `{"runId", "taskToken"}` wait."""
    logger.append_keys(run=event["runId"])
    wait_for_slot(event["runId"], event["taskToken"], record=record, slots=slots, step_functions=step_functions)
