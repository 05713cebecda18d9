"""The application of a run is brought to STARTED, and the run that waits is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines.cost import find_prices, prices_of_run
from emr_pipelines.errors import ApplicationUnavailableError, RequestRefusedError, RunTimedOutError, TransientError
from emr_pipelines.gateways.run_record import RunRecord

from tests.unit.conftest import RUN_ID, example_event
from tests.unit.fakes import FakeEmrServerless, FakeStepFunctions

Invoke = Callable[..., Any]
TOKEN = example_event("launch_application.run")["taskToken"]


def configure(record: RunRecord, lifecycle: str, **application: Any) -> None:
    """Change what the pipeline file said about the application of the planned run."""
    run = record.get_run(RUN_ID)
    assert run is not None
    values = vars(run) | {"lifecycle": lifecycle, "application": {**run.application, **application}}
    record.save_plan(type(run)(**values), [])


def application_event(state: str) -> dict[str, Any]:
    """Return EMR's event for `app1` in `state`."""
    event = example_event("handle_state_change.application_started")
    event["detail"]["state"] = state
    return event


@pytest.mark.usefixtures("planned")
class TestSharedApplication:
    """The default: one application for a pipeline."""

    def test_launch_creates_and_starts_when_there_is_none(self, invoke: Invoke, emr: FakeEmrServerless) -> None:
        invoke("launch_application", "run")

        assert emr.applications == {"app1": "STARTING"}
        assert emr.asked("create_application")[0]["name"] == "emr-pipelines-salaries"

    def test_launch_answers_the_token_when_the_started_event_comes(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, record: RunRecord
    ) -> None:
        invoke("launch_application", "run")
        assert step_functions.answers == []

        emr.applications["app1"] = "STARTED"
        invoke("handle_state_change", "application_started")
        invoke("handle_state_change", "application_started")

        assert step_functions.outcomes == [(TOKEN, "success")]
        assert record.list_waiting("app1") == []

    def test_launch_asks_emr_once_when_many_runs_wait_for_the_application(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, record: RunRecord
    ) -> None:
        planned = record.get_run(RUN_ID)
        assert planned is not None
        runs = {f"{RUN_ID}-{number}": f"token {number}" for number in range(5)}
        for run_id, token in runs.items():
            record.create_run(replace(planned, run_id=run_id))
            invoke("launch_application", {"runId": run_id, "taskToken": token})
        emr.applications["app1"] = "STOPPED"
        emr.requests.clear()

        invoke("handle_state_change", application_event("STOPPED"))
        assert emr.requests == [("get_application", "app1"), ("start_application", "app1")]
        emr.applications["app1"] = "STARTED"
        invoke("handle_state_change", "application_started")

        assert len(emr.asked("get_application")) == 2
        assert sorted(step_functions.outcomes) == [(token, "success") for token in runs.values()]
        assert record.list_waiting("app1") == []

    def test_launch_answers_at_once_when_the_application_is_started(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "STARTED"
        invoke("launch_application", {"runId": RUN_ID, "taskToken": "second"})

        assert ("second", "success") in step_functions.outcomes
        assert len(emr.applications) == 1

    def test_launch_starts_again_when_the_application_has_stopped_meanwhile(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "STOPPED"
        invoke("handle_state_change", "application_stopped")

        assert emr.applications["app1"] == "STARTING"

    def test_launch_asks_emr_once_when_the_application_is_recorded(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "STARTED"
        emr.requests.clear()

        invoke("launch_application", "run")

        assert emr.requests == [("get_application", "app1")]

    def test_launch_creates_another_when_somebody_deleted_the_application(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "TERMINATED"
        invoke("launch_application", "run")

        assert emr.applications == {"app1": "TERMINATED", "app2": "STARTING"}
        assert (record.list_waiting("app1"), record.list_waiting("app2")) == ([], [(RUN_ID, TOKEN)])
        assert step_functions.answers == []

    def test_launch_creates_another_when_emr_knows_the_application_no_more(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        record.save_shared_application("salaries", "gone", "digest")

        invoke("launch_application", "run")

        assert emr.applications == {"app1": "STARTING"}
        assert record.list_waiting("gone") == []

    def test_launch_fails_the_task_when_the_application_is_deleted_while_the_run_waits(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "TERMINATED"
        invoke("handle_state_change", application_event("TERMINATED"))

        assert step_functions.outcomes == [(TOKEN, "ApplicationUnavailableError")]

    def test_launch_updates_when_the_pipeline_file_has_changed(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "STARTED"
        configure(record, "shared", releaseLabel="emr-7.10.0")

        invoke("launch_application", "run")
        assert emr.applications["app1"] == "STOPPING"
        emr.applications["app1"] = "STOPPED"
        invoke("handle_state_change", "application_stopped")

        assert emr.asked("update_application")[0]["releaseLabel"] == "emr-7.10.0"
        assert emr.applications["app1"] == "STARTING"
        assert step_functions.answers == []

    def test_launch_waits_when_job_runs_keep_the_application_from_being_updated(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        invoke("launch_application", "run")
        emr.applications["app1"] = "STARTED"
        emr.set_job_run("other", "RUNNING")
        configure(record, "shared", releaseLabel="emr-7.10.0")

        with pytest.raises(TransientError, match="while it has job runs"):
            invoke("launch_application", "run")

    def test_launch_gives_up_when_the_run_was_to_end_before(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        run = record.get_run(RUN_ID)
        assert run is not None
        record.save_plan(replace(run, deadline="2020-01-01T00:00:00.000000Z"), [])

        with pytest.raises(RunTimedOutError, match="was to end by 2020"):
            invoke("launch_application", "run")
        assert emr.requests == []

    def test_launch_fails_when_emr_refuses_the_application(self, invoke: Invoke, emr: FakeEmrServerless) -> None:
        refusal = RequestRefusedError("CreateApplication", "ValidationException", "no such release")
        emr.failures["create_application"] = refusal

        with pytest.raises(ApplicationUnavailableError, match="no such release"):
            invoke("launch_application", "run")

    def test_launch_stops_waiting_when_the_run_has_ended(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        invoke("launch_application", "run")
        record.end_run(RUN_ID, "CANCELLED", None, None)
        emr.applications["app1"] = "STARTED"
        invoke("handle_state_change", "application_started")

        assert step_functions.answers == []
        assert record.list_waiting("app1") == []


@pytest.mark.usefixtures("planned")
class TestOtherLifecycles:
    """An application for one run, and one that somebody else owns."""

    def test_launch_creates_one_application_when_a_transient_run_is_retried(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        configure(record, "transient")
        invoke("launch_application", "run")
        invoke("launch_application", "run")

        assert list(emr.applications) == ["app1"]

    def test_launch_only_starts_when_the_application_exists(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        configure(record, "existing")
        record.set_application_id(RUN_ID, "theirs")
        emr.applications["theirs"] = "STOPPED"

        invoke("launch_application", "run")

        assert emr.applications == {"theirs": "STARTING"}
        assert emr.asked("create_application") == []
        assert emr.asked("update_application") == []


def test_handle_state_change_ignores_an_application_when_nobody_waits_for_it(
    invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
) -> None:
    invoke("handle_state_change", "application_started")

    assert emr.requests == []
    assert step_functions.answers == []


@pytest.mark.usefixtures("planned")
class TestPrices:
    """What a run costs is reckoned with the prices of the day it was launched."""

    @pytest.mark.parametrize(
        ("lifecycle", "application", "architecture"),
        [
            ("shared", {}, "X86_64"),
            ("transient", {"architecture": "ARM64"}, "ARM64"),
        ],
    )
    def test_prices_are_recorded_when_the_application_is_launched(
        self, lifecycle: str, application: dict[str, Any], architecture: str, invoke: Invoke, record: RunRecord
    ) -> None:
        configure(record, lifecycle, **application)

        invoke("launch_application", "run")

        run = record.get_run(RUN_ID)
        assert run is not None
        assert prices_of_run(run) == find_prices("us-east-1", architecture)

    def test_prices_are_those_of_the_real_application_when_it_exists_already(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = record.get_run(RUN_ID)
        assert run is not None
        record.save_plan(replace(run, lifecycle="existing", application_id="theirs", application={}), [])
        emr.applications["theirs"] = "STARTED"
        theirs = replace(emr.get_application("theirs"), architecture="ARM64")
        monkeypatch.setattr(emr, "get_application", lambda _: theirs)

        invoke("launch_application", "run")

        launched = record.get_run(RUN_ID)
        assert launched is not None
        assert prices_of_run(launched) == find_prices("us-east-1", "ARM64")

    def test_prices_are_those_of_the_stack_when_it_has_its_own(
        self, invoke: Invoke, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = "X86_64=0.05/0.006/0.0001"
        monkeypatch.setenv("EMR_SERVERLESS_PRICES", own)

        invoke("launch_application", "run")

        run = record.get_run(RUN_ID)
        assert run is not None
        assert prices_of_run(run) == find_prices("us-east-1", "X86_64", own)
