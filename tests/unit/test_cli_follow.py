from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import boto3
import pytest
from emr_pipelines.clock import duration, iso_time
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run, execution_arn
from rich.console import Console

from emrp.errors import UsageError
from emrp.follow import RunFollower
from emrp.progress import Stages
from emrp.usual import Usual
from tests.unit.conftest import deployed_stack

STACK = deployed_stack()


def at(second: int) -> datetime:
    return datetime(2026, 11, 21, 12, 0, second, tzinfo=UTC)


def entered(name: str, second: int) -> dict[str, Any]:
    return {"id": 0, "type": "TaskStateEntered", "timestamp": at(second), "stateEnteredEventDetails": {"name": name}}


class FakeAws:
    """Step Functions with one execution, which ends while somebody looks, and EMR in the cloud."""

    class exceptions:  # noqa: N801 - boto3's name
        class ExecutionDoesNotExist(Exception):  # noqa: N818 - boto3's name
            pass

    class meta:  # noqa: N801 - boto3's name
        endpoint_url = "https://emr-serverless.eu-west-1.amazonaws.com"

    def __init__(self) -> None:
        self.looks = 0

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if not executionArn.endswith(":salaries-1"):
            raise self.exceptions.ExecutionDoesNotExist
        self.looks += 1
        if self.looks < 3:
            return {"status": "RUNNING", "startDate": at(0)}
        return {"status": "SUCCEEDED", "startDate": at(0), "stopDate": at(20)}

    def get_paginator(self, operation: str) -> "FakeAws":
        assert operation == "get_execution_history"
        return self

    def paginate(self, executionArn: str, includeExecutionData: bool) -> list[dict[str, Any]]:  # noqa: N803
        events = [entered("Plan Run", 0), entered("Run Jobs", 1)]
        over = [{"id": 0, "type": "ExecutionSucceeded", "timestamp": at(20)}] if self.looks > 2 else []
        return [{"events": events}, {"events": over}]


@pytest.fixture
def fake_aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(boto3, "client", lambda _: fake)
    return fake


def recorded_run(record: RunRecord, number: int, seconds: int) -> Run:
    """Record a run that succeeded, with a job that took all of its time."""
    run_id = f"salaries-{number}"
    run = Run(run_id=run_id, pipeline="salaries", execution_arn="outer", started_at=iso_time(at(0)))
    job = Job(run_id=run_id, pipeline="salaries", name="process", position=0, request={})
    record.create_run(run)
    record.save_plan(replace(run, output=f"s3://bucket/output/salaries/{run_id}"), [job])
    record.record_state(job, "RUNNING", iso_time(at(0)))
    record.record_state(job, "SUCCESS", iso_time(at(seconds)))
    return run


def ended(record: RunRecord, run: Run, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr("emr_pipelines.gateways.run_record.now", lambda: iso_time(at(seconds)))
    record.end_run(run.run_id, "SUCCEEDED", None, None)


def test_pictures_are_taken_until_the_run_has_ended(record: RunRecord, fake_aws: FakeAws) -> None:
    recorded_run(record, 1, seconds=8)

    pictures = list(RunFollower(STACK, "salaries-1").follow(every_seconds=0))

    assert [picture.ended for picture in pictures] == [False, False, True]
    assert pictures[-1].succeeded
    assert [step.name for step in pictures[-1].steps] == ["Plan Run", "Run Jobs"]
    assert [(job.name, job.state) for job in pictures[-1].jobs] == [("process", "SUCCESS")]
    assert pictures[-1].as_json()["output"] == "s3://bucket/output/salaries/salaries-1"
    assert pictures[-1].as_json()["endedAt"].endswith("Z")


def test_usual_is_the_median_of_earlier_runs_when_a_run_is_followed(
    record: RunRecord, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_run(record, 1, seconds=50)
    for number, seconds in ((2, 10), (3, 30), (4, 14)):
        ended(record, recorded_run(record, number, seconds), monkeypatch, seconds + 2)

    assert RunFollower(STACK, "salaries-1").take().usual == Usual(16, {"process": 14})


def test_nothing_is_usual_when_a_pipeline_has_not_succeeded_yet(record: RunRecord, fake_aws: FakeAws) -> None:
    recorded_run(record, 1, seconds=50)

    assert RunFollower(STACK, "salaries-1").take().usual == Usual()


def test_following_refuses_when_there_is_no_such_run(record: RunRecord, fake_aws: FakeAws) -> None:
    with pytest.raises(UsageError, match='There is no run "other"'):
        RunFollower(STACK, "other").take()


def test_execution_arn_is_the_run_when_the_state_machine_is_known() -> None:
    assert execution_arn(STACK.pipeline_state_machine_arn, "run") == (
        "arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:run"
    )


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
