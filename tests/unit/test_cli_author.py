"""`emrp validate`, `plan` and `schema`: what somebody who writes a pipeline sees, without AWS."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from emr_pipelines.pipeline_schema import pipeline_schema
from emr_pipelines.state_transitions import planned_transitions
from emr_pipelines.yaml_document import parse_yaml

from tests.unit.conftest import ROOT, Command
from tests.unit.pipeline_files import MINIMAL, arguments, file_of, job, planned
from tests.unit.test_pipeline import EVERYTHING

Draft202012Validator: Any = importlib.import_module("jsonschema").Draft202012Validator  # it has no type hints
LOOP = file_of(
    job("first"),
    job(
        "part",
        dependsOn=["first"],
        forEach={"n": [1, 2, 3]},
        jobDriver=arguments("{{ item.n }}", "{{ jobs['first'].output.rows }}"),
    ),
    job("nothing", forEach={"n": []}),
)


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these commands may ask AWS for anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("AWS was asked")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A good pipeline file."""
    path = tmp_path / "small.yaml"
    path.write_text(MINIMAL)
    return path


def test_validate_finds_nothing_when_all_files_are_good(emrp: Command, small: Path) -> None:
    code, out, _ = emrp("validate", str(small), str(ROOT / "pipelines"))

    assert code == 0
    assert f"{small}: all right" in out
    assert "salaries.yaml: all right" in out


def test_validate_names_file_line_and_path_when_files_are_wrong(emrp: Command, small: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MINIMAL.replace("entryPoint:", "entrypoint:"))

    code, out, _ = emrp("validate", str(tmp_path))

    assert code == 1
    assert f"{small}: all right" in out
    assert f'{wrong}:1: name: must be "wrong", as the file is called, not "small"' in out
    assert f'{wrong}:5: jobs[0].jobDriver.sparkSubmit: "entryPoint" is missing' in out


def test_validate_prints_one_document_when_json_is_asked_for(emrp: Command, small: Path) -> None:
    small.write_text(MINIMAL.replace("only", "Only"))

    code, out, _ = emrp("validate", str(small), "--json")

    (result,) = json.loads(out)
    assert (code, result["file"], result["valid"]) == (1, str(small), False)
    assert {problem["path"] for problem in result["problems"]} == {"jobs[0].name"}
    assert result["problems"][0]["line"] == 4


