import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, NoReturn

import boto3
import pytest
import urllib3
from botocore.exceptions import ClientError
from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run
from rich.console import Console

from emrp.errors import EXIT_INTERRUPTED, EXIT_USAGE
from emrp.follow import Picture, RunFollower
from emrp.history import Step
from emrp.spark_ui import SparkProgress, SparkUis
from emrp.stack import Stack
from emrp.usual import Usual
from emrp.watch import RunLog, RunScreen
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import recorded, start_execution

CONTROL_CODES = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAN_RUN = Step("Plan Run", START, START + timedelta(seconds=1))
RUN_JOBS = Step("Run Jobs", START + timedelta(seconds=1))
CLEAN_UP = Step("Clean Up", START + timedelta(seconds=9), START + timedelta(seconds=10))
RUN = Run(run_id="salaries-1", pipeline="salaries", execution_arn="arn", started_at=iso_time(START))


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def job(name: str, *states: tuple[str, float], **more: Any) -> Job:
    state, last = states[-1] if states else ("NOT_SUBMITTED", 0.0)
    values = {
        "run_id": "salaries-1",
        "pipeline": "salaries",
        "position": 0,
        "request": {},
        "state": state,
        "states": [{"state": state, "at": iso_time(at(second))} for state, second in states],
        "ended_at": iso_time(at(last)) if state in {"SUCCESS", "FAILED"} else None,
    }
    return Job(name=name, **{**values, **more})


def picture(*jobs: Job, steps: tuple[Step, ...] = (PLAN_RUN, RUN_JOBS), **more: Any) -> Picture:
    known: dict[str, Any] = {
        "run_id": "salaries-1",
        "execution_arn": "arn",
        "status": "RUNNING",
        "started_at": START,
        "ended_at": at(10) if more.get("status") else None,
        "error": None,
        "cause": None,
        "run": replace(RUN, state=more["status"], ended_at=iso_time(at(10))) if more.get("status") else RUN,
    }
    return Picture(steps=steps, jobs=jobs, **{**known, **more})


def logged(*pictures: Picture) -> list[str]:
    console = Console(file=StringIO(), width=80, _environ={})
    log = RunLog(console)
    for one in pictures:
        log.show(one)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def drawn(one: Picture, *, width: int = 100, height: int = 30) -> str:
    console = Console(file=StringIO(), force_terminal=True, width=width, height=height, color_system=None, _environ={})
    with RunScreen(console, "Ctrl-C ends it.") as screen:
        screen.show(one)
    assert isinstance(console.file, StringIO)
    frames = CONTROL_CODES.sub("", console.file.getvalue()).rstrip("\n")
    return frames[frames.rindex("salaries-1  ") :]  # the last one


def test_each_thing_that_happens_is_a_line_once_when_there_is_no_terminal() -> None:
    running = job("process", ("SUBMITTED", 2), ("SCHEDULED", 3), ("RUNNING", 5))
    done = job("process", ("SUBMITTED", 2), ("SCHEDULED", 3), ("RUNNING", 5), ("SUCCESS", 8))
    end = (PLAN_RUN, replace(RUN_JOBS, ended_at=at(9)), CLEAN_UP)
    last = picture(done, steps=end, status="SUCCEEDED", usual=Usual(12.0, {"process": 5.0}))

    lines = logged(picture(job("process")), picture(running), picture(running), last, last)

    assert [line for line in lines if "RUNNING" not in line] == [
        "✓ Plan Run  1.0 s",
        "✓ Run Jobs > process  SUCCESS  queued 1.0 s, starting 2.0 s, running 3.0 s, usually 5.0 s",
        "✓ Run Jobs  8.0 s",
        "✓ Clean Up  1.0 s",
    ]
    (begun,) = [line for line in lines if "RUNNING" in line]
    assert begun.startswith("▶ Run Jobs > process  RUNNING  queued 1.0 s, starting 2.0 s, running ")


def test_line_names_attempt_and_reason_when_a_job_has_failed_twice() -> None:
    states = [("RUNNING", 2.0), ("PENDING", 4.0), ("RUNNING", 5.0), ("FAILED", 8.0)]
    failed = job("process", *states, state_details="No such\nfile")

    assert logged(picture(failed, status="FAILED"))[1] == (
        "✗ Run Jobs > process  FAILED in attempt 2  queued 1.0 s, running 3.0 s: No such file"
    )


