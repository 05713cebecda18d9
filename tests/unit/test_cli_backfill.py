"""`emrp backfill` starts what the ticks of a period would have started: the same runs, and none of them twice."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import boto3
import pytest
import yaml
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.schedules import schedule_name
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.trigger_messages import schedule_message
from emr_pipelines.triggers import Request, parse_message

from emrp import backfill
from emrp.errors import EXIT_RUN_FAILED, EXIT_USAGE
from emrp.stack import Stack
from tests.unit.conftest import ROOT, SALARIES, Command

DAILY = {"expression": "cron(30 1 * * ? *)", "timezone": "Europe/Dublin", "parameters": {"top": 5}, "enabled": True}
DISABLED = {"expression": "cron(0 12 * * ? *)", "timezone": "UTC", "parameters": {}, "enabled": False}
EVERY_DAY = {"expression": "rate(1 day)", "timezone": "UTC", "parameters": {}, "enabled": True}
PERIOD = ("--from", "2026-03-27", "--to", "2026-03-31")


@pytest.fixture
def pipeline(deployed: Stack) -> Callable[..., None]:
    """Register salaries with schedules."""

    def register(*schedules: dict[str, Any]) -> None:
        definition = check_pipeline("pipelines/salaries.yaml", "salaries", SALARIES, "v1")
        definition.data["triggers"]["schedules"] = list(schedules)
        PipelineRegistry("runs").put(definition)

    return register


class Runs:
    """The executions of the outer state machine; while the command waits, those that run end in `endings`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._states = boto3.client("stepfunctions")
        self.most_at_a_time = 0
        self.endings: list[str] = []

    def executions(self) -> dict[str, Any]:
        """Executions by name, as moto keeps them."""
        from moto.stepfunctions.models import stepfunctions_backends  # noqa: PLC0415 -- slow

        machines = stepfunctions_backends["123456789012"]["us-east-1"].state_machines
        return {execution.name: execution for machine in machines for execution in machine.executions}

    def wait(self, seconds: float) -> None:
        running = [execution for execution in self.executions().values() if execution.status == "RUNNING"]
        self.most_at_a_time = max(self.most_at_a_time, len(running))
        assert running
        running[0].status = self.endings.pop(0) if self.endings else "SUCCEEDED"


