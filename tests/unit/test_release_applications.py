"""Before the stack goes, so does everything that it has made elsewhere; CloudFormation is answered in any case."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways.cloudformation import CloudFormation
from emr_pipelines.gateways.event_rules import EventRules

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeEmrServerless, FakeStepFunctions

Invoke = Callable[..., Any]

OURS = {"emr-pipelines:stack": "emr-pipelines"}


class FakeCloudFormation(CloudFormation):
    """Remembers how it was answered."""

    def __init__(self) -> None:
        self.answers: list[str | None] = []

    def answer(self, request: dict[str, Any], problem: str | None) -> None:
        self.answers.append(problem)


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch, record: Any, emr: FakeEmrServerless) -> FakeCloudFormation:
    """CloudFormation that deletes the stack; between two looks, EMR takes a step."""
    module = importlib.import_module("release_applications.app")
    fake = FakeCloudFormation()
    monkeypatch.setattr(module, "cloudformation", fake)
    monkeypatch.setattr(module, "_SECONDS_TO_ANSWER", 0.0)
    queue = "arn:aws:sqs:us-east-1:123456789012:emr-pipelines-TriggerQueue"
    monkeypatch.setattr(module, "rules", EventRules("emr-pipelines", queue, queue))
    monkeypatch.setattr("emr_pipelines.release_applications.time.sleep", lambda _: advance(emr))
    return fake


def advance(emr: FakeEmrServerless) -> None:
    """Let applications stop that are stopping, and cancelled job runs end."""
    for job_run_id in emr.asked("cancel_job_run"):
        emr.set_job_run(job_run_id, "CANCELLED", application_id=emr.job_runs[job_run_id].application_id)
    stopping = {application_id for application_id, state in emr.applications.items() if state == "STOPPING"}
    emr.applications |= dict.fromkeys(stopping, "STOPPED")


def put_rule(name: str) -> None:
    boto3.client("events").put_rule(Name=name, EventPattern=json.dumps({"source": ["x"]}))


def rules() -> set[str]:
    return {rule["Name"] for rule in boto3.client("events").list_rules()["Rules"]}


@pytest.fixture
def started(cloudformation: FakeCloudFormation, emr: FakeEmrServerless) -> FakeEmrServerless:
    """A started application with a job run, one that is stopped, and one of somebody else with a job run of ours."""
    emr.applications |= {"started": "STARTED", "stopped": "STOPPED", "foreign": "STARTED"}
    for job_run_id, application_id in (("run1", "started"), ("run2", "foreign"), ("run3", "foreign")):
        emr.set_job_run(job_run_id, "RUNNING", application_id=application_id)
    emr.tags |= {"started": OURS, "stopped": OURS, "run2": OURS, "run3": {"emr-pipelines:stack": "another"}}
    return emr


def test_everything_of_the_stack_goes_when_it_is_deleted(
    invoke: Invoke, cloudformation: FakeCloudFormation, started: FakeEmrServerless, step_functions: FakeStepFunctions
) -> None:
    started.job_runs.pop("run3")  # the fake lets no application stop while any job run is open
    step_functions.executions[RUN_ID] = {}
    for name in ("emr-pipelines.salaries.1234567890", "emr-pipeline.salaries.1234567890", "other"):
        put_rule(name)

    invoke("release_applications", "delete")

    assert cloudformation.answers == [None]
    assert started.applications == {"started": "TERMINATED", "stopped": "TERMINATED", "foreign": "STARTED"}
    assert [arn.rpartition(":")[2] for arn in step_functions.stopped] == [RUN_ID]
    assert rules() == {"emr-pipeline.salaries.1234567890", "other"}


def test_job_runs_of_others_run_on_when_the_stack_is_deleted(
    invoke: Invoke, cloudformation: FakeCloudFormation, started: FakeEmrServerless
) -> None:
    started.applications.pop("started")
    started.job_runs.pop("run1")

    invoke("release_applications", "delete")

    assert started.asked("cancel_job_run") == ["run2"]
    assert started.job_runs["run3"].state == "RUNNING"


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_cloudformation_is_answered_when_there_is_nothing_to_do(
    invoke: Invoke, cloudformation: FakeCloudFormation, started: FakeEmrServerless, kind: str
) -> None:
    invoke("release_applications", {**example_event("release_applications.delete"), "RequestType": kind})

    assert cloudformation.answers == [None]
    assert started.requests == []


def test_cloudformation_hears_why_when_aws_fails(
    invoke: Invoke, cloudformation: FakeCloudFormation, started: FakeEmrServerless
) -> None:
    started.failures["list_applications"] = TransientError("ListApplications: throttled")
    invoke("release_applications", "delete")

    assert cloudformation.answers == ["TransientError: ListApplications: throttled"]


def test_cloudformation_hears_what_is_left_when_time_is_up(
    invoke: Invoke,
    cloudformation: FakeCloudFormation,
    started: FakeEmrServerless,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started.failures["stop_application"] = RequestRefusedError("StopApplication", "ValidationException", "No.")
    monkeypatch.setattr("release_applications.app._SECONDS_TO_ANSWER", 30.0)  # all of the time that there is
    invoke("release_applications", "delete")

    (problem,) = cloudformation.answers
    assert problem is not None
    assert problem.startswith("ApplicationsLeftError: These do not stop: started (STARTED)")