def test_job_of_an_earlier_run_is_named_so_when_a_repair_is_followed() -> None:
    kept = job("process", ("SUCCESS", 1), reused_from="salaries-0")

    assert logged(picture(kept))[1] == "✓ Run Jobs > process  SUCCESS  done by salaries-0"


def test_state_that_was_entered_twice_is_two_lines_when_there_is_no_terminal() -> None:
    again = Step("Plan Run", at(1), at(3))

    assert logged(picture(steps=(PLAN_RUN, again))) == ["✓ Plan Run  1.0 s", "✓ Plan Run  2.0 s"]


def test_graph_and_elapsed_time_against_the_usual_are_shown_on_a_terminal() -> None:
    done = job("split", ("RUNNING", 2), ("SUCCESS", 5))
    count = job("count", ("RUNNING", 5), ("PENDING", 7), ("RUNNING", 8), ("FAILED", 9), upstream=["split"])
    usual = Usual(95.0, {"split": 4.0})

    lines = drawn(picture(done, count, status="FAILED", usual=usual)).splitlines()

    assert lines[0].split() == ["salaries-1", "FAILED", "10.0", "s", "of", "usually", "1", "min", "35", "s"]
    (split,) = [line for line in lines if "✓ split" in line]
    assert "SUCCESS" in split
    assert "3.0 s  of 4.0 s" in split
    assert any("└ ✗ count" in line and "FAILED attempt 2" in line for line in lines)
    assert not any("Ctrl-C" in line for line in lines)


@pytest.mark.parametrize(("usually", "colours"), [(7.0, []), (1.0, ["\x1b[33m"])])
def test_time_of_a_job_is_coloured_when_it_takes_longer_than_usual(usually: float, colours: list[str]) -> None:
    done = job("process", ("RUNNING", 2), ("SUCCESS", 5))
    console = Console(file=StringIO(), force_terminal=True, width=100, color_system="standard", _environ={})

    screen = RunScreen(console)
    screen.picture = picture(done, status="SUCCEEDED", usual=Usual(None, {"process": usually}))
    console.print(screen)

    assert isinstance(console.file, StringIO)
    assert re.findall(r"\x1b\[33m(?= *3\.0 s)", console.file.getvalue()) == colours


def test_spark_progress_stands_below_a_running_job_on_a_terminal() -> None:
    progress = SparkProgress(tasks=40, tasks_done=10, stages=2, stages_done=0, what="collect at etl.py:10")

    lines = drawn(picture(job("process", ("RUNNING", 5)), progress={"process": progress})).splitlines()

    below = lines.index(next(line for line in lines if "▶ process" in line)) + 1
    assert lines[below].split(maxsplit=1) == [
        "━" * 5 + "─" * 15,
        "10/40 tasks, stage 1 of 2: collect at etl.py:10",
    ]
    assert lines[-1].startswith("Ctrl-C ends it.")


def test_failures_and_what_runs_are_shown_when_a_screen_has_no_room_for_all_jobs() -> None:
    jobs = [job(f"count.{number}", ("RUNNING", 2), ("SUCCESS", 3)) for number in range(50)]
    failed, running = job("broken", ("RUNNING", 2), ("FAILED", 3)), job("last", ("RUNNING", 4))

    shown = drawn(picture(*jobs, running, failed), height=20)

    assert shown.index("✗ broken") < shown.index("▶ last") < shown.index("52 jobs: 50 SUCCESS")
    assert "count.1 " not in shown


class FakeEmr:
    """EMR Serverless on this machine, or in the cloud, with one dashboard."""

    class meta:  # noqa: N801 - boto3's name
        endpoint_url = "http://127.0.0.1:4566"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: ClientError | None = None

    def get_dashboard_for_job_run(self, applicationId: str, jobRunId: str) -> dict[str, str]:  # noqa: N803
        self.asked.append(jobRunId)
        if self.error:
            raise self.error
        return {"url": "http://127.0.0.1:4040"}


