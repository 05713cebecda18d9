"""A job is submitted once, and its task token is where the event of its end finds it."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways.run_record import RunRecord

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions

Invoke = Callable[..., Any]
TOKEN = example_event("add_job_run.job")["taskToken"]


@pytest.fixture
def launched(planned: str, record: RunRecord, emr: FakeEmrServerless) -> str:
    """The planned run, on a started application."""
    emr.applications["app1"] = "STARTED"
    record.set_application_id(planned, "app1")
    return planned


@pytest.mark.usefixtures("launched")
class TestAddJobRun:
    """What "Add Job Run" does with a run whose application is started."""

    def test_add_job_run_submits_the_rendered_request(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        invoke("add_job_run", "job")

        (request,) = emr.asked("start_job_run")
        assert request["tags"]["emr-pipelines:run"] == RUN_ID
        job = record.find_job("run1")
        assert job is not None
        assert (job.name, job.state, job.task_token) == ("process", "SUBMITTED", TOKEN)
        assert step_functions.answers == []

    def test_add_job_run_submits_once_when_it_is_repeated(self, invoke: Invoke, emr: FakeEmrServerless) -> None:
        invoke("add_job_run", "job")
        invoke("add_job_run", "job")

        assert list(emr.job_runs) == ["run1"]

    def test_add_job_run_only_looks_when_an_earlier_attempt_has_submitted_the_job(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        emr.failures["get_job_run"] = TransientError("GetJobRun: ThrottlingException")
        with pytest.raises(TransientError):
            invoke("add_job_run", "job")
        # Such as that of an output which can be read no more: the job runs all the same.
        emr.failures = {"start_job_run": RequestRefusedError("StartJobRun", "ValidationException", "too late")}

        invoke("add_job_run", "job")

        assert len(emr.asked("start_job_run")) == 1
        assert record.get_job(RUN_ID, "process").state == "SUBMITTED"
        assert step_functions.answers == []

    def test_add_job_run_ends_the_job_when_it_ended_before_the_link_was_written(
        self,
        invoke: Invoke,
        emr: FakeEmrServerless,
        step_functions: FakeStepFunctions,
        record: RunRecord,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        start = emr.start_job_run

        def start_and_end(*arguments: Any) -> str:
            job_run_id = start(*arguments)
            emr.set_job_run(job_run_id, "FAILED", second=1, details="Job failed. ExitCode: 1.")
            invoke("handle_state_change", "job_run_failed")  # too early: the record does not know the job run yet
            assert step_functions.answers == []
            return job_run_id

        monkeypatch.setattr(emr, "start_job_run", start_and_end)
        invoke("add_job_run", "job")

        assert step_functions.answers == [(TOKEN, "JobFailedError", "Job process: Job failed. ExitCode: 1.")]
        assert record.get_job(RUN_ID, "process").settled

    def test_add_job_run_fails_the_job_when_emr_refuses_it(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        emr.failures["start_job_run"] = RequestRefusedError("StartJobRun", "ValidationException", "role cannot be used")
        invoke("add_job_run", "job")

        (answer,) = step_functions.answers
        assert answer[1] == "JobFailedError"
        assert "role cannot be used" in answer[2]
        assert events.types == ["Job Run Failed"]

    def test_add_job_run_raises_when_emr_throttles(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        emr.failures["start_job_run"] = TransientError("StartJobRun: ThrottlingException")

        with pytest.raises(TransientError):
            invoke("add_job_run", "job")
        assert step_functions.answers == []

    def test_add_job_run_submits_nothing_when_the_run_has_ended(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        record.end_run(RUN_ID, "CANCELLED", None, None)
        invoke("add_job_run", "job")

        assert emr.job_runs == {}
        assert step_functions.outcomes == [(TOKEN, "JobCancelledError")]

    def test_add_job_run_answers_again_when_the_job_had_ended_before(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        invoke("add_job_run", "job")
        emr.set_job_run("run1", "SUCCESS", second=9)
        invoke("handle_state_change", "job_run_succeeded")
        invoke("add_job_run", example_event("add_job_run.job") | {"taskToken": "second"})

        assert step_functions.outcomes == [(TOKEN, "success"), ("second", "success")]
        assert len(emr.asked("start_job_run")) == 1
