import json
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import FAILED, SUCCEEDED

from emrp.command_line import Target
from emrp.errors import EXIT_ENVIRONMENT, CommandError
from emrp.local import lifecycle
from emrp.stack import Stack
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import job, recorded, save, start_execution

EXPIRED = ClientError({"Error": {"Code": "ExpiredToken", "Message": "It is old"}}, "DescribeStacks")


@pytest.fixture(autouse=True)
def _no_local_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "find", lambda _: None)


def ended(record: RunRecord, stack: Stack, run_id: str, state: str, cause: str | None = None) -> None:
    """Record a run that has ended; moto's executions end in no other way than being stopped."""
    arn = start_execution(stack, run_id, {"pipeline": "salaries"})
    boto3.client("stepfunctions").stop_execution(executionArn=arn)
    save(record, replace(recorded(record, run_id), lifecycle="shared"), job("process", run_id=run_id))
    record.end_run(run_id, state, None, cause)


def test_what_runs_and_what_failed_last_is_shown_when_no_command_is_given(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    save(record, recorded(record, "salaries-1"), job("a", ("SUCCESS", 2)), job("b", ("RUNNING", 3), position=1))
    for number in range(2, 7):
        ended(record, deployed, f"salaries-{number}", FAILED, f"Job process: No such\nfile {number}")
    ended(record, deployed, "salaries-8", SUCCEEDED)
    record.claim_repair("salaries-6", "salaries-9")

    code, printed, _ = emrp()

    running, failed = printed.split("Failed last")
    assert code == 0
    assert "▶ salaries-1" in running
    assert "1 of 2 jobs done; b RUNNING" in running
    assert [line.split()[1] for line in failed.splitlines() if "✗" in line] == [
        "salaries-6",
        "salaries-5",
        "salaries-4",
    ]
    assert "Job process: No such file 6" in failed
    assert "Repaired by salaries-9" in failed
    assert "emrp logs salaries-5; emrp repair salaries-5" in failed
    assert "emrp --help" in failed
    assert "\x1b" not in printed


def test_no_repair_is_offered_when_a_run_ended_before_it_was_planned(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    arn = start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    boto3.client("stepfunctions").stop_execution(executionArn=arn)
    recorded(record, "salaries-1")
    record.end_run("salaries-1", FAILED, "InvalidPipelineError", "It is bad.")

    _, printed, _ = emrp()

    assert "    It ended before it was planned." in printed
    assert "emrp repair" not in printed


def test_nothing_runs_and_nothing_failed_when_a_stack_is_new(emrp: Command, deployed: Stack) -> None:
    code, printed, _ = emrp()

    assert code == 0
    assert printed.splitlines()[0] == "Nothing is running."
    assert "No run has failed." in printed


def test_overview_is_a_document_when_json_is_asked_for(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1")
    ended(record, deployed, "salaries-2", FAILED, "Broken")

    code, printed, _ = emrp("--json")

    document = json.loads(printed)
    assert code == 0
    assert [run["runId"] for run in document["running"]] == ["salaries-1"]
    assert [(run["runId"], run["cause"]) for run in document["failed"]] == [("salaries-2", "Broken")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoRegionError(), "Name a region with --region"),
        (NoCredentialsError(), "Log in, or name a profile"),
        (EXPIRED, "Log in again"),
        (CommandError("There is no stack."), "There is no stack."),
    ],
)
def test_ways_on_are_named_when_there_is_no_stack_to_ask(
    error: Exception, said: str, emrp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "describe", mock.Mock(side_effect=error))

    code, _, complaint = emrp()

    assert code == EXIT_ENVIRONMENT
    assert complaint.startswith(said)
    assert all(f"  {way}" in complaint for way in ("emrp demo", "emrp deploy", "emrp --help"))
    assert "emrp --local " not in complaint


def test_local_aws_is_named_when_one_runs_and_there_is_no_stack(emrp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "describe", mock.Mock(side_effect=NoCredentialsError()))
    monkeypatch.setattr(lifecycle, "find", lambda _: object())

    assert "  emrp --local " in emrp()[2]


Complete = Callable[..., list[str]]


@pytest.fixture
def complete(emrp: Command, deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Ask as bash asks: the words of the command line so far, of which the last is to be completed."""

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("_EMRP_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["emrp", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        code, printed, complaint = emrp()
        assert (code, complaint) == (0, "")
        return printed.split()

    return ask


def test_runs_are_completed_when_a_command_wants_one(complete: Complete, deployed: Stack) -> None:
    for run_id in ("salaries-1", "salaries-2", "other-1"):
        start_execution(deployed, run_id, {})

    assert sorted(complete("--region", "us-east-1", "show", "sal")) == ["salaries-1", "salaries-2"]
    assert complete("watch", "other") == ["other-1"]
    assert complete("report", "nothing") == []


def test_jobs_are_completed_when_their_run_is_named(complete: Complete, deployed: Stack, record: RunRecord) -> None:
    run = recorded(record, "salaries-1")
    save(record, run, job("process"), job("publish", position=1), job("report", position=2))

    assert complete("show", "salaries-1", "p") == ["process", "publish"]


def test_pipelines_are_completed_when_a_command_wants_one(complete: Complete, registry: PipelineRegistry) -> None:
    assert complete("run", "sal") == ["salaries"]
    assert complete("list", "--pipeline", "s") == ["salaries"]


def test_shell_is_not_disturbed_when_there_is_no_stack(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "describe", mock.Mock(side_effect=NoCredentialsError()))

    assert complete("show", "s") == []
    assert complete("--local", "show", "s") == []


@pytest.mark.parametrize(
    ("local", "port", "command"),
    [(False, 4566, "emrp"), (True, 4566, "emrp --local"), (True, 4711, "emrp --local --port 4711")],
)
def test_suggested_commands_can_be_typed_as_they_stand(local: bool, port: int, command: str) -> None:
    assert Target("emr-pipelines", local=local, port=port).command == command
