"""Domain events become metrics of CloudWatch: which, with which dimensions, and as which line of a log."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines.cost import find_prices, recorded
from emr_pipelines.domain_event import DomainEvent, job_run_ended, job_run_retried, pipeline_run_ended
from emr_pipelines.errors import TransientError
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.domain_events import DomainEvents
from emr_pipelines.gateways.event_metrics import EventMetrics
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.measures import dimensions, measures
from emr_pipelines.run import Job, Run

from tests.unit.conftest import EXECUTION_ARN, RUN_ID
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless

PRICES = find_prices("us-east-1", "X86_64")
RUN = Run(
    run_id=RUN_ID,
    pipeline="salaries",
    execution_arn=EXECUTION_ARN,
    started_at="2026-11-21T12:00:00Z",
    ended_at="2026-11-21T12:02:00Z",
    state="SUCCEEDED",
    prices=recorded(PRICES),
)
JOB = Job(
    run_id=RUN_ID,
    pipeline="salaries",
    name="load.3",
    definition="load",
    position=0,
    request={},
    state="SUCCESS",
    job_run_id="run1",
    states=[{"state": "RUNNING", "at": "2026-11-21T12:00:30Z"}],
    ended_at="2026-11-21T12:01:30Z",
    resources={"vCPUHour": 1.0, "memoryGBHour": 4.0, "storageGBHour": 0.0},
)


def values(event: DomainEvent) -> dict[str, float]:
    return {measure.name: measure.value for measure in measures(event)}


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("SUCCEEDED", "RunsSucceeded"),
        ("FAILED", "RunsFailed"),
        ("CANCELLED", "RunsCancelled"),
        ("TIMED_OUT", "RunsTimedOut"),
    ],
)
def test_run_is_counted_and_measured_when_it_has_ended(state: str, name: str) -> None:
    assert values(pipeline_run_ended(replace(RUN, state=state), [JOB])) == {name: 1, "RunSeconds": 120}


def test_run_has_no_duration_when_it_was_skipped() -> None:
    assert values(pipeline_run_ended(replace(RUN, state="SKIPPED"), [])) == {"RunsSkipped": 1}


def test_job_is_counted_with_what_it_cost_when_it_has_ended() -> None:
    assert PRICES

    assert values(job_run_ended(JOB, PRICES)) == {
        "JobsSucceeded": 1,
        "JobSeconds": 60,
        "JobVcpuHours": 1,
        "JobMemoryGbHours": 4,
        "JobCostUsd": pytest.approx(PRICES.vcpu_hour + 4 * PRICES.memory_gb_hour, abs=1e-6),
    }


@pytest.mark.parametrize(("state", "name"), [("FAILED", "JobsFailed"), ("CANCELLED", "JobsCancelled")])
def test_job_is_counted_only_when_nothing_else_is_known(state: str, name: str) -> None:
    ended = replace(JOB, state=state, states=[], resources={})

    assert values(job_run_ended(ended, None)) == {name: 1}


def test_job_costs_nothing_when_it_was_skipped() -> None:
    skipped = replace(JOB, state="SKIPPED", job_run_id=None, states=[], resources={})

    assert values(job_run_ended(skipped, None)) == {"JobsSkipped": 1, "JobCostUsd": 0}


def test_attempt_is_counted_when_it_is_repeated() -> None:
    assert values(job_run_retried(JOB, 1, "ExitCode: 1")) == {"JobsRetried": 1}


def test_event_is_no_measure_when_it_is_no_end() -> None:
    assert measures(DomainEvent("Pipeline Registered", {"pipeline": "salaries"})) == []


def test_iterations_are_one_job_when_a_loop_is_measured() -> None:
    assert dimensions(job_run_ended(JOB, PRICES)) == [
        {"pipeline": "salaries"},
        {"pipeline": "salaries", "job": "load"},
    ]


def test_pipeline_is_called_unknown_when_a_run_had_no_name() -> None:
    assert dimensions(pipeline_run_ended(replace(RUN, pipeline=""), [])) == [{"pipeline": "unknown"}]


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_log_has_one_line_of_metrics_when_a_job_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    EventMetrics("stack").observe(job_run_ended(JOB, PRICES))

    (line,) = logged(capsys)
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert metrics["Namespace"] == "EmrPipelines"
    assert metrics["Dimensions"] == [["service"], ["service", "pipeline"], ["service", "pipeline", "job"]]
    assert {name: line[name] for name in ("service", "pipeline", "job", "run")} == {
        "service": "stack",
        "pipeline": "salaries",
        "job": "load",
        "run": RUN_ID,
    }
    assert {metric["Name"]: metric["Unit"] for metric in metrics["Metrics"]} == {
        "JobsSucceeded": "Count",
        "JobSeconds": "Seconds",
        "JobVcpuHours": "None",
        "JobMemoryGbHours": "None",
        "JobCostUsd": "None",
    }
    assert line["JobSeconds"] == [60.0]


def test_log_has_nothing_when_an_event_is_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    EventMetrics("stack").observe(DomainEvent("Pipeline Registered", {"pipeline": "salaries"}))

    assert logged(capsys) == []


@pytest.mark.usefixtures("aws")
def test_event_is_measured_when_the_bus_took_it_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[DomainEvent] = []
    event = job_run_ended(JOB, PRICES)
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorMessage": "no"}]}

    events = DomainEvents("stack", seen.append)
    events.publish(event)
    assert seen == [event]

    monkeypatch.setattr(client("events"), "put_events", lambda **_: refused)
    with pytest.raises(TransientError, match="no"):
        events.publish(event)
    assert seen == [event]


def test_event_of_a_job_tells_its_cost_when_emr_has_billed_it(
    invoke: Callable[..., Any],
    record: RunRecord,
    submitted: Job,
    emr: FakeEmrServerless,
    events: FakeDomainEvents,
) -> None:
    record.set_prices(RUN_ID, recorded(PRICES))
    ended = replace(emr.set_job_run("run1", "SUCCESS", second=9), resources=JOB.resources)
    emr.job_runs["run1"] = ended

    invoke("check_status", {"runId": RUN_ID, "job": "process", "taskToken": "t", "executionArn": EXECUTION_ARN})

    (event,) = events.published
    assert PRICES
    assert event.detail["costUsd"] == pytest.approx(PRICES.vcpu_hour + 4 * PRICES.memory_gb_hour)
    assert event.detail["billed"] == {"vCpuHours": 1.0, "memoryGbHours": 4.0, "storageGbHours": 0.0}
