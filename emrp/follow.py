"""Following a run: its executions' histories and the run record become one picture, taken again until the run ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.job_state import JobState, is_final
from emr_pipelines.run import Job, Run, execution_arn

from emrp.find_runs import describe_execution
from emrp.history import Step, read_steps
from emrp.phrases import reason
from emrp.run_document import job_documents, run_document
from emrp.stack import Stack

MAP_STATE = "Run Jobs"
FEW_JOBS = 4  # so many are followed into their state machines; of more, the run record says enough
_SECONDS_PER_JOB = 0.01  # every look reads the jobs of the run from the record


@dataclass(frozen=True)
class Picture:
    """A run at one moment; `status` is Step Functions' own."""

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
        end = self.ended_at.isoformat() if self.ended_at else None
        return {**run, **known, "error": self.error, "cause": self.cause, "endedAt": end}


class RunFollower:
    """Takes pictures of one run."""

    def __init__(self, stack: Stack, run_id: str) -> None:
        self._states = boto3.client("stepfunctions")
        self._record = RunRecord(stack.run_table)
        self._run_id = run_id
        self._execution_arn = execution_arn(stack.pipeline_state_machine_arn, run_id)
        self._finished: dict[str, Step] = {}

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
        execution = describe_execution(self._execution_arn)
        steps = read_steps(self._history(self._execution_arn))
        jobs = self._record.list_jobs(self._run_id)
        look_inside = len(jobs) <= FEW_JOBS
        job_steps = tuple(step for job in jobs if (step := self._job_step(job, look_inside=look_inside)))
        return Picture(
            run_id=self._run_id,
            execution_arn=self._execution_arn,
            status=execution["status"],
            started_at=execution["startDate"],
            ended_at=execution.get("stopDate"),
            error=execution.get("error"),
            cause=execution.get("cause"),
            steps=tuple(replace(step, steps=job_steps) if step.name == MAP_STATE else step for step in steps),
            run=self._record.get_run(self._run_id),
            jobs=tuple(jobs),
        )

    def _job_step(self, job: Job, *, look_inside: bool) -> Step | None:
        if job.execution_arn is None or job.reused_from or not look_inside:
            return recorded_step(job)
        if job.name not in self._finished:
            step = job_step(job, self._history(job.execution_arn))
            if step.ended_at is None:
                return step
            self._finished[job.name] = step
        return self._finished[job.name]

    def _history(self, arn: str) -> list[Mapping[str, Any]]:
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=arn, includeExecutionData=False
        )
        return [event for page in pages for event in page["events"]]


def recorded_step(job: Job) -> Step | None:
    """Return a job as the run record alone knows it, or None when it has neither begun nor ended."""
    began = job.states[0]["at"] if job.states and not job.reused_from else job.ended_at
    if began is None:
        return None
    detail = ""
    if job.reused_from:
        detail = f"done by {job.reused_from}"
    elif job.ended and not job.succeeded:
        detail = f"{job.state}: {reason(job.state_details)}" if job.state_details else job.state
    ended = datetime.fromisoformat(job.ended_at) if job.ended_at else None
    return Step(job.name, datetime.fromisoformat(began), ended, job.unsuccessful, detail)


def job_step(job: Job, history: Sequence[Mapping[str, Any]]) -> Step:
    """Return a job with what happened in it: the inner machine's states, and below them the job run's states."""
    over = next((event for event in history if _is_end(event["type"])), None)
    states = read_steps(history)
    timeline = _timeline(job)
    for position, state in reversed(list(enumerate(states))):
        # A job run state belongs to the state of the machine in which it began.
        own = tuple(step for step in timeline if step.started_at >= state.started_at or position == 0)
        timeline = timeline[: len(timeline) - len(own)]
        states[position] = replace(state, steps=own)
    started_at = states[0].started_at if states else datetime.now(UTC)
    failed = over is not None and over["type"] != "ExecutionSucceeded"
    return Step(job.name, started_at, over["timestamp"] if over else None, failed, steps=tuple(states))


def _is_end(event_type: str) -> bool:
    return event_type.startswith("Execution") and event_type != "ExecutionStarted"


def _timeline(job: Job) -> list[Step]:
    """Return the states of a job run, each until the next one began; EMR may report one more than once."""
    first_seen: dict[str, datetime] = {}
    for change in sorted(job.states, key=lambda change: change["at"]):  # they were recorded as their events arrived
        first_seen.setdefault(change["state"], datetime.fromisoformat(change["at"]))
    ends = [*first_seen.values(), None][1:]
    return [
        Step(state, at, at if is_final(state) else end, failed=is_final(state) and state != JobState.SUCCESS)
        for (state, at), end in zip(first_seen.items(), ends, strict=False)
    ]
