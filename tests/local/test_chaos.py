"""Runs while everything around them fails: they end, with the truth, and leave nothing. `make chaos` has more."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.local.chaos.faults import TRIALS, Trial
from tests.local.chaos.invariants import check, check_all
from tests.local.chaos.scenarios import CLUSTER, STACK, TRANSIENT, PlannedJob, Scenario
from tests.local.chaos.world import World, world
from tests.local.conftest import eventually
from tests.local.deployed import ROOT

pytestmark = pytest.mark.chaos

FOREVER = Scenario((PlannedJob("a", seconds=600.0), PlannedJob("b", ("a",))), stopped=True)


@pytest.fixture(scope="module")
def chaos() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture(autouse=True)
def _calm_afterwards(chaos: World) -> Iterator[None]:
    yield
    chaos.faults()


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_run_ends_with_the_truth_when_one_thing_fails(chaos: World, trial: Trial) -> None:
    chaos.faults(calls=trial.calls, events=trial.events)
    run = chaos.start(trial.scenario)

    assert not check(chaos, [run])


@pytest.mark.parametrize("where", [TRANSIENT, CLUSTER, STACK])
@pytest.mark.parametrize("function", ["PlanRun", "LaunchApplication", "AddJobRun", "CleanUp"])
def test_run_leaves_nothing_behind_when_it_is_stopped_anywhere(chaos: World, function: str, where: str) -> None:
    held = {"effect": "delay", "function": f"*{function}*", "seconds": 2.0, "times": 1}
    chaos.faults(calls=[held])
    run = chaos.start(Scenario(where=where, stopped=True))
    eventually(chaos.struck)

    chaos.stop(run)

    assert not check(chaos, [run])
    assert chaos.items(f"RUN#{run.run_id}")["RUN"]["state"] in {"CANCELLED", "SUCCEEDED"}


def test_run_leaves_nothing_behind_when_somebody_cancels_its_job_run(chaos: World) -> None:
    run = chaos.start(Scenario(FOREVER.jobs, where=TRANSIENT, stopped=True))
    job_run_id = eventually(lambda: chaos.items(f"RUN#{run.run_id}").get("JOB#a", {}).get("job_run_id"), 60)
    application_id = chaos.items(f"RUN#{run.run_id}")["RUN"]["application_id"]
    emr = chaos.client("emr-serverless")
    emr.cancel_job_run(applicationId=application_id, jobRunId=job_run_id)

    assert not check(chaos, [run])
    assert chaos.items(f"RUN#{run.run_id}")["RUN"]["state"] == "FAILED"


def test_one_run_is_started_when_the_queue_delivers_twice(chaos: World) -> None:
    chaos.stack.register("chaos-uploads.yaml", json.dumps(uploads("chaos-uploads")))
    example = json.loads((ROOT / "events" / "start_pipeline.s3_object_created.json").read_text())
    message = json.loads(example["Records"][0]["body"])
    message["detail"]["bucket"]["name"] = chaos.stack.stack.bucket
    message["detail"]["object"]["key"] = f"landing/chaos/{uuid4().hex}.csv"
    for _ in range(2):
        chaos.client("sqs").send_message(QueueUrl=chaos.stack.stack.trigger_queue_url, MessageBody=json.dumps(message))

    eventually(lambda: started(chaos, "chaos-uploads"), 60)
    eventually(lambda: queue_is_empty(chaos), 60)
    assert len(started(chaos, "chaos-uploads")) == 1


def test_run_goes_on_when_its_pipeline_file_is_deleted(chaos: World) -> None:
    chaos.stack.register("chaos-deleted.yaml", json.dumps(uploads("chaos-deleted")))
    held = {"effect": "delay", "function": "*LaunchApplication*", "seconds": 2.0, "times": 1}
    chaos.faults(calls=[held])
    execution = chaos.client("stepfunctions").start_execution(
        stateMachineArn=chaos.stack.stack.pipeline_state_machine_arn,
        input=json.dumps({"pipeline": "chaos-deleted"}),
    )["executionArn"]
    eventually(chaos.struck)

    chaos.client("s3").delete_object(Bucket=chaos.stack.stack.bucket, Key="pipelines/chaos-deleted.yaml")

    assert chaos.stack.ended(execution) == "SUCCEEDED"


def test_nothing_is_left_of_all_these_runs_when_they_have_ended(chaos: World) -> None:
    assert not eventually_nothing(chaos)


def eventually_nothing(chaos: World) -> Any:
    """What concerns all runs, once the last executions have ended."""
    eventually(lambda: not chaos.open_executions(), 60)
    return check_all(chaos, chaos.started)


def uploads(name: str) -> dict[str, Any]:
    definition = Scenario((PlannedJob("a"),), pipeline=name).definition()
    return {**definition, "triggers": {"uploads": [{"prefix": "landing/chaos/"}]}}


def started(chaos: World, pipeline: str) -> list[str]:
    names = [execution["name"] for execution in chaos.stack.executions()]
    return [name for name in names if name.startswith(f"{pipeline}-")]


def queue_is_empty(chaos: World) -> bool:
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = chaos.stack.stack.trigger_queue_url
    found = chaos.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    return all(found[name] == "0" for name in counts)
