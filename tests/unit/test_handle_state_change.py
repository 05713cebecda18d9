"""EMR's events end the jobs they are about, however late, early, often or out of order they come."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from emr_pipelines.errors import TransientError
from emr_pipelines.follow_job import follow_job
from emr_pipelines.gateways.job_gateways import JobGateways
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.table import Table
from emr_pipelines.run import Job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions
from tests.unit.fakes_emr_on_ec2 import FakeEmrOnEc2

Invoke = Callable[..., Any]


def job_event(state: str, second: int = 30) -> dict[str, Any]:
    """Return EMR's event for `run1` in `state`."""
    event = example_event("handle_state_change.job_run_running")
    event["detail"] |= {"state": state, "updatedAt": f"2026-11-21T12:00:{second:02d}.000000Z"}
    return event


def test_handle_state_change_completes_the_link_when_it_was_interrupted(
    planned: str, invoke: Invoke, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object, **_named: object) -> None:
        raise TransientError("UpdateItem")

    job = record.get_job(planned, "process")
    with monkeypatch.context() as patch:
        patch.setattr(Table, "update", die)
        with pytest.raises(TransientError):
            record.link_job_run(job, "app1", "run1")
    invoke("handle_state_change", "job_run_running")

    job = record.get_job(planned, "process")
    assert (job.state, job.application_id, job.job_run_id) == ("RUNNING", "app1", "run1")


