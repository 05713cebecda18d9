import getpass
import json
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import boto3
import pytest
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import CANCELLED, FAILED, SUCCEEDED, Run

from emrp import cancel
from emrp.errors import EXIT_ENVIRONMENT, EXIT_RUN_FAILED, EXIT_USAGE
from emrp.stack import Stack
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import at, job, recorded, save, start_execution


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let something happen each time that the command waits."""

    def let(*actions: Callable[[], object]) -> None:
        pending = iter(actions)
        monkeypatch.setattr(time, "sleep", lambda _: next(pending)())

    return let


def execution(stack: Stack, name: str) -> dict[str, Any]:
    arn = f"{stack.pipeline_state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
    described: Any = boto3.client("stepfunctions").describe_execution(executionArn=arn)
    return {**described, "input": json.loads(described["input"])}


def failed_run(record: RunRecord) -> Run:
    run = replace(recorded(record, "salaries-1"), application={"type": "SPARK"}, lifecycle="shared")
    clean = job("clean", ("SUCCESS", 2), request={"name": "clean"}, dependents=["process"])
    broken = job("process", ("FAILED", 4), request={"name": "process"}, upstream=["clean"], dependents=["report"])
    skipped = job("report", ("SKIPPED", 4), request={"name": "report"}, upstream=["process"])
    save(record, run, clean, replace(broken, position=1), replace(skipped, position=2))
    return record.end_run("salaries-1", FAILED, "JobFailedError", "Job process: FAILED")


def execution_names(stack: Stack) -> list[str]:
    listed = boto3.client("stepfunctions").list_executions(stateMachineArn=stack.pipeline_state_machine_arn)
    return [execution["name"] for execution in listed["executions"]]


def test_run_starts_an_execution_when_it_is_not_followed(
    emrp: Command, deployed: Stack, registry: PipelineRegistry
) -> None:
    code, printed, _ = emrp("run", "salaries", "-p", "top=5", "-p", "input=landing/x/", "--no-follow", "--json")

    started = execution(deployed, json.loads(printed)["runId"])
    assert code == 0
    assert started["input"] == {"pipeline": "salaries", "parameters": {"top": "5", "input": "landing/x/"}}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["salaris"],
            'There is no pipeline "salaris" in the stack emr-pipelines: deploy it with `emrp deploy`; did you',
        ),
        (["SALARIES"], 'did you mean "salaries"?'),
        (["pipelines/salaries.yaml"], 'did you mean "salaries"?'),
        ([""], "it has: salaries"),
        (["salaries", "-p", "topp=5"], 'parameters.topp: is not a parameter of this pipeline; did you mean "top"?'),
        (["salaries", "-p", "top=many"], 'parameters.top: must be a whole number, not "many"'),
    ],
)
def test_nothing_is_started_when_a_name_or_a_value_is_wrong(
    arguments: list[str], complaint: str, emrp: Command, deployed: Stack, registry: PipelineRegistry
) -> None:
    code, _, said = emrp("run", *arguments, "--no-follow")

    assert code == EXIT_USAGE
    assert complaint in said
    assert execution_names(deployed) == []


def test_run_is_stopped_and_its_end_awaited_when_it_is_cancelled(
    emrp: Command, deployed: Stack, record: RunRecord, meanwhile: Callable[..., None]
) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    save(record, recorded(record, "salaries-1"), job("process", ("RUNNING", 1)), job("report", position=1))
    process, report = record.list_jobs("salaries-1")
    meanwhile(
        lambda: record.end_run("salaries-1", CANCELLED, "RunCancelledError", "Cancelled."),
        lambda: record.record_state(report, "CANCELLED", at(3)),
        lambda: record.record_state(process, "CANCELLED", at(4)),
    )

    code, printed, _ = emrp("cancel", "salaries-1", "--yes")

    assert code == 0
    assert execution(deployed, "salaries-1")["status"] == "ABORTED"
    assert printed.splitlines()[-1] == "The run salaries-1 is CANCELLED."
    assert emrp("cancel", "salaries-1")[1] == "The run salaries-1 had ended before: it is CANCELLED.\n"


def test_cause_names_who_cancels_and_why(monkeypatch: pytest.MonkeyPatch, aws: None) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")

    assert cancel._cause("wrong file").startswith("Cancelled by ada (arn:aws:sts::123456789012:")
    assert cancel._cause("wrong file").endswith("): wrong file")


def test_nothing_is_cancelled_when_nobody_confirms(
    emrp: Command, deployed: Stack, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    monkeypatch.setattr("sys.stdin", StringIO(""))

    code, _, complaint = emrp("cancel", "salaries-1")

    assert code == EXIT_USAGE
    assert "none are planned yet" in complaint
    assert execution(deployed, "salaries-1")["status"] == "RUNNING"


def test_what_has_not_ended_is_named_when_cancelling_takes_too_long(
    emrp: Command, deployed: Stack, record: RunRecord, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[..., None]
) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    save(record, recorded(record, "salaries-1"), job("process", ("RUNNING", 1)))
    monkeypatch.setattr(cancel, "_SECONDS", 0.0)
    meanwhile(lambda: None)

    code, _, complaint = emrp("cancel", "salaries-1", "--yes")

    assert code == EXIT_ENVIRONMENT
    assert "still open: process (RUNNING)" in complaint


def test_job_runs_are_awaited_when_the_run_itself_has_ended(
    emrp: Command, deployed: Stack, record: RunRecord, meanwhile: Callable[..., None]
) -> None:
    save(record, recorded(record, "salaries-1"), job("process", ("CANCELLING", 1)))
    record.end_run("salaries-1", CANCELLED, None, None)
    meanwhile(lambda: record.record_state(record.get_job("salaries-1", "process"), "CANCELLED", at(4)))

    code, printed, _ = emrp("cancel", "salaries-1", "--json")

    assert code == 0
    assert [job["state"] for job in json.loads(printed)["jobs"]] == ["CANCELLED"]


def test_repair_starts_a_new_run_and_says_what_runs_again(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    failed_run(record)

    code, printed, _ = emrp("repair", "salaries-1", "--no-follow")

    first, second = printed.splitlines()
    run_id = second.split()[1].removesuffix(".")
    assert code == 0
    assert first == "Runs again: process, report. Taken over: clean."
    assert run_id.startswith("salaries-repair-")
    assert execution(deployed, run_id)["input"] == {"pipeline": "salaries", "repair": "salaries-1"}


def test_repair_runs_more_again_when_a_job_is_named(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    failed_run(record)

    _, printed, _ = emrp("repair", "salaries-1", "--from", "clean", "--no-follow")
    _, document, _ = emrp("repair", "salaries-1", "--from", "process", "--latest", "--no-follow", "--json")

    assert printed.startswith("Runs again: clean, process, report. Taken over: nothing.\n")
    run_input = execution(deployed, json.loads(document)["runId"])["input"]
    assert run_input == {"pipeline": "salaries", "repair": "salaries-1", "from": "process", "latest": True}


def test_repair_is_refused_before_anything_starts_when_it_cannot_be(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    start_execution(deployed, "running", {})
    save(record, recorded(record, "running"), job("process", ("RUNNING", 1), run_id="running"))
    recorded(record, "unplanned", state=FAILED, ended_at=at(1), error="InvalidPipelineError")
    recorded(record, "repaired", state=FAILED, ended_at=at(1), repaired_by="salaries-repair-1")
    fine = recorded(record, "fine", state=SUCCEEDED, ended_at=at(2), lifecycle="shared")
    save(record, fine, job("a", ("SUCCESS", 1), run_id="fine"))
    failed_run(record)

    refusals = {
        "running": "The run running is still running: wait for its end, or `emrp cancel running`.",
        "unplanned": "Run unplanned ended before it was planned (InvalidPipelineError)",
        "repaired": "The run repaired has been repaired by salaries-repair-1: repair that one.",
        "fine": "Every job of run fine has succeeded",
    }
    for run_id, refusal in refusals.items():
        code, _, complaint = emrp("repair", run_id, "--no-follow")
        assert (code, complaint.startswith(refusal)) == (EXIT_USAGE, True), complaint
    assert emrp("repair", "unplanned")[2].endswith("latest file. That is: emrp repair unplanned --latest\n")
    assert 'The run has no job "proces"' in emrp("repair", "salaries-1", "--from", "proces")[2]
    assert execution_names(deployed) == ["running"]


@pytest.mark.parametrize("command", ["run", "watch", "cancel", "repair", "logs"])
def test_examples_are_given_when_help_is_asked_for(command: str, emrp: Command) -> None:
    _, printed, _ = emrp(command, "--help")

    assert f"Examples: emrp {command}" in printed


def test_no_repair_is_offered_when_a_run_ended_before_it_was_planned(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    arn = start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1")
    boto3.client("stepfunctions").stop_execution(executionArn=arn, error="InvalidPipelineError", cause="It is bad.")

    code, printed, _ = emrp("watch", "salaries-1")

    assert code == EXIT_RUN_FAILED
    assert printed.endswith(
        "More: emrp show salaries-1; it ended before it was planned, so mend the cause and start a new one\n"
    )
