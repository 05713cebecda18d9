"""State machines, "Clean Up" and "End Jobs", and the end of an execution that could not get there -> `clean_up`."""

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
    if "jobs" in event:
        return _clean_up_jobs(event["runId"], event["jobs"], event["error"], readable_cause(event["cause"]))
    if "detail-type" in event and not event["detail"]["stateMachineArn"].endswith("-pipeline"):
        detail = event["detail"]
        asked = json.loads(detail["input"])
        names = [asked["job"]] if asked.get("job") else asked["jobs"]
        return _clean_up_jobs(asked["runId"], names, detail["status"], detail.get("error"), detail.get("cause"))
    request = _from_status_change(event["detail"]) if "detail-type" in event else event
    logger.append_keys(run=request["runId"])
    run = clean_up(
        Run.begin(request["runId"], request["executionArn"], request["input"], request.get("startedAt")),
        gateways,
        state=request.get("state"),
        error=request.get("error"),
        cause=readable_cause(request.get("cause")),
    )
    logger.info("Run ended", state=run.state, error=run.error)
    return {"state": run.state, "error": run.error or "", "cause": run.cause or ""}


def _clean_up_jobs(run_id: str, names: list[str], *reasons: str | None) -> dict[str, Any]:
    logger.append_keys(run=run_id)
    clean_up_jobs(run_id, names, ": ".join(filter(None, ["The execution of the job ended", *reasons])), gateways)
    return {}


def _from_status_change(detail: dict[str, Any]) -> dict[str, Any]:
    state, error, cause = end_of_execution(detail["status"], detail.get("error"), detail.get("cause"))
    return {
        "runId": detail["name"],
        "executionArn": detail["executionArn"],
        "input": json.loads(detail.get("input") or "{}"),
        "state": state,
        "error": error,
        "cause": cause,
    }