@pytest.mark.usefixtures("submitted")
class TestJobRunEvents:
    """Events of a job run that a run waits for."""

    def test_handle_state_change_ends_the_job_when_it_succeeded(
        self,
        invoke: Invoke,
        emr: FakeEmrServerless,
        record: RunRecord,
        step_functions: FakeStepFunctions,
        events: FakeDomainEvents,
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)
        invoke("handle_state_change", "job_run_running")
        invoke("handle_state_change", "job_run_succeeded")

        job = record.get_job(RUN_ID, "process")
        assert [change["state"] for change in job.states] == ["RUNNING", "SUCCESS"]
        assert job.duration_seconds == pytest.approx(39.7, abs=0.01)
        assert step_functions.outcomes == [("token", "success")]
        assert events.types == ["Job Run Succeeded"]

    def test_handle_state_change_gives_emrs_reason_when_the_job_failed(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "FAILED", second=50, details="Job failed. ExitCode: 1.")
        invoke("handle_state_change", "job_run_failed")

        assert step_functions.answers == [("token", "JobFailedError", "Job process: Job failed. ExitCode: 1.")]
        assert events.published[0].detail["reason"] == "Job failed. ExitCode: 1."
        assert events.published[0].detail["logUri"] == "s3://bucket/logs/applications/app1/jobs/run1/SPARK_DRIVER/"

    def test_handle_state_change_publishes_once_when_an_event_comes_twice(
        self, invoke: Invoke, emr: FakeEmrServerless, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)
        for _ in range(3):
            invoke("handle_state_change", "job_run_succeeded")

        assert events.types == ["Job Run Succeeded"]

    def test_handle_state_change_completes_the_end_when_it_was_interrupted(
        self,
        invoke: Invoke,
        emr: FakeEmrServerless,
        record: RunRecord,
        step_functions: FakeStepFunctions,
        events: FakeDomainEvents,
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)
        events.failure = TransientError("PutEvents: InternalException")
        with pytest.raises(TransientError):
            invoke("handle_state_change", "job_run_succeeded")
        events.failure = None
        step_functions.failure = TransientError("SendTaskSuccess: ThrottlingException")
        with pytest.raises(TransientError):
            invoke("handle_state_change", "job_run_succeeded")
        step_functions.failure = None
        invoke("handle_state_change", "job_run_succeeded")

        assert set(step_functions.outcomes) == {("token", "success")}
        assert events.types == ["Job Run Succeeded"]
        assert record.get_job(RUN_ID, "process").settled

    @pytest.mark.parametrize("state", ["QUEUED", "PENDING", "CANCELLING", "HIBERNATING"])
    def test_handle_state_change_goes_on_waiting_when_a_state_is_no_end(
        self, invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions, state: str
    ) -> None:
        invoke("handle_state_change", job_event(state))

        assert step_functions.answers == []
        assert step_functions.heartbeats == ["token"]
        assert record.get_job(RUN_ID, "process").state == state

    def test_handle_state_change_does_its_work_when_an_event_has_new_fields(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        event = example_event("handle_state_change.job_run_succeeded")
        event |= {"new": 1}
        event["detail"] |= {"new": {"nested": [None]}, "version": "2.0"}
        emr.set_job_run("run1", "SUCCESS", second=50)
        invoke("handle_state_change", event)

        assert step_functions.outcomes == [("token", "success")]

    def test_handle_state_change_keeps_the_heartbeat_when_emr_reports_utilisation(
        self, invoke: Invoke, step_functions: FakeStepFunctions
    ) -> None:
        invoke("handle_state_change", "job_resource_utilization")

        assert step_functions.heartbeats == ["token"]

    def test_handle_state_change_publishes_why_an_attempt_failed_when_emr_retries(
        self, invoke: Invoke, emr: FakeEmrServerless, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "FAILED", details="ExitCode: 1.")
        invoke("handle_state_change", "job_run_retry")

        (event,) = events.published
        assert event.detail_type == "Job Run Retried"
        assert (event.detail["job"], event.detail["attempt"]) == ("process", 1)
        assert event.detail["reason"] == "ExitCode: 1."


@pytest.mark.parametrize("name", ["job_run_succeeded", "job_run_running", "job_run_retry", "job_resource_utilization"])
def test_handle_state_change_ignores_a_job_run_when_it_is_not_ours(
    invoke: Invoke, emr: FakeEmrServerless, events: FakeDomainEvents, name: str
) -> None:
    invoke("handle_state_change", name)

    assert emr.requests == []
    assert events.published == []


def test_handle_state_change_ignores_an_event_when_its_type_is_unknown(
    invoke: Invoke, events: FakeDomainEvents
) -> None:
    event = job_event("RUNNING") | {"detail-type": "EMR Serverless Weather Report"}
    invoke("handle_state_change", event)

    assert events.published == []


observations = st.lists(
    st.tuples(st.sampled_from(["QUEUED", "SCHEDULED", "RUNNING", "CANCELLING"]), st.integers(0, 40)), max_size=6
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(early=observations, end=st.sampled_from(["SUCCESS", "FAILED", "CANCELLED"]), late=observations)
def test_job_keeps_its_end_when_observations_come_in_any_order(
    record: RunRecord, early: list[tuple[str, int]], end: str, late: list[tuple[str, int]]
) -> None:
    boto3.resource("dynamodb").Table("runs").put_item(
        Item={"pk": "RUN#r", "sk": "JOB#j", "run_id": "r", "pipeline": "p", "name": "j", "position": 0,
              "request": "{}", "task_token": "token"}
    )  # fmt: skip
    job = record.get_job("r", "j")
    step_functions, events = FakeStepFunctions(), FakeDomainEvents()
    gateways = JobGateways(
        record=record, emr=FakeEmrServerless(), clusters=FakeEmrOnEc2(), step_functions=step_functions, events=events
    )

    def see(job: Job, state: str, second: int) -> Job:
        seen = ObservedJobRun("run1", "app1", state, f"2026-11-21T12:00:{second:02d}.000000Z", None, 1)
        return follow_job(job, seen, gateways)

    for state, second in [*early, (end, 50), *late, (end, 50), ("FAILED", 55)]:
        job = see(job, state, second)

    assert job.state == end
    assert [change["state"] for change in job.states].count(end) == 1
    assert [change["at"] for change in job.states] == sorted(change["at"] for change in job.states)
    assert {change["state"] for change in job.states} == {end, *(state for state, _ in early + late)}
    assert len(events.published) == 1
    assert {token for token, _ in step_functions.outcomes} == {"token"}
    assert len({outcome for _, outcome in step_functions.outcomes}) == 1
