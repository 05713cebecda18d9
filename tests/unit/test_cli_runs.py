import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import FAILED, SUCCEEDED, Job, Run
from hypothesis import given
from hypothesis import strategies as st

from emrp import environment
from emrp.errors import EXIT_USAGE
from emrp.executions import newest_first
from emrp.stack import Stack
from tests.unit.conftest import Command

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    return iso_time(START + timedelta(seconds=seconds))


def recorded(record: RunRecord, run_id: str, pipeline: str = "salaries", started: float = 0, **values: Any) -> Run:
    run = Run(run_id=run_id, pipeline=pipeline, execution_arn=f"arn:{run_id}", started_at=at(started), **values)
    return record.create_run(run)


def job(name: str, *states: tuple[str, float], **values: Any) -> Job:
    state, ended_at = states[-1] if states else ("NOT_SUBMITTED", None)
    final = {"state": state, "ended_at": at(ended_at)} if state in {"SUCCESS", "FAILED"} and ended_at else {}
    seen = {"states": [{"state": state, "at": at(second)} for state, second in states], "state": state}
    more = {"run_id": "salaries-1", "pipeline": "salaries", "position": 0, "request": {}}
    return Job(name=name, **{**more, **seen, **final, **values})


def save(record: RunRecord, run: Run, *jobs: Job) -> None:
    """Record jobs with the states that they have been through."""
    record.save_plan(run, jobs)
    for one in jobs:
        for change in one.states:
            record.record_state(one, change["state"], change["at"], state_details=one.state_details)


def start_execution(stack: Stack, name: str, run_input: object) -> str:
    started = boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.pipeline_state_machine_arn, name=name, input=json.dumps(run_input)
    )
    return started["executionArn"]


def test_runs_of_a_pipeline_are_listed_newest_first_when_it_is_named(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    for number in range(3):
        recorded(record, f"salaries-{number}", started=number)
    recorded(record, "other-1", "other", started=9)

    code, printed, _ = emrp("list", "--pipeline", "salaries", "--limit", "2", "--json")

    assert code == 0
    assert [run["runId"] for run in json.loads(printed)["runs"]] == ["salaries-2", "salaries-1"]


def test_only_runs_in_a_state_are_listed_when_it_is_named(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    recorded(record, "salaries-1", started=1, state=FAILED, ended_at=at(3), cause="No such\nfile")
    recorded(record, "salaries-2", started=2, state=SUCCEEDED, ended_at=at(3))

    _, printed, _ = emrp("list", "--pipeline", "salaries", "--state", "failed")

    assert [line.split() for line in printed.splitlines()] == [
        ["RUN", "STATE", "STARTED", "DURATION", "PIPELINE", "TRIGGER"],
        ["salaries-1", "FAILED", "2026-11-21", "12:00:01Z", "2.0", "s", "salaries", "execution"],
        ["No", "such", "file"],
    ]


@pytest.mark.parametrize(
    ("run_id", "pipeline", "beginning", "headings"),
    [
        ("a" * 41, "fanout", "RUNNING  2026-11-21 12:00:00Z", "RUN STATE STARTED"),
        ("a" * 21, "fanout", "RUNNING  2026-11-21 12:00:00Z", "RUN STATE STARTED DURATION PIPELINE"),
        ("a", "fan", "RUNNING  2026-11-21 12:00:00Z", "RUN STATE STARTED DURATION PIPELINE TRIGGER"),
    ],
)
def test_columns_are_whole_or_left_out_when_the_terminal_is_narrow(
    run_id: str,
    pipeline: str,
    beginning: str,
    headings: str,
    emrp: Command,
    deployed: Stack,
    record: RunRecord,
    narrow_terminal: None,
) -> None:
    recorded(record, run_id, pipeline, trigger={"type": "upload", "key": "landing/" + "x" * 1000}, cause="y" * 1000)

    _, printed, _ = emrp("list", "--pipeline", pipeline)

    heading, line, cause = printed.splitlines()
    assert heading.split() == headings.split()
    assert max(len(heading), len(line), len(cause)) <= 80
    assert line.startswith(f"{run_id:<3}  {beginning}")


def test_nothing_is_cut_off_when_a_list_goes_to_a_pipe(
    emrp: Command, deployed: Stack, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    recorded(record, "salaries-1", trigger={"type": "upload", "key": "x" * 1000}, state=FAILED, cause="y" * 1000)

    _, printed, _ = emrp("list", "--pipeline", "salaries")

    _, line, cause = printed.splitlines()
    assert line.endswith(f"salaries  upload {'x' * 1000}")
    assert cause == f"  {'y' * 1000}"


@given(
    spans=st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=9),
    by_end=st.booleans(),
)
def test_executions_are_listed_by_their_start_whichever_time_step_functions_sorts_by(
    spans: list[tuple[int, int | None]], by_end: bool
) -> None:
    executions: list[Any] = [
        {"executionArn": f"arn:{number}", "startDate": START + timedelta(seconds=start)}
        | ({} if took is None else {"stopDate": START + timedelta(seconds=start + took)})
        for number, (start, took) in enumerate(spans)
    ]
    listed = sorted(executions, key=lambda one: (by_end and one.get("stopDate")) or one["startDate"], reverse=True)

    starts = [one["startDate"] for one in newest_first(listed)]

    assert starts == sorted((one["startDate"] for one in executions), reverse=True)


def test_executions_that_never_reached_the_record_are_listed_when_no_pipeline_is_named(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1", trigger={"type": "upload", "key": "landing/x.csv"})
    lost = start_execution(deployed, "lost", {"pipeline": "nobody"})
    boto3.client("stepfunctions").stop_execution(executionArn=lost, error="Gone", cause="It went.")

    _, printed, _ = emrp("list", "--json")
    _, cancelled, _ = emrp("list", "--state", "CANCELLED", "--json")
    _, table, _ = emrp("list")

    seen = {run["runId"]: (run["state"], run["pipeline"], run["recorded"]) for run in json.loads(printed)["runs"]}
    assert seen == {"salaries-1": ("RUNNING", "salaries", True), "lost": ("CANCELLED", "nobody", False)}
    assert [run["runId"] for run in json.loads(cancelled)["runs"]] == ["lost"]
    assert "upload landing/x.csv" in table


def test_a_way_on_is_named_when_there_are_no_runs(emrp: Command, deployed: Stack, registry: PipelineRegistry) -> None:
    no_runs = "There are no such runs. Start one with: emrp run"

    assert emrp("list") == (0, f"{no_runs} PIPELINE\n", "")
    assert emrp("list", "--pipeline", "salaries") == (0, f"{no_runs} salaries\n", "")


def test_usage_is_wrong_when_runs_of_an_unknown_pipeline_are_listed(
    emrp: Command, deployed: Stack, registry: PipelineRegistry
) -> None:
    code, _, complaint = emrp("list", "--pipeline", "salaris", "--json")

    assert code == EXIT_USAGE
    assert 'There is no pipeline "salaris"' in complaint


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "nobody"], "deploy it with `emrp --local deploy`"),
        (["backfill", "nobody", "--from", "2026-11-01", "--to", "2026-11-02"], "`emrp --local deploy`"),
        (["list"], "Start one with: emrp --local run PIPELINE"),
        (["show", "nothing"], "`emrp --local list` shows the latest runs"),
        (["watch"], "`emrp --local list` shows the latest runs; `emrp --local watch RUN`"),
        (["logs", "salaries-1"], "`emrp --local show salaries-1`"),
        (["repair", "salaries-1"], "emrp --local repair salaries-1 --latest"),
    ],
)
def test_hints_can_be_copied_when_the_local_aws_is_used(
    arguments: list[str],
    hint: str,
    emrp: Command,
    deployed: Stack,
    record: RunRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "use_local", lambda _: None)  # moto is the AWS
    monkeypatch.setattr(environment, "check_local", lambda _: None)
    recorded(record, "salaries-1", state=FAILED, ended_at=at(3))

    _, printed, complaint = emrp("--local", *arguments)

    assert hint in printed + complaint