def test_other_files_are_checked_when_one_cannot_be_read(emrp: Command, small: Path, tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: größe".encode("latin-1"))

    code, out, _ = emrp("validate", str(tmp_path), "--json")
    planned_code, planned_out, _ = emrp("plan", str(latin))

    assert (code, planned_code) == (1, 1)
    assert [(result["file"], result["valid"]) for result in json.loads(out)] == [
        (str(latin), False),
        (str(small), True),
    ]
    assert f"{latin}: cannot be read" in planned_out


def test_validate_says_so_when_there_is_no_pipeline_file(emrp: Command, tmp_path: Path) -> None:
    code, _, err = emrp("validate", str(tmp_path))

    assert code == 2
    assert "There is no pipeline file" in err


def test_plan_shows_jobs_requests_and_cost_when_a_file_is_good(emrp: Command, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(LOOP)

    code, out, _ = emrp("plan", str(path))

    assert code == 0
    assert "part.3  (n = 3)" in out
    assert "nothing  (SKIPPED: forEach: n is an empty list.)" in out
    assert "part.1: StartJobRun (2 more like it, which --json shows)" in out
    assert "Once its upstream jobs have ended: jobDriver.sparkSubmit.entryPointArguments[1]" in out
    assert "{{ jobs['first'].output.rows }}" in out
    assert "(for each n: 3 jobs)" in out
    assert "20 state transitions" in out


def test_plan_prints_every_request_when_json_is_asked_for(emrp: Command, tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(LOOP)

    code, out, _ = emrp("--stack", "mine", "plan", str(path), "--json")

    document = json.loads(out)
    assert code == 0
    assert [found["name"] for found in document["jobs"]] == ["first", "part.1", "part.2", "part.3", "nothing"]
    part: dict[str, Any] = document["jobs"][2]
    assert (part["item"], part["upstream"], part["runIf"]) == ({"n": 2}, ["first", "part.1"], "ALL_SUCCESS")
    assert part["request"]["tags"]["emr-pipelines:stack"] == "mine"
    assert document["stateTransitions"] == 20


@pytest.mark.parametrize(
    "trigger",
    [
        ["--trigger-uri", "s3://b/landing/a b.csv"],
        ["--trigger", '{"type": "upload", "uri": "s3://b/landing/a b.csv"}'],
    ],
)
def test_plan_renders_the_trigger_when_it_is_given(emrp: Command, small: Path, trigger: list[str]) -> None:
    small.write_text(MINIMAL.replace("s3://b/job.py", "'{{ trigger.uri }}'"))

    code, out, _ = emrp("plan", str(small), *trigger, "--json")

    assert code == 0
    assert json.loads(out)["jobs"][0]["request"]["jobDriver"]["sparkSubmit"]["entryPoint"] == "s3://b/landing/a b.csv"


def test_plan_takes_parameters_when_they_are_given(emrp: Command, small: Path) -> None:
    small.write_text(MINIMAL + "parameters: {top: 10, day: {type: date}}\n")

    code, out, _ = emrp("plan", str(small), "-p", "top=5", "-p", "day=2026-11-20", "--json")

    assert (code, json.loads(out)["parameters"]) == (0, {"top": 5, "day": "2026-11-20"})


@pytest.mark.parametrize(
    ("arguments_", "expected_code", "expected"),
    [
        (["-p", "topp=5"], 1, "parameters.topp: is not a parameter of this pipeline"),
        ([], 1, "parameters.top: is required: give it a whole number"),
        (["-p", "top"], 2, '"top" is not of the form name=value'),
        (["--trigger", "{"], 2, "--trigger is no JSON"),
        (["--trigger", "[]"], 2, "--trigger must be a JSON object"),
        (["--trigger-uri", "landing/a.csv"], 2, "is no S3 URI"),
        (["--trigger-uri", "s3://b/a", "--trigger", "{}"], 2, "two ways to say the same"),
    ],
)
def test_plan_says_what_to_do_when_it_cannot_plan(
    emrp: Command, small: Path, arguments_: list[str], expected_code: int, expected: str
) -> None:
    small.write_text(MINIMAL + "parameters: {top: {type: integer}}\n")

    code, out, err = emrp("plan", str(small), *arguments_)

    assert code == expected_code
    assert expected in out + err


def test_plan_says_how_to_give_a_trigger_when_a_template_needs_one(emrp: Command, small: Path) -> None:
    small.write_text(MINIMAL.replace("s3://b/job.py", "'{{ trigger.uri }}'"))

    code, out, _ = emrp("plan", str(small))

    assert code == 1
    assert "there is no 'uri'; there are: type" in out
    assert "are given one by --trigger-uri or --trigger" in out


def test_plan_says_nothing_of_triggers_when_something_else_is_wrong(emrp: Command, small: Path) -> None:
    small.write_text(MINIMAL.replace("s3://b/job.py", "'{{ trigger.uri | default(1) }}'") + "parameters: {top: 3}\n")

    code, out, _ = emrp("plan", str(small), "-p", "top=x")

    assert code == 1
    assert "parameters.top: must be a whole number" in out
    assert "--trigger" not in out


def test_plan_lists_the_problems_when_json_is_asked_for_and_the_file_is_wrong(emrp: Command, small: Path) -> None:
    small.write_text(MINIMAL.replace("only", "Only"))

    code, out, _ = emrp("plan", str(small), "--json")

    assert code == 1
    assert json.loads(out)["problems"][0]["path"] == "jobs[0].name"


def test_schema_is_a_json_schema_when_it_is_printed(emrp: Command) -> None:
    code, out, _ = emrp("schema")

    assert code == 0
    Draft202012Validator.check_schema(json.loads(out))
    assert json.loads(emrp("schema", "--json")[1]) == json.loads(out)


@pytest.mark.parametrize("text", [MINIMAL, EVERYTHING, LOOP], ids=["minimal", "everything", "loop"])
def test_schema_accepts_a_file_when_it_is_good(text: str) -> None:
    errors = Draft202012Validator(pipeline_schema()).iter_errors(parse_yaml(text).data)

    assert [error.message for error in errors] == []


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda path: path.stem)
def test_schema_accepts_a_file_when_it_is_one_of_the_examples(path: Path) -> None:
    errors = Draft202012Validator(pipeline_schema()).iter_errors(parse_yaml(path.read_text()).data)

    assert [error.message for error in errors] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("releaseLabel", "releaseLable"),
        ("entryPoint", "entrypoint"),
        ("name: only", "name: only\n    dependOn: [a]"),
        ("name: only", "name: only\n    executionTimeoutMinutes: soon"),
        ("jobs:", "extra: 1\njobs:"),
        ("name: only", "name: only\n    runIf: SOMETIMES"),
    ],
)
def test_schema_refuses_a_file_when_a_field_is_wrong(old: str, new: str) -> None:
    data = parse_yaml(MINIMAL.replace(old, new)).data

    assert list(Draft202012Validator(pipeline_schema()).iter_errors(data))


@pytest.mark.parametrize(("jobs", "expected"), [(1, 8), (40, 86), (41, 6 + 2 * 41 + 2)])
def test_transitions_grow_with_jobs_and_groups_when_jobs_are_independent(jobs: int, expected: int) -> None:
    text = file_of(*(job(f"j{index}") for index in range(jobs)))

    assert planned_transitions(planned(text)[1]) == expected