class FakeHttp:
    """The REST API of a driver: answers by path, or an error."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def request(self, method: str, url: str) -> Any:
        answer = self.answers[url.removeprefix("http://127.0.0.1:4040/api/v1/applications")]
        if isinstance(answer, Exception):
            raise answer
        return urllib3.HTTPResponse(json.dumps(answer).encode())


SPARK_JOB = {
    "name": "collect at /work/folder/etl.py:10",
    "stageIds": [3, 4, 5],
    "numTasks": 50,
    "numSkippedTasks": 10,
    "numCompletedTasks": 12,
    "numSkippedStages": 1,
    "numCompletedStages": 1,
}
ANSWERS = {"": [{"id": "local-1"}], "/local-1/jobs?status=running": [SPARK_JOB]}
RUNNING = job("process", ("RUNNING", 2), application_id="app1", job_run_id="run1")


@pytest.fixture
def fake_emr(monkeypatch: pytest.MonkeyPatch) -> FakeEmr:
    emr = FakeEmr()
    monkeypatch.setattr(boto3, "client", lambda _: emr)
    return emr


def asked(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> SparkUis:
    monkeypatch.setattr(urllib3, "PoolManager", lambda **_: FakeHttp(answers))
    return SparkUis()


def test_progress_is_read_from_the_driver_when_its_job_runs(fake_emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    uis = asked(ANSWERS, monkeypatch)

    progress = [uis.progress([RUNNING, job("waits")]) for _ in range(2)]

    assert {name: str(of) for name, of in progress[0].items()} == {
        "process": "12/40 tasks, stage 2 of 2: collect at etl.py:10"
    }
    assert progress[0]["process"].share == 0.3
    assert progress[1] == progress[0]
    assert fake_emr.asked == ["run1"]  # GetDashboardForJobRun may be called once a second


def test_driver_is_looked_for_again_when_its_job_is_tried_again(
    fake_emr: FakeEmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    uis = asked(ANSWERS, monkeypatch)
    again = replace(RUNNING, states=[*RUNNING.states, {"state": "RUNNING", "at": iso_time(at(9))}])

    uis.progress([RUNNING])
    uis.progress([again])

    assert fake_emr.asked == ["run1", "run1"]


@pytest.mark.parametrize(
    "answers",
    [
        {"": []},
        {"": urllib3.exceptions.ProtocolError("the driver has ended")},
        {"": [{"id": "local-1"}], "/local-1/jobs?status=running": []},
    ],
)
def test_there_is_no_progress_when_a_driver_has_none_to_tell(
    answers: dict[str, Any], fake_emr: FakeEmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(answers, monkeypatch).progress([RUNNING]) == {}


def test_there_is_no_progress_when_emr_has_no_dashboard(fake_emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_emr.error = ClientError({"Error": {"Code": "ValidationException"}}, "GetDashboardForJobRun")

    assert asked(ANSWERS, monkeypatch).progress([RUNNING]) == {}


def test_nobody_is_asked_for_progress_when_emr_is_in_the_cloud(
    fake_emr: FakeEmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEmr.meta, "endpoint_url", "https://emr-serverless.eu-west-1.amazonaws.com")

    assert asked({}, monkeypatch).progress([RUNNING]) == {}
    assert fake_emr.asked == []


def test_run_goes_on_when_watching_is_interrupted(
    emrp: Command, deployed: Stack, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1")

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFollower, "follow", interrupted)

    code, _, complaint = emrp("watch")

    assert code == EXIT_INTERRUPTED
    assert complaint == (
        "The run goes on. Watch it with: emrp watch salaries-1; stop it with: emrp cancel salaries-1\n"
    )
    assert boto3.client("stepfunctions").describe_execution(executionArn=arn)["status"] == "RUNNING"


def test_way_on_is_named_when_nothing_runs_that_could_be_watched(emrp: Command, deployed: Stack) -> None:
    code, _, complaint = emrp("watch")

    assert code == EXIT_USAGE
    assert complaint.startswith("Nothing is running. `emrp list` shows the latest runs")


def test_failed_run_is_the_exit_code_and_has_no_escape_codes_when_it_is_watched_in_a_pipe(
    emrp: Command, deployed: Stack, record: RunRecord
) -> None:
    arn = start_execution(deployed, "salaries-1", {"pipeline": "salaries"})
    recorded(record, "salaries-1")
    boto3.client("stepfunctions").stop_execution(executionArn=arn)

    code, printed, _ = emrp("watch", "salaries-1")

    assert code == 1
    assert "The run aborted" in printed
    assert "\x1b" not in printed