@pytest.fixture
def runs(deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs(deployed)
    monkeypatch.setattr(backfill, "sleep", runs.wait)
    return runs


def test_runs_are_those_of_the_ticks_when_a_period_is_filled(
    emrp: Command, pipeline: Callable[..., None], runs: Runs
) -> None:
    pipeline(DAILY)

    code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--yes", "--json")

    document = json.loads(printed)
    assert code == 0
    # The clocks of Dublin skip 01:30 on the 29th.
    times = ["2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
    assert [run["scheduledTime"] for run in document["runs"]] == times
    assert {run["state"] for run in document["runs"]} == {"SUCCEEDED"}
    assert {json.loads(execution.execution_input)["parameters"]["top"] for execution in runs.executions().values()} == {
        5
    }
    for time in times:  # as start_pipeline would have started it
        request = parse_message(json.dumps(schedule_message("salaries", 0, DAILY, time)))
        assert isinstance(request, Request)
        assert json.loads(runs.executions()[request.run_name].execution_input) == request.run_input
        assert request.trigger["type"] == "schedule"


def test_nothing_starts_twice_when_ticks_have_fired_or_a_backfill_is_repeated(
    emrp: Command, deployed: Stack, pipeline: Callable[..., None], runs: Runs
) -> None:
    pipeline(DAILY)
    fired = parse_message(json.dumps(schedule_message("salaries", 0, DAILY, "2026-03-28T01:30:00Z")))
    assert isinstance(fired, Request)
    StepFunctions().start_execution(deployed.pipeline_state_machine_arn, fired.run_name, fired.run_input)
    runs.executions()[fired.run_name].status = "FAILED"

    states = []
    for _ in range(2):
        code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--yes", "--json")
        assert code == 0
        states.append([run["state"] for run in json.loads(printed)["runs"]])

    assert states == [["SUCCEEDED", "PRESENT", "SUCCEEDED"], ["PRESENT", "PRESENT", "PRESENT"]]
    assert len(runs.executions()) == 3


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_runs_are_on_the_way_than_allowed_when_there_are_many(
    emrp: Command, pipeline: Callable[..., None], runs: Runs, most: int
) -> None:
    pipeline(DAILY)

    emrp("backfill", "salaries", "--from", "2026-02-01", "--to", "2026-02-08", "--max-concurrent", str(most), "--yes")

    assert len(runs.executions()) == 7
    assert runs.most_at_a_time == most


def test_other_runs_start_all_the_same_when_one_fails(emrp: Command, pipeline: Callable[..., None], runs: Runs) -> None:
    pipeline(DAILY)
    runs.endings = ["SUCCEEDED", "FAILED", "SUCCEEDED"]

    code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--yes")

    assert code == EXIT_RUN_FAILED
    assert len(runs.executions()) == 3
    assert "1 run did not succeed: salaries-" in printed


def test_nothing_starts_when_the_backfill_is_dry_or_not_confirmed(
    emrp: Command, pipeline: Callable[..., None], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(DAILY)
    monkeypatch.setattr("sys.stdin", StringIO(""))

    code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--dry-run")
    unconfirmed, _, complaint = emrp("backfill", "salaries", *PERIOD)

    assert (code, unconfirmed) == (0, EXIT_USAGE)
    assert "3 runs in this period, 0 of them there already." in printed
    assert printed.count("PLANNED") == 3
    assert "Start 3 runs of salaries, 1 at a time?" in complaint
    assert not runs.executions()


def test_examples_name_a_schedule_that_there_is_when_help_is_asked_for() -> None:
    examples = re.findall(r"emrp backfill (\S+) --schedule (\d+) ", backfill.EXAMPLES)

    assert len(examples) == 2
    for pipeline, schedule in examples:
        file = ROOT / "pipelines" / f"{pipeline}.yaml"
        assert int(schedule) < len(yaml.safe_load(file.read_text(encoding="utf-8"))["triggers"]["schedules"])


def test_interrupted_backfill_goes_on_when_it_is_repeated(
    emrp: Command, pipeline: Callable[..., None], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    pipeline(DAILY)
    with monkeypatch.context() as patch:
        patch.setattr(backfill, "sleep", interrupted)
        code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--yes")
    assert code == 130
    assert "Interrupted: 1 run on the way will go on, 2 runs did not start." in printed

    code, printed, _ = emrp("backfill", "salaries", *PERIOD, "--yes", "--json")

    assert code == 0
    assert [run["state"] for run in json.loads(printed)["runs"]] == ["PRESENT", "SUCCEEDED", "SUCCEEDED"]


def test_ticks_of_all_enabled_schedules_are_in_order_when_none_is_named(
    emrp: Command, pipeline: Callable[..., None]
) -> None:
    pipeline(DAILY, DISABLED, DAILY | {"expression": "cron(0 0 * * ? *)"})

    _, printed, _ = emrp("backfill", "salaries", *PERIOD, "--dry-run", "--json")
    _, named, _ = emrp("backfill", "salaries", *PERIOD, "--schedule", "1", "--dry-run", "--json")

    assert [run["schedule"] for run in json.loads(printed)["runs"]] == [2, 0, 2, 0, 2, 2, 0]
    assert [run["scheduledTime"][8:16] for run in json.loads(named)["runs"]] == [
        f"{day}T12:00" for day in range(27, 31)
    ]


def test_rate_counts_from_the_creation_of_its_schedule_when_it_is_filled(
    emrp: Command, deployed: Stack, pipeline: Callable[..., None]
) -> None:
    pipeline(EVERY_DAY)
    scheduler = boto3.client("scheduler")
    scheduler.create_schedule_group(Name=deployed.name)
    scheduler.create_schedule(
        GroupName=deployed.name,
        Name=schedule_name("salaries", EVERY_DAY),
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:x", "RoleArn": "arn:aws:iam::123456789012:role/x"},
    )
    today = f"{datetime.now(UTC):%Y-%m-%d}"

    _, printed, _ = emrp("backfill", "salaries", "--from", "2026-01-01", "--to", "2999-01-01", "--dry-run", "--json")

    assert [run["scheduledTime"][:10] for run in json.loads(printed)["runs"]] == [today]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", *PERIOD), 'There is no pipeline "nobody"'),
        (("salaries", *PERIOD, "--schedule", "7"), "has no schedule 7: it has 3, and 0 is the first"),
        (("salaries", "--from", "2026-03-31", "--to", "2026-03-27"), "--to must be later than --from"),
        (("salaries", "--from", "tomorrow", "--to", "2026-03-27"), '"tomorrow" is no time: write'),
        (("salaries", *PERIOD, "--schedule", "2"), "nobody knows from when it counts"),
    ],
)
def test_backfill_says_what_to_do_when_it_cannot_be(
    emrp: Command, pipeline: Callable[..., None], arguments: tuple[str, ...], says: str
) -> None:
    pipeline(DAILY, DISABLED, EVERY_DAY | {"enabled": False})

    code, _, complaint = emrp("backfill", *arguments, "--dry-run")

    assert code == EXIT_USAGE
    assert says in " ".join(complaint.split())


def test_nothing_is_planned_when_the_period_is_in_the_future(emrp: Command, pipeline: Callable[..., None]) -> None:
    pipeline(DAILY)

    code, printed, _ = emrp("backfill", "salaries", "--from", "2998-01-01", "--to", "2999-01-01", "--yes")

    assert code == 0
    assert "no ticks in this period that have passed" in printed
