"""`emrp deploy FOLDER`: nothing bad is uploaded, what would change is shown, and the registration is waited for."""

import json
import sys
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from emr_pipelines.gateways.email_subscriptions import EmailSubscriptions
from emr_pipelines.gateways.event_rules import EventRules
from emr_pipelines.gateways.pipeline_bucket import PipelineBucket, name_of
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.schedules import Schedules
from emr_pipelines.register_pipeline import register_pipeline

from emrp import environment, pipelines
from emrp.deployment import Deployment
from emrp.errors import EXIT_RUN_FAILED, EXIT_USAGE, CommandError
from emrp.stack import Stack
from tests.unit.conftest import SALARIES, Command
from tests.unit.fakes import FakeDomainEvents, FakeTopic

KEY = "pipelines/salaries.yaml"


@pytest.fixture
def registry(record: RunRecord) -> PipelineRegistry:
    return PipelineRegistry("runs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "salaries.yaml").write_text(SALARIES)
    (tmp_path / "README.md").write_text("not a pipeline")
    return tmp_path


@pytest.fixture(autouse=True)
def registration(
    s3: Any,
    deployed: Stack,
    registry: PipelineRegistry,
    bucket: PipelineBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the command waits, the function registers what the bucket holds."""
    s3.delete_object(Bucket="bucket", Key=KEY)
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    boto3.client("scheduler").create_schedule_group(Name="emr-pipelines")

    dead_letters, queue = "arn:aws:sqs:us-east-1:1:dead", "arn:aws:sqs:us-east-1:1:queue"
    schedules = Schedules("emr-pipelines", "arn:aws:iam::123456789012:role/schedule", queue, dead_letters)
    rules = EventRules("emr-pipelines", queue, dead_letters)
    subscriptions = EmailSubscriptions(boto3.client("sns").create_topic(Name="topic")["TopicArn"], "emr-pipelines")

    def register(_seconds: float) -> None:
        for name in {*map(name_of, bucket.list()), *(registered.name for registered in registry.list())}:
            register_pipeline(
                name,
                bucket=bucket,
                registry=registry,
                schedules=schedules,
                rules=rules,
                subscriptions=subscriptions,
                topic=FakeTopic(),
                events=FakeDomainEvents(),
            )

    monkeypatch.setattr(pipelines, "time", SimpleNamespace(monotonic=time.monotonic, sleep=register))


def deploy(emrp: Command, *arguments: object) -> list[tuple[str, str]]:
    """Deploy; returns what happened to which file."""
    code, printed, complaint = emrp("deploy", *map(str, arguments), "--yes", "--json")
    assert (code, complaint) == (0, "")
    return [(change["change"], change["file"]) for change in json.loads(printed)["pipelines"]]


def test_pipeline_is_registered_when_it_is_new_or_changed(
    emrp: Command, folder: Path, registry: PipelineRegistry
) -> None:
    assert deploy(emrp, folder) == [("new", KEY)]
    assert deploy(emrp, folder) == [("unchanged", KEY)]

    (folder / "salaries.yaml").write_text(SALARIES.replace("top: 10", "top: 20"))
    assert deploy(emrp, folder) == [("changed", KEY)]
    definition = registry.get("salaries")
    assert definition
    assert definition.data["parameters"]["top"] == 20


def test_difference_is_shown_when_a_file_has_changed(emrp: Command, folder: Path) -> None:
    deploy(emrp, folder)
    (folder / "salaries.yaml").write_text(SALARIES.replace("top: 10", "top: 20"))

    _, printed, _ = emrp("deploy", str(folder), "--yes")

    lines = [line.strip() for line in printed.splitlines()]
    assert f"changed  {KEY}" in lines
    assert "-  top: 10 # how many job titles the result has" in lines
    assert "+  top: 20 # how many job titles the result has" in lines


def test_nothing_is_uploaded_when_one_file_is_bad(emrp: Command, folder: Path, bucket: PipelineBucket) -> None:
    (folder / "bad.yaml").write_text("name: bad\njobs: 3\n")
    (folder / "worse.json").write_text("{")

    code, _, complaint = emrp("deploy", str(folder), "--yes")

    assert code == EXIT_RUN_FAILED
    assert f"{folder}/bad.yaml has " in complaint
    assert "line 2: jobs: " in complaint
    assert f"{folder}/worse.json has " in complaint
    assert bucket.list() == []


def test_document_has_the_problems_of_all_files_when_one_is_bad(emrp: Command, folder: Path) -> None:
    (folder / "bad.yaml").write_text("name: bad\njobs: 3\n")
    (folder / "latin.yaml").write_bytes("name: größe".encode("latin-1"))

    code, printed, _ = emrp("deploy", str(folder), "--yes", "--json")

    files = {Path(result["file"]).name: result for result in json.loads(printed)["files"]}
    assert code == EXIT_RUN_FAILED
    assert {name: result["valid"] for name, result in files.items()} == {
        "bad.yaml": False,
        "latin.yaml": False,
        "salaries.yaml": True,
    }
    assert files["latin.yaml"]["problems"][0]["message"].startswith("cannot be read: 'utf-8' codec")


def test_usage_is_wrong_when_a_file_does_not_exist(emrp: Command, folder: Path) -> None:
    assert emrp("deploy", str(folder / "nothing.yaml"))[::2] == (
        EXIT_USAGE,
        f"There is no file {folder}/nothing.yaml.\n",
    )


@pytest.mark.parametrize("name", ["salaries.json", "salaries.yml"])
def test_nothing_is_uploaded_when_a_pipeline_has_two_files(
    emrp: Command, folder: Path, bucket: PipelineBucket, name: str
) -> None:
    (folder / name).write_text(SALARIES)

    code, _, complaint = emrp("deploy", str(folder), "--yes")

    assert code == EXIT_RUN_FAILED
    assert "the pipeline salaries has several files" in complaint
    assert bucket.list() == []


def test_other_file_is_refused_when_the_pipeline_is_registered_from_one(emrp: Command, folder: Path) -> None:
    deploy(emrp, folder)
    (folder / "salaries.yaml").rename(folder / "salaries.yml")

    code, _, complaint = emrp("deploy", str(folder), "--yes")

    assert code == EXIT_USAGE
    assert f"The pipeline salaries is registered from {KEY}" in complaint


def test_pipeline_without_a_file_is_retired_only_when_pruned(
    emrp: Command, folder: Path, registry: PipelineRegistry
) -> None:
    deploy(emrp, folder)
    (folder / "salaries.yaml").rename(folder / "other.yaml")
    (folder / "other.yaml").write_text(SALARIES.replace("name: salaries", "name: other", 1))

    assert deploy(emrp, folder) == [("new", "pipelines/other.yaml"), ("only in the bucket", KEY)]
    assert [registered.name for registered in registry.list()] == ["other", "salaries"]

    assert deploy(emrp, folder, "--prune") == [("unchanged", "pipelines/other.yaml"), ("retired", KEY)]
    assert [registered.name for registered in registry.list()] == ["other"]


def test_retirement_is_called_so_when_pipelines_are_pruned(emrp: Command, folder: Path) -> None:
    deploy(emrp, folder)
    (folder / "salaries.yaml").rename(folder / "other.yaml")
    (folder / "other.yaml").write_text(SALARIES.replace("name: salaries", "name: other", 1))

    _, printed, _ = emrp("deploy", str(folder), "--prune", "--yes")

    assert f"retired  {KEY}" in printed
    assert "Register 1 pipeline, retire 1 pipeline" in printed


def test_other_pipelines_are_not_looked_at_when_a_file_is_named(emrp: Command, folder: Path) -> None:
    deploy(emrp, folder)
    other = folder / "other.yaml"
    other.write_text(SALARIES.replace("name: salaries", "name: other", 1))

    assert deploy(emrp, other) == [("new", "pipelines/other.yaml")]
    assert emrp("deploy", str(other), "--prune")[0] == EXIT_USAGE


def test_file_is_uploaded_again_when_a_later_version_was_rejected(
    emrp: Command, folder: Path, s3: Any, registry: PipelineRegistry
) -> None:
    deploy(emrp, folder)
    s3.put_object(Bucket="bucket", Key=KEY, Body="jobs: 3")

    assert deploy(emrp, folder) == [("changed", KEY)]
    assert s3.get_object(Bucket="bucket", Key=KEY)["Body"].read().decode() == SALARIES


def test_report_is_shown_when_the_function_rejects_what_was_good_here(
    emrp: Command, folder: Path, bucket: PipelineBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(_seconds: float) -> None:
        ((file,), key) = bucket.files_of(name_of(KEY)).files, KEY
        bucket.write_report(key, f"{key} has 1 problem\n\nThis is about version {file.version}, which")

    monkeypatch.setattr(pipelines, "time", SimpleNamespace(monotonic=time.monotonic, sleep=reject))

    code, printed, complaint = emrp("deploy", str(folder), "--yes", "--json")

    assert code == EXIT_RUN_FAILED
    assert f"{KEY} has 1 problem" in complaint
    assert [result["file"] for result in json.loads(printed)["files"]] == [KEY]


def test_command_gives_up_when_nobody_registers(deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 50))
    monkeypatch.setattr(pipelines, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))

    with pytest.raises(CommandError, match=f"{KEY}: not registered within 120 s: look at the log"):
        pipelines.register(deployed, {KEY: SALARIES})


def test_nothing_is_uploaded_when_nobody_confirms(
    emrp: Command, folder: Path, bucket: PipelineBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(""))

    code, _, complaint = emrp("deploy", str(folder))

    assert code == EXIT_USAGE
    assert "nothing was done" in complaint
    assert bucket.list() == []


def test_ways_to_start_a_run_are_named_when_the_stack_is_deployed(
    emrp: Command, folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path_factory.mktemp("project")
    (project / "statemachine").mkdir()
    (project / "pipelines").symlink_to(folder)
    (project / "template.yaml").write_text("Parameters: {PythonRuntime: {}, Architecture: {}}")
    monkeypatch.chdir(project)
    monkeypatch.setattr(Deployment, "run", lambda *_: None)
    monkeypatch.setattr(environment, "use_local", lambda _: None)  # moto is the AWS
    monkeypatch.setattr(environment, "check_local", lambda _: None)

    code, printed, _ = emrp("--local", "deploy")

    assert code == 0
    assert printed.endswith(
        "An upload to s3://bucket/landing/salaries/ starts a run; once a file is there, so does: "
        "emrp --local run salaries\n"
    )
