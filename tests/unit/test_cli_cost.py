"""`emrp cost`: what the runs of a period have cost."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import boto3
import pytest
from emr_pipelines.cost import find_prices, job_cost, recorded
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run
from hypothesis import given
from hypothesis import strategies as st

from emrp.cost import By, _add_up, _executions, _moment
from emrp.errors import EXIT_USAGE, UsageError
from emrp.stack import Stack
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import start_execution

PRICES = find_prices("us-east-1", "X86_64")
RESOURCES = {"vCPUHour": 1.0, "memoryGBHour": 4.0, "storageGBHour": 0.0}
COST = job_cost(RESOURCES, PRICES)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def run(number: int = 1, pipeline: str = "salaries", day: int = 20, *, priced: bool = True) -> Run:
    run_id = f"{pipeline}-{number}"
    return Run(
        run_id=run_id,
        pipeline=pipeline,
        execution_arn=f"arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:{run_id}",
        started_at=f"2026-11-{day:02}T12:00:00.000000Z",
        state="SUCCEEDED",
        prices=recorded(PRICES) if priced else {},
    )


def job(of: Run, name: str = "process", **more: Any) -> Job:
    ended: dict[str, Any] = {"state": "SUCCESS", "job_run_id": f"{of.run_id}-{name}", "resources": RESOURCES, **more}
    return Job(run_id=of.run_id, pipeline=of.pipeline, name=name, position=0, request={}, **ended)


Ended = Callable[..., Run]


@pytest.fixture
def ended(deployed: Stack, record: RunRecord) -> Ended:
    """Record a run that has ended, with its execution and some jobs."""

    def end(of: Run, *jobs: Job) -> Run:
        start_execution(deployed, of.run_id, {"pipeline": of.pipeline})
        record.create_run(of)
        record.save_plan(of, jobs)
        return of

    return end


def costs(printed: str) -> dict[str, Any]:
    document = json.loads(printed)
    (name,) = document["rows"][0].keys() - document["total"].keys()
    return {row[name]: row["costUsd"] for row in document["rows"]}


def test_cost_is_told_by_pipeline_when_nothing_else_is_asked(emrp: Command, ended: Ended) -> None:
    for number in (1, 2):
        of = run(number)
        ended(of, job(of))
    other = run(pipeline="import")
    ended(other, job(other, "a"), job(other, "b"), job(other, "c"), job(other, "d", reused_from="import-0"))

    code, printed, _ = emrp("cost", "--json")

    assert code == 0
    assert COST
    assert costs(printed) == {
        "import": pytest.approx(3 * COST, abs=0.001),
        "salaries": pytest.approx(2 * COST, abs=0.001),
    }
    total = json.loads(printed)["total"]
    assert (total["runs"], total["jobRuns"], total["vCpuHours"], total["runsWithoutPrice"]) == (3, 5, 5.0, 0)


def test_iterations_are_one_job_when_cost_is_told_by_job(emrp: Command, ended: Ended) -> None:
    of = run()
    ended(of, job(of, "load.1", definition="load"), job(of, "load.2", definition="load"), job(of, "join"))

    _, printed, _ = emrp("cost", "--by", "job", "--json")

    assert COST
    assert costs(printed) == {
        "salaries: load": pytest.approx(2 * COST),
        "salaries: join": pytest.approx(COST),
        "Step Functions and Lambda": pytest.approx(12 * 0.000025, abs=0.0001),
    }


def test_days_are_in_their_order_when_cost_is_told_by_day(emrp: Command, ended: Ended) -> None:
    for number, day in enumerate((21, 19, 20, 19)):
        of = run(number, day=day)
        ended(of, job(of))

    _, printed, _ = emrp("cost", "--by", "day", "--json")

    assert list(costs(printed)) == ["2026-11-19", "2026-11-20", "2026-11-21"]


def test_runs_are_counted_when_they_cannot_be_priced(emrp: Command, ended: Ended) -> None:
    priced, unpriced, running = run(1), run(2, priced=False), run(3)
    ended(priced, job(priced))
    ended(unpriced, job(unpriced))
    ended(running, job(running, state="RUNNING", resources={}))

    _, printed, _ = emrp("cost")
    _, by_run, _ = emrp("cost", "--by", "run")

    assert "2 runs cannot be priced in full" in printed
    assert "$0.0765 + ?" in printed.splitlines()[-4]
    assert [line.split()[-1] for line in by_run.splitlines() if line.startswith("salaries-")] == ["$0.0760", "?", "?"]


def test_nobody_is_asked_about_jobs_when_no_run_started_in_the_period(emrp: Command, ended: Ended) -> None:
    of = run()
    ended(of, job(of))

    code, printed, _ = emrp("cost", "--since", "2020-01-01", "--until", "2020-02-01")

    assert code == 0
    assert printed == "No run has started from 2020-01-01 00:00:00Z to 2020-02-01 00:00:00Z.\n"


def test_executions_without_a_record_cost_nothing_when_they_never_were_planned(emrp: Command, deployed: Stack) -> None:
    start_execution(deployed, "lost", {})

    _, printed, _ = emrp("cost", "--json")

    assert json.loads(printed)["rows"] == []


def test_run_is_counted_when_one_that_is_older_has_ended_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    client = mock.Mock()
    client.get_paginator.return_value.paginate.return_value = [
        {"executions": [{"name": "long", "startDate": NOW - timedelta(hours=9), "stopDate": NOW}]},
        {"executions": [{"name": "late", "startDate": NOW - timedelta(hours=1)}]},
        {"executions": [{"name": "early", "startDate": NOW - timedelta(hours=3)}]},
    ]
    monkeypatch.setattr(boto3, "client", lambda _: client)

    assert list(_executions("arn", NOW - timedelta(hours=2), NOW)) == ["late"]


@pytest.mark.parametrize(("terminal", "has_hours"), [(True, False), (False, True)])
def test_ids_of_runs_are_whole_when_the_terminal_is_narrow_or_none(
    terminal: bool, has_hours: bool, emrp: Command, ended: Ended, request: pytest.FixtureRequest
) -> None:
    if terminal:
        request.getfixturevalue("narrow_terminal")
    of = run(pipeline="wordcount-fanout-of-many", priced=False)
    ended(of, job(of))

    _, printed, _ = emrp("cost", "--by", "run")

    (line,) = (line for line in printed.splitlines() if line.startswith(f"{of.run_id} "))
    assert ("STORAGE GB HOURS" in printed) == has_hours
    assert terminal or printed.splitlines()[-1].endswith("EmrServerlessPrices of the stack takes them.")
    assert not line.endswith(" ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "yesterday"], '"yesterday" is no time: write 30d, 12h, 2w, 2026-11-01 or 2026-11-01T12:00.'),
        (["--since", "1h", "--until", "2d"], "must come before --until"),
    ],
)
def test_period_is_refused_when_it_makes_no_sense(
    options: list[str], message: str, emrp: Command, deployed: Stack
) -> None:
    code, _, complaint = emrp("cost", *options)

    assert code == EXIT_USAGE
    assert message in " ".join(complaint.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12h", "2026-11-21T00:00:00+00:00"),
        ("30d", "2026-10-22T12:00:00+00:00"),
        ("2w", "2026-11-07T12:00:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00+00:00"),
    ],
)
def test_time_is_understood_when_it_is_a_date_or_some_time_ago(text: str, expected: str) -> None:
    assert _moment(text, NOW) == datetime.fromisoformat(expected)


def test_time_is_refused_when_it_is_too_long_ago_to_be_a_date() -> None:
    with pytest.raises(UsageError):
        _moment("999999999999w", NOW)


@given(st.data())
def test_total_is_the_same_when_it_is_told_by_something_else(data: st.DataObject) -> None:
    found = []
    for number in range(data.draw(st.integers(0, 6))):
        of = run(
            number,
            data.draw(st.sampled_from(["a", "b"])),
            data.draw(st.integers(1, 3)),
            priced=data.draw(st.booleans()),
        )
        found.append((of, [job(of, name) for name in data.draw(st.sets(st.sampled_from(["x", "y", "z"])))]))

    totals = []
    for by in By:
        lines, total = _add_up(iter(found), by)
        assert sum(line.usd or 0 for line in lines.values()) == pytest.approx(total.usd or 0)
        assert sum(line.job_runs for line in lines.values()) == total.job_runs
        assert set().union(*(line.unpriced for line in lines.values())) == total.unpriced
        totals.append(total.as_json())

    assert all(total == totals[0] for total in totals)
    assert totals[0]["runs"] == len(found)
