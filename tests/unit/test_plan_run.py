"""A pipeline file becomes the jobs of a run, or one error with everything that is wrong with it."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import InvalidPipelineError, InvalidRunInputError, PipelineNotFoundError
from emr_pipelines.gateways.pipeline_bucket import StoredFile
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.plan import plan
from emr_pipelines.run import Job, Run
from emr_pipelines.stack import Stack

from tests.unit.conftest import RUN_ID, SALARIES, example_event

MINIMAL = """\
name: small
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: s3://b/job.py}}
"""


def planned(text: str, stack: Stack, name: str = "small", **run: Any) -> tuple[Run, list[Job]]:
    """Plan a pipeline file for a run with id `r`."""
    values: dict[str, Any] = {"run_id": "r", "pipeline": name, "execution_arn": "arn", "started_at": "now", **run}
    return plan(Run(**values), StoredFile(f"pipelines/{name}.yaml", "v1", text), stack)


def problems(text: str, stack: Stack, **run: Any) -> str:
    """Return the error that a pipeline file leads to."""
    with pytest.raises(InvalidPipelineError) as caught:
        planned(text, stack, **run)
    return str(caught.value)


def test_plan_run_records_run_and_jobs_when_the_file_is_good(
    invoke: Callable[..., Any], record: RunRecord, s3: Any
) -> None:
    answer = invoke("plan_run", "upload")

    assert answer == {"runId": RUN_ID, "jobs": ["process"]}
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


def test_plan_reports_every_problem_with_path_and_line_when_a_file_has_several(stack: Stack) -> None:
    text = SALARIES.replace("name: salaries", "name: Salaries").replace("prefix:", "prefixx:")

    message = problems(text, stack, name="salaries")

    assert "pipelines/salaries.yaml has 3 problems:" in message
    assert "line 2: name: String should match pattern" in message
    assert "line 5: triggers.uploads[0].prefix: is missing" in message
    assert "line 5: triggers.uploads[0].prefixx: is not a field of a pipeline file" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("emr-7.9.0", "emr 7!", 'application.releaseLabel: "emr 7!" does not match'),
        ("type: SPARK", "types: SPARK", 'application: "type" is missing'),
        ("type: SPARK", "types: SPARK", 'is not a field of CreateApplicationRequest; did you mean "type"?'),
        ("entryPoint:", "entrypoint:", 'jobs[0].jobDriver.sparkSubmit: "entryPoint" is missing'),
        ("s3://b/job.py", "[1]", "jobs[0].jobDriver.sparkSubmit.entryPoint: must be text, not a list"),
        ("sparkSubmit:", "hive: {query: x}, sparkSubmit:", "must have exactly one of sparkSubmit, hive"),
        ("s3://b/job.py", "'{{ stack.buckett }}'", "has no attribute 'buckett'; in scope:"),
        (
            "s3://b/job.py",
            "'{{ nothing }}'",
            "line 5: jobs[0].jobDriver.sparkSubmit.entryPoint: 'nothing' is undefined",
        ),
        ("s3://b/job.py", "'{{ run.id'", "cannot be rendered"),
        ("s3://b/job.py", "\"{{ ''.__class__.__mro__ }}\"", "cannot be rendered: access to attribute"),
        ("name: only", "name: only\n    name: again", "jobs[0].name: is given twice"),
        ("name: small", "name: other", 'name: must be "small", as the file is called, not "other"'),
        ("jobs:", "extra: 1\njobs:", "line 3: extra: is not a field of a pipeline file"),
        ("  - name: only", "  - name: only\n  - name: only", "several jobs are named only"),
        ("type: SPARK", "type: SPARK, lifecycle: existing", 'lifecycle "existing" needs applicationId'),
        ("type: SPARK", "type: SPARK, applicationId: a1", 'goes with lifecycle "existing", not "shared"'),
    ],
)
def test_plan_names_the_problem_when_a_file_is_wrong(stack: Stack, old: str, new: str, expected: str) -> None:
    assert expected in problems(MINIMAL.replace(old, new), stack)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not YAML"),
        ("", "must be a mapping with name, application and jobs"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("\tname: x", "not YAML"),
    ],
)
def test_plan_says_so_when_a_file_is_not_a_pipeline_at_all(stack: Stack, text: str, expected: str) -> None:
    assert expected in problems(text, stack)


def test_plan_names_known_parameters_when_one_is_unknown(stack: Stack) -> None:
    message = problems(SALARIES, stack, name="salaries", parameters={"tops": 3})

    assert "parameters.tops: is not a parameter of this pipeline; it has: top, input" in message


def test_plan_keeps_what_the_file_says_when_the_stack_has_a_default(stack: Stack) -> None:
    text = MINIMAL + (
        "    executionRoleArn: arn:aws:iam::123456789012:role/mine\n"
        "    configurationOverrides:\n"
        "      monitoringConfiguration: {s3MonitoringConfiguration: {logUri: s3://mine/logs}}\n"
        "    tags: {team: data}\n"
    )
    _, (job,) = planned(text, stack)

    assert job.request["executionRoleArn"] == "arn:aws:iam::123456789012:role/mine"
    assert job.log_uri == "s3://mine/logs"
    assert job.request["tags"]["team"] == "data"
    assert job.request["tags"]["emr-pipelines:run"] == "r"


def test_plan_needs_no_application_request_when_the_application_exists(stack: Stack) -> None:
    text = MINIMAL.replace("{releaseLabel: emr-7.9.0, type: SPARK}", "{lifecycle: existing, applicationId: 00f1abc}")

    run, _ = planned(text, stack)

    assert (run.lifecycle, run.application_id, run.application) == ("existing", "00f1abc", {})


def test_plan_reads_on_as_a_word_when_notifications_are_chosen(stack: Stack) -> None:
    run, _ = planned(MINIMAL + "notifications: {on: [FAILED]}\n", stack)

    assert run.notify_on == ["FAILED"]
