from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import boto3
import pytest
from emr_pipelines.clock import duration
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run, execution_arn
from rich.console import Console

from emrp.errors import UsageError
from emrp.follow import FEW_JOBS, Picture, RunFollower, job_step, recorded_step
from emrp.history import Step
from emrp.progress import RunProgress, Stages
from tests.unit.conftest import deployed_stack

STACK = deployed_stack()


def at(second: float) -> datetime:
    return datetime(2026, 11, 21, 12, 0, tzinfo=UTC).replace(
        second=int(second), microsecond=round(second % 1 * 1_000_000)
    )


def job(*states: tuple[str, float]) -> Job:
    return Job(
        run_id="salaries-1",
        pipeline="salaries",
        name="process",
        position=0,
        request={},
        execution_arn="inner",
        state=states[-1][0],
        states=[{"state": state, "at": at(second).isoformat()} for state, second in states],
    )


def entered(name: str, second: float) -> dict[str, Any]:
    return {"id": 0, "type": "TaskStateEntered", "timestamp": at(second), "stateEnteredEventDetails": {"name": name}}


def ended(kind: str, second: float) -> dict[str, Any]:
    return {"id": 0, "type": f"Execution{kind}", "timestamp": at(second)}


def test_job_run_states_stand_below_the_state_they_began_in_when_an_event_was_late() -> None:
    followed = job(("RUNNING", 3), ("SUBMITTED", 1), ("SUCCESS", 9))
    history = [entered("Add Job Run", 0), entered("Check Status", 8), ended("Succeeded", 10)]

    step = job_step(followed, history)

    below = [(state.name, [inner.name for inner in state.steps]) for state in step.steps]
    assert below == [("Add Job Run", ["SUBMITTED", "RUNNING"]), ("Check Status", ["SUCCESS"])]
    assert (step.seconds(at(59)), step.failed) == (10, False)


def test_running_state_has_no_end_when_the_job_still_runs() -> None:
    step = job_step(job(("SUBMITTED", 1), ("RUNNING", 3)), [entered("Add Job Run", 0)])

    submitted, running = step.steps[0].steps
    assert (submitted.seconds(at(59)), running.ended_at, step.ended_at) == (2, None, None)


def test_job_is_failed_when_its_execution_failed() -> None:
    step = job_step(job(("SUBMITTED", 1), ("FAILED", 3)), [entered("Add Job Run", 0), ended("Failed", 4)])

    assert step.failed
    assert [inner.failed for inner in step.steps[0].steps] == [False, True]


class FakeStates:
    """Step Functions with one execution and its inner one, which end while somebody looks."""

    class exceptions:  # noqa: N801 - boto3's name
        class ExecutionDoesNotExist(Exception):  # noqa: N818 - boto3's name
            pass

    def __init__(self) -> None:
        self.looks = 0
        self.histories_read: list[str] = []

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if not executionArn.endswith(":salaries-1"):
            raise self.exceptions.ExecutionDoesNotExist
        self.looks += 1
        if self.looks < 3:
            return {"status": "RUNNING", "startDate": at(0)}
        return {"status": "SUCCEEDED", "startDate": at(0), "stopDate": at(20)}

    def get_paginator(self, operation: str) -> "FakeStates":
        assert operation == "get_execution_history"
        return self

    def paginate(self, executionArn: str, includeExecutionData: bool) -> list[dict[str, Any]]:  # noqa: N803
        self.histories_read.append(executionArn)
        if executionArn == "inner":
            return [{"events": [entered("Add Job Run", 2)]}, {"events": [ended("Succeeded", 9)]}]
        events = [entered("Plan Run", 0), entered("Run Jobs", 1)]
        return [{"events": [*events, ended("Succeeded", 20)] if self.looks > 2 else events}]


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> FakeStates:
    fake = FakeStates()
    monkeypatch.setattr(boto3, "client", lambda _: fake)
    return fake


@pytest.fixture
def followed(record: RunRecord, states: FakeStates) -> FakeStates:
    run = Run(run_id="salaries-1", pipeline="salaries", execution_arn="outer", started_at=at(0).isoformat())
    run = record.create_run(run)
    record.save_plan(replace(run, output="s3://bucket/output/salaries/salaries-1"), [job(("SUCCESS", 8))])
    return states


def test_pictures_are_taken_until_the_run_has_ended(followed: FakeStates) -> None:
    pictures = list(RunFollower(STACK, "salaries-1").follow(every_seconds=0))

    assert [picture.ended for picture in pictures] == [False, False, True]
    assert pictures[-1].succeeded
    assert [step.name for step in pictures[-1].steps] == ["Plan Run", "Run Jobs"]
    assert [step.name for step in pictures[-1].steps[1].steps] == ["process"]
    assert pictures[-1].as_json()["output"] == "s3://bucket/output/salaries/salaries-1"


def test_history_of_a_job_is_read_once_when_the_job_is_over(followed: FakeStates) -> None:
    list(RunFollower(STACK, "salaries-1").follow(every_seconds=0))

    assert followed.histories_read.count("inner") == 1


def test_following_refuses_when_there_is_no_such_run(record: RunRecord, states: FakeStates) -> None:
    with pytest.raises(UsageError, match='There is no run "other"'):
        RunFollower(STACK, "other").take()


