"""When no event has come, EMR is asked, and its answer counts as an event would."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.errors import JobNotSubmittedError
from emr_pipelines.gateways.run_record import RunRecord

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions

Invoke = Callable[..., Any]
TOKEN = example_event("check_status.job")["taskToken"]


@pytest.mark.usefixtures("submitted")
class TestCheckStatus:
    """What "Check Status" does with a submitted job."""

    def test_check_status_ends_the_job_when_its_event_was_lost(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "FAILED", second=20, details="ExitCode: 137.")
        invoke("check_status", "job")

        assert step_functions.answers == [(TOKEN, "JobFailedError", "Job process: ExitCode: 137.")]
        assert events.types == ["Job Run Failed"]

    def test_check_status_leaves_the_new_token_when_the_job_still_runs(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        emr.set_job_run("run1", "RUNNING", second=20)
        invoke("check_status", "job")
        assert step_functions.answers == []

        emr.set_job_run("run1", "SUCCESS", second=50)
        invoke("handle_state_change", "job_run_succeeded")
        assert step_functions.outcomes == [(TOKEN, "success")]

    def test_check_status_answers_the_new_token_when_the_job_ended_meanwhile(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)
        invoke("handle_state_change", "job_run_succeeded")
        invoke("check_status", "job")

        assert step_functions.outcomes == [("token", "success"), (TOKEN, "success")]
        assert events.types == ["Job Run Succeeded"]

    def test_check_status_fails_the_job_when_the_job_run_is_gone(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, record: RunRecord
    ) -> None:
        emr.job_runs.clear()
        invoke("check_status", "job")

        assert step_functions.outcomes == [(TOKEN, "JobFailedError")]
        assert "is gone" in (record.get_job(RUN_ID, "process").state_details or "")


@pytest.mark.usefixtures("planned")
def test_check_status_lets_the_job_be_submitted_again_when_the_heartbeat_was_shorter_than_that(invoke: Invoke) -> None:
    with pytest.raises(JobNotSubmittedError, match="has no job run yet"):
        invoke("check_status", "job")
