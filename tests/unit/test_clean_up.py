"""Every run ends with the truth and leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.step_functions import ObservedExecution

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions
from tests.unit.test_launch_application import configure

Invoke = Callable[..., Any]


def end_job(record: RunRecord, state: str, details: str | None = None) -> None:
    """Let the job of the run end, and everybody know."""
    job = record.get_job(RUN_ID, "process")
    record.settle_job(record.record_state(job, state, "2026-11-21T12:00:59.000000Z", state_details=details))


@pytest.mark.usefixtures("submitted")
class TestCleanUp:
    """The end of a run whose job was submitted."""

    def test_clean_up_succeeds_when_every_job_did(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents, emr: FakeEmrServerless
    ) -> None:
        end_job(record, "SUCCESS")

        assert invoke("clean_up", "every_job_ended") == {"state": "SUCCEEDED", "error": "", "cause": ""}
        assert events.types == ["Pipeline Run Succeeded"]
        assert emr.requests == []

    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
    def test_clean_up_fails_the_run_when_a_job_did_not_succeed(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents, state: str
    ) -> None:
        end_job(record, state, "ExitCode: 1.")

        answer = invoke("clean_up", "every_job_ended")

        assert answer == {"state": "FAILED", "error": "JobFailedError", "cause": "Job process: ExitCode: 1."}
        assert events.types == ["Pipeline Run Failed"]

    def test_clean_up_cancels_and_fails_when_a_job_has_no_end(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        assert invoke("clean_up", "every_job_ended")["state"] == "FAILED"
        assert emr.asked("cancel_job_run") == ["run1"]

    @pytest.mark.parametrize(
        ("event", "state", "error"),
        [
            ("execution_aborted", "CANCELLED", "RunCancelledError"),
            ("execution_timed_out", "TIMED_OUT", "RunTimedOutError"),
            ("execution_failed", "FAILED", "States.Runtime"),
        ],
    )
    def test_clean_up_ends_the_run_when_its_execution_died(
        self, invoke: Invoke, emr: FakeEmrServerless, event: str, state: str, error: str
    ) -> None:
        answer = invoke("clean_up", event)

        assert (answer["state"], answer["error"]) == (state, error)
        assert emr.asked("cancel_job_run") == ["run1"]

    def test_clean_up_keeps_the_first_end_when_it_is_repeated(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents
    ) -> None:
        end_job(record, "FAILED", "ExitCode: 1.")
        first = invoke("clean_up", "every_job_ended")

        assert invoke("clean_up", "execution_failed") == first
        assert events.types == ["Pipeline Run Failed"]

    def test_clean_up_announces_the_end_when_it_was_interrupted_before(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents
    ) -> None:
        end_job(record, "SUCCESS")
        events.failure = TransientError("PutEvents")
        with pytest.raises(TransientError):
            invoke("clean_up", "every_job_ended")
        events.failure = None
        invoke("clean_up", "every_job_ended")

        assert events.types == ["Pipeline Run Succeeded"]

    def test_clean_up_settles_a_job_when_it_ended_in_an_interrupted_function(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents
    ) -> None:
        record.record_state(record.get_job(RUN_ID, "process"), "FAILED", "2026-11-21T12:00:59.000000Z")
        invoke("clean_up", "execution_aborted")

        assert events.types == ["Job Run Failed", "Pipeline Run Cancelled"]
        assert record.get_job(RUN_ID, "process").settled

    def test_clean_up_sees_the_end_of_a_job_when_its_event_was_lost(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)
        emr.failures["cancel_job_run"] = RequestRefusedError("CancelJobRun", "ValidationException", "It has ended.")
        invoke("clean_up", "execution_aborted")

        assert record.get_job(RUN_ID, "process").state == "SUCCESS"
        assert events.types == ["Job Run Succeeded", "Pipeline Run Cancelled"]

    def test_clean_up_ends_a_job_when_its_job_run_is_gone(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        emr.failures["cancel_job_run"] = ResourceMissingError("CancelJobRun", "ResourceNotFoundException", "run1")
        invoke("clean_up", "execution_aborted")

        assert record.get_job(RUN_ID, "process").state == "CANCELLED"

    def test_job_is_cancelled_when_its_execution_has_given_up(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, events: FakeDomainEvents
    ) -> None:
        invoke("clean_up", "job_execution_failed")

        assert emr.asked("cancel_job_run") == ["run1"]
        assert record.get_job(RUN_ID, "process").state == "CANCELLING"
        assert record.get_run(RUN_ID).state == "RUNNING"  # type: ignore[union-attr]
        assert events.types == []

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILED"])
    def test_job_keeps_its_end_when_its_execution_ends_after_it(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, events: FakeDomainEvents, state: str
    ) -> None:
        end_job(record, state)
        invoke("clean_up", "job_execution_failed")

        assert record.get_job(RUN_ID, "process").state == state
        assert emr.asked("cancel_job_run") == events.types == []

    def test_job_is_left_to_the_end_of_the_run_when_that_has_come(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        record.end_run(RUN_ID, "TIMED_OUT", None, None)
        invoke("clean_up", "job_execution_failed")

        assert emr.asked("cancel_job_run") == []

    def test_job_is_left_to_the_end_of_the_run_when_its_execution_was_stopped_with_that_of_the_run(
        self, invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        run = record.get_run(RUN_ID)
        assert run
        step_functions.ended[run.execution_arn.rpartition(":")[2]] = ObservedExecution(
            "ABORTED", "2026-11-21T12:00:00Z", "2026-11-21T12:01:00Z", {}
        )
        invoke("clean_up", "job_execution_failed")

        assert not record.get_job(RUN_ID, "process").ended
        assert events.types == []

    def test_clean_up_deletes_the_application_when_it_is_transient(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless
    ) -> None:
        configure(record, "transient")
        emr.set_job_run("run1", "SUCCESS", second=50)
        end_job(record, "SUCCESS")
        invoke("clean_up", "every_job_ended")
        assert emr.applications["app1"] == "STOPPING"

        emr.applications["app1"] = "STOPPED"
        invoke("handle_state_change", "application_stopped")
        assert emr.applications["app1"] == "TERMINATED"

    def test_clean_up_deletes_the_application_when_its_last_job_run_is_cancelled(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless
    ) -> None:
        configure(record, "transient")
        invoke("clean_up", "execution_aborted")
        assert emr.applications["app1"] == "STARTED"  # EMR refuses to stop it while the job run is being cancelled

        emr.set_job_run("run1", "CANCELLED", second=50)
        event = example_event("handle_state_change.job_run_failed")
        event["detail"]["state"] = "CANCELLED"
        invoke("handle_state_change", event)

        assert emr.applications["app1"] == "STOPPING"


@pytest.mark.usefixtures("planned")
def test_job_that_was_never_submitted_ends_when_its_execution_has_given_up(
    invoke: Invoke, record: RunRecord, events: FakeDomainEvents
) -> None:
    invoke("clean_up", "job_execution_failed")

    job = record.get_job(RUN_ID, "process")
    assert (job.state, job.settled) == ("CANCELLED", True)
    assert job.state_details == "The execution of the job ended: FAILED: Lambda.Unknown: The function was killed."
    assert events.types == ["Job Run Cancelled"]


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("error", "cause", "details"),
    [
        ("StepFunctions.ExecutionLimitExceeded", "Too many.", "StepFunctions.ExecutionLimitExceeded: Too many."),
        ("States.TaskFailed", '{"Status": "FAILED", "Error": "E", "Cause": "Gone."}', "States.TaskFailed: Gone."),
        ("States.Timeout", None, "States.Timeout"),
    ],
)
def test_job_ends_when_its_execution_could_not_be_started_or_has_failed(
    error: str, cause: str | None, details: str, invoke: Invoke, record: RunRecord
) -> None:
    invoke("clean_up", example_event("clean_up.job_not_started") | {"error": error, "cause": cause})

    job = record.get_job(RUN_ID, "process")
    assert (job.state, job.settled) == ("CANCELLED", True)
    assert job.state_details == f"The execution of the job ended: {details}"


def test_clean_up_records_the_run_when_nobody_did(invoke: Invoke, record: RunRecord) -> None:
    answer = invoke("clean_up", "pipeline_refused")

    assert answer["error"] == "InvalidPipelineError"
    assert answer["cause"] == "pipelines/salaries.yaml has 1 problem:\n- line 2: jobs: is missing"
    run = record.get_run(RUN_ID)
    assert run is not None
    assert (run.state, run.pipeline) == ("FAILED", "salaries")
