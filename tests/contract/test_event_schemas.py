"""The schemas in events/schemas are what the code publishes, what the examples hold and what readers may rely on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from emr_pipelines import domain_event
from emr_pipelines.cost import find_prices
from emr_pipelines.definition import Definition
from emr_pipelines.domain_event import DETAILS, JOB_ENDINGS, RUN_ENDINGS, DomainEvent
from emr_pipelines.errors import InvalidPipelineError, InvalidTriggerError, Problem
from emr_pipelines.gateways.domain_events import SOURCE
from emr_pipelines.leftovers import Kind, Leftover
from emr_pipelines.run import Job, Run
from emr_pipelines.sweep import Removal
from jsonschema import Draft202012Validator

from emrp.event_schemas import FOLDER, schemas
from tests.contract.cloud import example_events

RUN = Run(
    run_id="salaries-1",
    pipeline="salaries",
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:salaries-1",
    started_at="2026-11-20T14:00:00.000000Z",
    trigger={"type": "event", "event": {"source": "x"}, "chain": ["import"]},
)
JOB = Job(run_id="salaries-1", pipeline="salaries", name="process", position=0, request={})
SUBMITTED = replace(
    JOB,
    application_id="00f1",
    job_run_id="00f2",
    attempts=2,
    log_uri="s3://bucket/logs/",
    resources={"vCPUHour": 0.5, "memoryGBHour": 2.0, "storageGBHour": 10.0},
    states=[{"state": "SUBMITTED", "at": "2026-11-20T14:00:10.000000Z"}],
    ended_at="2026-11-20T14:01:00.000000Z",
    state_details="ExitCode: 1.",
)
PRICES = find_prices("us-east-1", "X86_64")
DEFINITION = Definition(name="salaries", file="pipelines/salaries.yaml", version="v1", data={}, lines={})
PROBLEMS = [Problem("jobs", "is missing", 3), Problem("", "is no mapping")]
LEFT = Removal(
    Leftover(kind=Kind.JOB_RUN_LEFT, run_id="r", why="it has not ended", job_run_id="00f2"), ValueError("no")
)
EVENTS = [
    *(domain_event.pipeline_run_ended(replace(RUN, state=state), []) for state in RUN_ENDINGS),
    domain_event.pipeline_run_ended(
        replace(RUN, state="FAILED", error="E", cause="c", ended_at="2026-11-20T14:01:00Z", output="s3://b/o"),
        [SUBMITTED],
    ),
    *(
        domain_event.job_run_ended(replace(job, state=state), prices)
        for state in JOB_ENDINGS
        for job, prices in ((JOB, None), (SUBMITTED, PRICES))
    ),
    domain_event.job_run_retried(SUBMITTED, 1, None),
    domain_event.pipeline_run_started(RUN, 3),
    domain_event.pipeline_run_overdue(RUN, 30),
    domain_event.trigger_rejected("{", InvalidTriggerError("it is not JSON")),
    domain_event.sweep_completed([LEFT.as_json()]),
    domain_event.notifications_collected("salaries", "FAILED", "salaries-1/FAILED"),
    domain_event.pipeline_registered(DEFINITION),
    domain_event.pipeline_retired("salaries", "pipelines/salaries.yaml", "v1"),
    domain_event.pipeline_file_rejected("salaries", "v1", InvalidPipelineError("pipelines/salaries.yaml", PROBLEMS)),
]
PUBLISHED = [path for path in example_events() if json.loads(path.read_text()).get("source") == SOURCE]


@cache
def schema(detail_type: str) -> Any:
    """Return the schema of an event as it is published in events/."""
    return json.loads((FOLDER / f"{detail_type}.json").read_text())


def problems(detail_type: str, detail: Mapping[str, Any]) -> list[str]:
    """Return what the schema says against the detail of an event, and which of its fields it does not know."""
    published = {"stack": "emr-pipelines", **detail}
    errors = Draft202012Validator(schema(detail_type)).iter_errors(json.loads(json.dumps(published)))
    unknown = published.keys() - schema(detail_type)["properties"].keys()
    return [*(error.message for error in errors), *unknown]


def test_schemas_are_those_that_are_generated_when_they_are_read() -> None:
    found = {path: path.read_text() for path in FOLDER.iterdir()}

    assert found == schemas(), "run `python -m emrp.event_schemas`"


@pytest.mark.parametrize("detail_type", DETAILS)
def test_schema_is_valid_and_describes_what_is_not_plain_when_it_is_read(detail_type: str) -> None:
    Draft202012Validator.check_schema(schema(detail_type))

    assert schema(detail_type)["description"]
    assert schema(detail_type)["properties"]["id"]["description"]


def test_every_event_has_an_example_here_when_it_can_be_published() -> None:
    assert {event.detail_type for event in EVENTS} == set(DETAILS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.detail["id"])
def test_event_is_as_its_schema_says_when_it_is_published(event: DomainEvent) -> None:
    assert problems(event.detail_type, event.detail) == []


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_example_is_as_its_schema_says_when_it_is_one_of_ours(path: Path) -> None:
    event = json.loads(path.read_text())

    assert problems(event["detail-type"], event["detail"]) == []


def test_event_is_refused_when_a_field_is_missing_or_has_another_type() -> None:
    """Guards the tests above."""
    detail = dict(domain_event.pipeline_run_overdue(RUN, 30).detail)

    assert problems("Pipeline Run Overdue", {**detail, "expectedMinutes": "30"})
    assert problems("Pipeline Run Overdue", {**detail, "more": 1}) == ["more"]
    detail.pop("run")
    assert problems("Pipeline Run Overdue", detail)
