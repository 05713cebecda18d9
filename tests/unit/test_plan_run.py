"""The input of an execution becomes a recorded run with its jobs, or a clear reason why it cannot."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from emr_pipelines.errors import InvalidPipelineError, InvalidRunInputError, PipelineNotFoundError
from emr_pipelines.gateways.run_record import RunRecord

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents


def test_plan_run_records_run_and_jobs_when_the_file_is_good(
    invoke: Callable[..., Any], record: RunRecord, s3: Any
) -> None:
    answer = invoke("plan_run", "upload")

    assert answer == {"runId": RUN_ID, "jobs": [["process"]], "endsAt": None}
    run = record.get_run(RUN_ID)
    assert run is not None
    assert (run.state, run.pipeline, run.lifecycle) == ("RUNNING", "salaries", "shared")
    assert run.parameters["top"] == 10
    assert run.application["tags"] == {
        "emr-pipelines:stack": "emr-pipelines",
        "emr-pipelines:pipeline": "salaries",
    }
    (job,) = record.list_jobs(RUN_ID)
    driver = job.request["jobDriver"]["sparkSubmit"]
    assert driver["entryPoint"] == "s3://bucket/jobs/process_salaries.py"
    assert driver["entryPointArguments"] == [
        "s3://bucket/landing/salaries/2026-11.csv",
        f"s3://bucket/output/salaries/{RUN_ID}",
        "--top",
        "10",
    ]
    assert job.request["executionRoleArn"] == "arn:aws:iam::123456789012:role/job"
    assert job.log_uri == "s3://bucket/logs/"


def test_plan_run_uses_given_parameters_when_started_from_the_console(
    invoke: Callable[..., Any], record: RunRecord
) -> None:
    invoke("plan_run", "console")

    (job,) = record.list_jobs(RUN_ID)
    arguments = job.request["jobDriver"]["sparkSubmit"]["entryPointArguments"]
    assert arguments[0] == "s3://bucket/landing/salaries/"
    assert arguments[-1] == "3"


def test_plan_run_changes_nothing_when_it_is_repeated(invoke: Callable[..., Any], record: RunRecord) -> None:
    invoke("plan_run", "upload")
    before = record.get_run(RUN_ID), record.list_jobs(RUN_ID)
    invoke("plan_run", "upload")

    assert (record.get_run(RUN_ID), record.list_jobs(RUN_ID)) == before


def test_plan_run_cancels_the_jobs_when_the_run_was_stopped_before(
    invoke: Callable[..., Any], record: RunRecord
) -> None:
    invoke("clean_up", "execution_aborted")
    answer = invoke("plan_run", "upload")

    assert answer["jobs"] == []
    (job,) = record.list_jobs(RUN_ID)
    assert (job.state, job.state_details) == ("CANCELLED", "The run had ended: CANCELLED.")


def test_plan_run_publishes_the_start_once_known_by_its_id_when_it_is_repeated(
    invoke: Callable[..., Any], events: FakeDomainEvents
) -> None:
    for _ in range(2):
        invoke("plan_run", "upload")

    assert [(event.detail_type, event.detail["id"], event.detail["jobs"]) for event in events.published] == [
        ("Pipeline Run Started", f"{RUN_ID}/STARTED", 1)
    ] * 2


def test_plan_run_publishes_no_start_when_the_run_was_stopped_before(
    invoke: Callable[..., Any], events: FakeDomainEvents
) -> None:
    invoke("clean_up", "execution_aborted")
    events.published.clear()
    invoke("plan_run", "upload")

    assert events.published == []


def test_plan_run_lists_the_pipelines_when_the_name_is_unknown(invoke: Callable[..., Any], record: RunRecord) -> None:
    event = example_event("plan_run.console")
    event["input"]["pipeline"] = "salary"

    with pytest.raises(PipelineNotFoundError, match=r"no pipeline \"salary\"\. Registered pipelines: salaries"):
        invoke("plan_run", event)
    recorded = record.get_run(RUN_ID)
    assert recorded is not None
    assert recorded.pipeline == "salary"


@pytest.mark.parametrize(
    "run_input", [{"pipeline": "salaries", "parameters": [3]}, {"pipeline": "salaries", "trigger": 1}]
)
def test_plan_run_says_what_an_execution_takes_when_its_input_is_wrong(
    invoke: Callable[..., Any], run_input: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRunInputError, match=r"must be a mapping, not .* An execution takes input like"):
        invoke("plan_run", example_event("plan_run.console") | {"input": run_input})


@pytest.mark.parametrize("run_input", [None, [], "salaries", {}])
def test_plan_run_lists_the_pipelines_when_the_input_names_none(invoke: Callable[..., Any], run_input: object) -> None:
    event = example_event("plan_run.console") | {"input": run_input}

    with pytest.raises(PipelineNotFoundError):
        invoke("plan_run", event)
    assert invoke("clean_up", event | {"error": "PipelineNotFoundError"})["state"] == "FAILED"


def test_plan_run_plans_the_definition_when_the_input_brings_one(invoke: Callable[..., Any], record: RunRecord) -> None:
    definition = {
        "name": "inline",
        "parameters": {"rows": 1},
        "timeoutMinutes": 10,
        "application": {"releaseLabel": "emr-7.9.0", "type": "SPARK"},
        "jobs": [{"name": "only", "jobDriver": {"sparkSubmit": {"entryPoint": "s3://b/{{ parameters.rows }}.py"}}}],
    }
    event = example_event("plan_run.console") | {"input": {"definition": definition, "parameters": {"rows": 7}}}

    answer = invoke("plan_run", event)

    run = record.get_run(RUN_ID)
    assert run is not None
    assert (run.pipeline, run.pipeline_file) == ("inline", "the definition in the input of the execution")
    assert answer["endsAt"] == datetime.fromisoformat(run.started_at).timestamp() + 600
    (job,) = record.list_jobs(RUN_ID)
    assert job.request["jobDriver"]["sparkSubmit"]["entryPoint"] == "s3://b/7.py"


def test_plan_run_plans_the_example_when_it_is_an_inline_definition(invoke: Callable[..., Any]) -> None:
    assert invoke("plan_run", "inline_definition")["jobs"] == [["process"]]


def test_plan_run_names_every_problem_when_the_definition_it_is_given_is_wrong(invoke: Callable[..., Any]) -> None:
    event = example_event("plan_run.console") | {"input": {"definition": {"name": "inline", "jobs": []}}}

    with pytest.raises(
        InvalidPipelineError, match=r"definition in the input of the execution has 2 problems"
    ) as caught:
        invoke("plan_run", event)

    assert {problem.path for problem in caught.value.problems} == {"application", "jobs"}
