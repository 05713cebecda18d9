"""Following a run: its execution's history and the run record become one picture, taken again until the run ends."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import boto3
from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run, execution_arn

from emrp.find_runs import describe_execution
from emrp.history import Step, read_steps
from emrp.run_document import job_documents, run_document
from emrp.spark_ui import SparkProgress, SparkUis
from emrp.stack import Stack
from emrp.usual import NOTHING_USUAL, Usual, usual_durations

MAP_STATE = "Run Jobs"
_SECONDS_PER_JOB = 0.01  # every look reads the jobs of the run from the record


@dataclass(frozen=True)
class Picture:
    """A run at one moment; `status` is Step Functions' own, `steps` are the states that its execution has entered."""

    run_id: str
    execution_arn: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    cause: str | None
    steps: tuple[Step, ...]
    run: Run | None
    jobs: tuple[Job, ...]
    usual: Usual = NOTHING_USUAL
    progress: Mapping[str, SparkProgress] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Tell whether the run is over."""
        return self.status != "RUNNING"

    @property
    def succeeded(self) -> bool:
        """Tell whether the run is over and went well."""
        return self.status == "SUCCEEDED"

    def as_json(self) -> dict[str, Any]:
        """Return what a script may want to know."""
        known = {"runId": self.run_id, "executionArn": self.execution_arn, "status": self.status}
        run = {**run_document(self.run), "jobs": job_documents(self.run, self.jobs)} if self.run else {"jobs": []}
        end = iso_time(self.ended_at) if self.ended_at else None
        return {**run, **known, "error": self.error, "cause": self.cause, "endedAt": end}


class RunFollower:
    """Takes pictures of one run."""

    def __init__(self, stack: Stack, run_id: str) -> None:
        self._states = boto3.client("stepfunctions")
        self._record = RunRecord(stack.run_table)
        self._spark_uis = SparkUis()
        self._stack = stack
        self._run_id = run_id
        self._execution_arn = execution_arn(stack.pipeline_state_machine_arn, run_id)
        self._usual: Usual | None = None

    def follow(self, every_seconds: float) -> Iterator[Picture]:
        """Yield a picture now and then until the run has ended; the last one shows its end."""
        while True:
            picture = self.take()
            yield picture
            if picture.ended:
                return
            time.sleep(every_seconds + len(picture.jobs) * _SECONDS_PER_JOB)

    def take(self) -> Picture:
        """Take one picture; raises UsageError when there is no such run."""
        execution = describe_execution(self._stack, self._run_id)
        steps = read_steps(self._history())
        jobs = self._record.list_jobs(self._run_id)
        run = self._record.get_run(self._run_id)
        if self._usual is None and run and run.pipeline:
            self._usual = usual_durations(self._record, run)
        return Picture(
            run_id=self._run_id,
            execution_arn=self._execution_arn,
            status=execution["status"],
            started_at=execution["startDate"],
            ended_at=execution.get("stopDate"),
            error=execution.get("error"),
            cause=execution.get("cause"),
            steps=tuple(steps),
            run=run,
            jobs=tuple(jobs),
            usual=self._usual or NOTHING_USUAL,
            progress=self._spark_uis.progress(jobs),
        )

    def _history(self) -> Iterator[Mapping[str, Any]]:
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=self._execution_arn, includeExecutionData=False
        )
        for page in pages:
            yield from page["events"]