def test_usage_is_wrong_when_a_run_or_a_job_does_not_exist(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    start_execution(deployed, "salaries-1", {})
    save(record, recorded(record, "salaries-1"), job("process"))

    assert emrp("show", "salaries-2")[0] == EXIT_USAGE
    code, _, complaint = emrp("show", "salaries-1", "proces")

    assert (code, complaint) == (EXIT_USAGE, 'The run has no job "proces"; it has process.\n')


def test_everything_about_a_run_is_shown_when_it_has_failed(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    run = recorded(record, "salaries-1", trigger={"type": "upload", "uri": "s3://bucket/landing/x.csv"})
    run = replace(run, parameters={"top": 10}, pipeline_version="v7", output="s3://bucket/output/salaries/salaries-1")
    crash = job("process", ("SUBMITTED", 1), ("RUNNING", 3), ("FAILED", 8), state_details="No such file")
    save(record, run, crash, job("report", upstream=["process"], waiting_for=["process"], position=1))
    record.link_job_run(crash, "app1", "run1")
    record.end_run("salaries-1", FAILED, "JobFailedError", "Job process: No such file")

    code, printed, _ = emrp("show", "salaries-1")
    _, document, _ = emrp("show", "salaries-1", "--json")

    assert code == 0
    for text in (
        "Version        v7",
        "JobFailedError: Job process: No such file",
        "s3://bucket/landing/x.csv",
        "Parameter top  10",
        "✗ process",
        "└ · report",
        "waiting 1.0 s, queued 2.0 s, running 5.0 s",
        "run1 of application app1",
        "Waits for  process",
    ):
        assert text in printed
    process = json.loads(document)["jobs"][0]
    assert (process["seconds"], process["state"]) == ({"waiting": 1, "queued": 2, "running": 5}, "FAILED")


def test_only_one_job_is_shown_when_it_is_named(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    run = recorded(record, "salaries-1", state=SUCCEEDED, ended_at=at(9))
    save(record, run, job("process", item={"day": "MONDAY"}), job("report", position=1))

    code, printed, _ = emrp("show", "salaries-1", "process")

    assert code == 0
    assert printed.startswith("process  NOT_SUBMITTED\n")
    assert "day = MONDAY" in printed
    assert "report" not in printed


def test_run_is_shown_as_step_functions_knows_it_when_it_is_not_recorded(emrp: Command, deployed: Stack) -> None:
    arn = start_execution(deployed, "typed-by-hand", ["not", "a", "mapping"])

    code, printed, _ = emrp("show", arn)

    assert code == 0
    assert "RUNNING as Step Functions says; the run record does not know this run" in printed


def test_end_that_clean_up_has_not_seen_is_said_when_a_run_is_shown(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    arn = start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1")
    boto3.client("stepfunctions").stop_execution(executionArn=arn)

    _, printed, _ = emrp("show", "salaries-1")

    assert "RUNNING; its execution is ABORTED, clean_up has not recorded the end yet" in printed


@pytest.mark.parametrize("command", ["list", "show"])
def test_examples_are_given_when_help_is_asked_for(command: str, emrp: Command) -> None:
    _, printed, _ = emrp(command, "--help")

    assert f"Examples: emrp {command}" in printed
