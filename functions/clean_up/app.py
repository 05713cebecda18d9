"""State machines, "Clean Up" and "Clean Up Jobs", and the end of an execution that got to neither -> `clean_up`."""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from emr_pipelines.clean_up import clean_up, clean_up_jobs, end_of_execution, readable_cause
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.run_gateways import RunGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.run import Run

logger = Logger()
gateways = RunGateways(
    record=RunRecord(os.environ["RUN_TABLE"], int(os.environ["RUN_RETENTION_DAYS"])),
    events=DomainEvents(os.environ["STACK_NAME"], EventMetrics(os.environ["STACK_NAME"]).observe),
    slots=RunSlots(os.environ["RUN_TABLE"]),
)


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Clean up after `{"runId", "executionArn", "input", "error", "cause"}`.

    It also takes `{"runId", "jobs", "error", "cause"}` of jobs whose execution has failed, and a "Step Functions
    Execution Status Change" event, of the run or of some of its jobs. Returns `{"state", "error", "cause"}` of the run.
    """
    request = _from_status_change(event["detail"]) if "detail-type" in event else event
    logger.append_keys(run=request["runId"])
    state, error, cause = request.get("state"), request.get("error"), readable_cause(request.get("cause"))
    if "jobs" in request:
        why = ": ".join(filter(None, ["The execution of the job ended", state, error, cause]))
        clean_up_jobs(request["runId"], request["jobs"], why, gateways)
        return {}
    run = clean_up(
        Run.begin(request["runId"], request["executionArn"], request["input"], request.get("startedAt")),
        gateways,
        state=state,
        error=error,
        cause=cause,
    )
    logger.info("Run ended", state=run.state, error=run.error)
    return {"state": run.state, "error": run.error or "", "cause": run.cause or ""}


def _from_status_change(detail: dict[str, Any]) -> dict[str, Any]:
    """Return what the state machines ask for when they get so far, of the run or of its jobs."""
    asked = json.loads(detail.get("input") or "{}")
    state, error, cause = detail["status"], detail.get("error"), detail.get("cause")
    if not detail["stateMachineArn"].endswith("-pipeline"):
        jobs = [asked["job"]] if asked.get("job") else asked["jobs"]
        return {"runId": asked["runId"], "jobs": jobs, "state": state, "error": error, "cause": cause}
    state, error, cause = end_of_execution(state, error, cause)
    return {
        "runId": detail["name"],
        "executionArn": detail["executionArn"],
        "input": asked,
        "state": state,
        "error": error,
        "cause": cause,
    }