def test_execution_arn_is_the_run_when_the_state_machine_is_known() -> None:
    assert execution_arn(STACK.pipeline_state_machine_arn, "run") == (
        "arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:run"
    )


def picture(*steps: Step, status: str = "RUNNING") -> Picture:
    return Picture(
        run_id="salaries-1",
        execution_arn="arn",
        status=status,
        started_at=at(0),
        ended_at=None,
        error=None,
        cause=None,
        steps=steps,
        run=None,
        jobs=(),
    )


def shown(*pictures: Picture, terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=80, color_system=None, _environ={})
    with RunProgress(console) as progress:
        for one in pictures:
            progress.show(one)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


PLAN_RUN = Step("Plan Run", at(0), at(1))
PROCESS = Step("process", at(1), at(9), failed=True, steps=(Step("RUNNING", at(2), at(8)),))


def test_each_step_is_a_line_once_when_there_is_no_terminal() -> None:
    before = picture(PLAN_RUN, Step("Run Jobs", at(1)))
    after = picture(PLAN_RUN, Step("Run Jobs", at(1), at(10), steps=(PROCESS,)), status="FAILED")

    assert shown(before, before, after, terminal=False).splitlines() == [
        "✓ Plan Run  1.0 s",
        "✓ Run Jobs > process > RUNNING  6.0 s",
        "✗ Run Jobs > process  8.0 s",
        "✓ Run Jobs  9.0 s",
    ]


def test_state_that_was_entered_twice_is_two_lines_when_there_is_no_terminal() -> None:
    twice = picture(Step("Check Status", at(0), at(1)), Step("Check Status", at(1), at(3)))

    assert shown(twice, terminal=False).splitlines() == ["✓ Check Status  1.0 s", "✓ Check Status  2.0 s"]


def test_steps_are_indented_below_each_other_on_a_terminal() -> None:
    output = shown(picture(PLAN_RUN, Step("Run Jobs", at(1), steps=(PROCESS,))), terminal=True)

    assert "Run salaries-1" in output
    assert "  ✓ Plan Run " in output
    assert "    ✗ process " in output
    assert "      ✓ RUNNING " in output


def test_stages_are_summed_up_with_their_times() -> None:
    console = Console(file=StringIO(), width=80, _environ={})
    stages = Stages(console)
    with stages.stage("Build"):
        pass
    with stages.quiet_stage("Run"):
        pass

    assert list(stages.seconds) == ["Build", "Run"]
    assert stages.summary().row_count == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (3_720, "1 h 02 min")]
)
def test_duration_is_readable_when_it_is_short_or_long(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_job_has_no_states_yet_when_emr_has_reported_none() -> None:
    silent = replace(job(("SUBMITTED", 1)), states=[])

    step = job_step(silent, [entered("Add Job Run", 0)])

    assert [state.steps for state in step.steps] == [()]


def test_state_stands_once_when_emr_reported_it_twice() -> None:
    step = job_step(job(("SUBMITTED", 1), ("RUNNING", 2), ("RUNNING", 5)), [entered("Add Job Run", 0)])

    assert [(state.name, state.ended_at) for state in step.steps[0].steps] == [("SUBMITTED", at(2)), ("RUNNING", None)]


def graph_job(name: str, state: str, **more: Any) -> Job:
    values: dict[str, Any] = {"run_id": "salaries-1", "pipeline": "salaries", "position": 0, "request": {}}
    return Job(name=name, state=state, **{**values, **more})


def test_job_that_did_not_run_is_a_step_with_its_reason() -> None:
    skipped = graph_job("b", "SKIPPED", ended_at=at(3).isoformat(), state_details="Not every upstream job succeeded.")
    reused = graph_job("a", "SUCCESS", ended_at=at(3).isoformat(), reused_from="salaries-0", execution_arn="inner")

    assert recorded_step(graph_job("c", "NOT_SUBMITTED")) is None
    assert recorded_step(skipped) == Step("b", at(3), at(3), detail="SKIPPED: Not every upstream job succeeded.")
    assert recorded_step(reused) == Step("a", at(3), at(3), detail="done by salaries-0")


def test_histories_of_jobs_are_not_read_when_a_run_has_many(record: RunRecord, states: FakeStates) -> None:
    run = record.create_run(Run(run_id="salaries-1", execution_arn="outer", started_at=at(0).isoformat()))
    jobs = [graph_job(f"job{number}", "RUNNING", execution_arn="inner") for number in range(FEW_JOBS + 1)]
    record.save_plan(run, jobs)

    RunFollower(STACK, "salaries-1").take()

    assert "inner" not in states.histories_read


def test_graph_is_shown_on_a_terminal_when_a_run_has_many_jobs() -> None:
    run = Run(run_id="salaries-1", execution_arn="outer", started_at=at(0).isoformat())
    jobs = [graph_job("split", "SUCCESS"), *(graph_job(f"count{n}", "RUNNING", upstream=["split"]) for n in range(5))]
    steps = (PLAN_RUN, Step("Run Jobs", at(1), steps=(PROCESS,)), Step("Clean Up", at(9)))

    output = shown(replace(picture(*steps), run=run, jobs=tuple(jobs)), terminal=True)

    assert "    ├ ▶ count0" in output
    assert output.index("✓ Plan Run") < output.index("count4") < output.index("Clean Up")
    assert "6 jobs: 5 RUNNING, 1 SUCCESS" in output
    assert "✗ process" not in output
