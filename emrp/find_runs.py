"""Which runs there are: one by its id, those of a pipeline from the run record's index, all from Step Functions.

Step Functions also knows the executions that never reached the record, because what plans a run could not be called.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import boto3
from emr_pipelines.clock import iso_time, now, seconds_between
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import CANCELLED, FAILED, RUNNING, SKIPPED, SUCCEEDED, TIMED_OUT, Run, execution_arn

from emrp.errors import UsageError
from emrp.executions import newest_first
from emrp.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.literals import ExecutionStatusType
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef, ExecutionListItemTypeDef


class RunState(StrEnum):
    """What a run can be asked for by."""

    RUNNING = RUNNING
    SUCCEEDED = SUCCEEDED
    FAILED = FAILED
    CANCELLED = CANCELLED
    TIMED_OUT = TIMED_OUT
    SKIPPED = SKIPPED


# How the execution of a run in a state may have ended.
_STATUSES: dict[RunState, list["ExecutionStatusType"]] = {
    RunState.RUNNING: ["RUNNING"],
    RunState.SUCCEEDED: ["SUCCEEDED"],
    RunState.FAILED: ["FAILED", "ABORTED", "TIMED_OUT"],
    RunState.CANCELLED: ["ABORTED", "FAILED"],
    RunState.TIMED_OUT: ["TIMED_OUT", "ABORTED", "FAILED"],
    RunState.SKIPPED: ["SUCCEEDED", "FAILED"],
}


@dataclass(frozen=True)
class FoundRun:
    """A run; `recorded` tells whether the run record knows it.

    `execution_status` is asked for only when one run is looked for that has not ended.
    """

    run: Run
    recorded: bool
    execution_status: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took, or has been taking."""
        return seconds_between(self.run.started_at, self.run.ended_at or now())


def find_run(stack: Stack, run_id: str) -> FoundRun:
    """Return a run that is recorded or an execution; raises UsageError when it is neither."""
    run = RunRecord(stack.run_table).get_run(run_id)
    if run and run.ended:
        return FoundRun(run, recorded=True)
    execution = describe_execution(stack, run_id)
    return FoundRun(run or _unrecorded(execution), run is not None, execution["status"])


def describe_execution(stack: Stack, run_id: str) -> "DescribeExecutionOutputTypeDef":
    """Return what Step Functions says about a run; raises UsageError when there is no such run."""
    states = boto3.client("stepfunctions")
    arn = execution_arn(stack.pipeline_state_machine_arn, run_id)
    try:
        return states.describe_execution(executionArn=arn)
    except states.exceptions.ExecutionDoesNotExist:
        raise UsageError(
            f'There is no run "{run_id}": the run id is the name of an execution of the pipeline '
            f"state machine ({arn}). `{stack.command} list` shows the latest runs."
        ) from None


def list_runs(stack: Stack, *states: RunState, limit: int) -> list[FoundRun]:
    """Return the latest runs of all pipelines in any of some states, or in all states, newest first."""
    record = RunRecord(stack.run_table)
    runs = (
        _listed(stack, record, execution["name"]) for execution in _executions(stack.pipeline_state_machine_arn, states)
    )
    return list(islice((found for found in runs if not states or found.run.state in states), limit))


def list_runs_of(stack: Stack, pipeline: str, state: RunState | None, limit: int) -> list[FoundRun]:
    """Return the latest runs of a pipeline, newest first."""
    return [FoundRun(run, recorded=True) for run in RunRecord(stack.run_table).list_runs(pipeline, limit, state)]


def _executions(state_machine_arn: str, states: Iterable[RunState]) -> Iterator["ExecutionListItemTypeDef"]:
    """Yield the executions that may be runs in any of some states, newest first."""
    paginate = partial(
        boto3.client("stepfunctions").get_paginator("list_executions").paginate,
        stateMachineArn=state_machine_arn,
        PaginationConfig={"PageSize": 100},
    )
    statuses = dict.fromkeys(status for state in states for status in _STATUSES[state])
    streams = [paginate(statusFilter=status) for status in statuses] or [paginate()]
    found = (newest_first(execution for page in stream for execution in page["executions"]) for stream in streams)
    return heapq.merge(*found, key=lambda execution: execution["startDate"], reverse=True)


def _listed(stack: Stack, record: RunRecord, run_id: str) -> FoundRun:
    if run := record.get_run(run_id):
        return FoundRun(run, recorded=True)
    return FoundRun(_unrecorded(describe_execution(stack, run_id)), recorded=False)


def _unrecorded(execution: "DescribeExecutionOutputTypeDef") -> Run:
    """Return what Step Functions alone knows of a run."""
    try:
        asked = json.loads(execution["input"])
    except ValueError:
        asked = None
    return replace(
        Run.begin(execution["name"], execution["executionArn"], asked),
        started_at=iso_time(execution["startDate"]),
        state=CANCELLED if execution["status"] == "ABORTED" else execution["status"],
        ended_at=iso_time(execution["stopDate"]) if "stopDate" in execution else None,
        error=execution.get("error"),
        cause=execution.get("cause"),
    )
