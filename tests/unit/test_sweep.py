"""What clean-up and events have missed is ended with the truth; what is alive, or of others, is left alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines.clock import now
from emr_pipelines.errors import RequestRefusedError, ResourceMissingError, TransientError
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.held_notifications import HeldNotifications
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.gateways.step_functions import ObservedExecution
from emr_pipelines.run import Run

from tests.unit.conftest import RUN_ID
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions, FakeTopic

Invoke = Callable[..., Any]

# So long ago is nothing in the tests: a negative grace takes everything for old, whatever the clock says.
AT_ONCE = {"graceSeconds": -(10**9)}
STACK = {"emr-pipelines:stack": "emr-pipelines"}
OF_RUN = {**STACK, "emr-pipelines:run": RUN_ID}


def kinds(answer: dict[str, Any]) -> list[str]:
    """The kinds of what a sweep has found."""
    return [leftover["kind"] for leftover in answer["leftovers"]]


def died(status: str, **details: Any) -> ObservedExecution:
    """An execution that has just ended."""
    return ObservedExecution(status, now(), now(), {"pipeline": "salaries"}, **details)


@pytest.fixture
def alive(step_functions: FakeStepFunctions) -> None:
    """The execution of the run is running."""
    step_functions.executions[RUN_ID] = {}


@pytest.mark.usefixtures("submitted")
class TestRuns:
    """A run whose execution is not alive any more ends."""

    @pytest.mark.parametrize(
        ("status", "state", "error"),
        [
            ("ABORTED", "CANCELLED", "RunCancelledError"),
            ("TIMED_OUT", "TIMED_OUT", "RunTimedOutError"),
            ("FAILED", "FAILED", "States.Runtime"),
            ("SUCCEEDED", "FAILED", "JobFailedError"),  # it cannot be: the job has not ended
        ],
    )
    def test_sweep_ends_the_run_when_its_execution_has_ended(
        self,
        invoke: Invoke,
        record: RunRecord,
        emr: FakeEmrServerless,
        events: FakeDomainEvents,
        step_functions: FakeStepFunctions,
        status: str,
        state: str,
        error: str,
    ) -> None:
        step_functions.ended[RUN_ID] = died(status, error="States.Runtime" if status == "FAILED" else None)

        assert kinds(invoke("sweep", AT_ONCE)) == ["RUN_NOT_ENDED"]
        run = record.get_run(RUN_ID)
        assert run is not None
        assert (run.state, run.error) == (state, error)
        assert emr.asked("cancel_job_run") == ["run1"]
        assert events.types[-1] == "Sweep Completed"
        assert len([name for name in events.types if name.startswith("Pipeline Run")]) == 1

    @pytest.mark.parametrize(
        ("started_at", "state"),
        [("2020-01-01T00:00:00.000000Z", "FAILED"), (now(), "RUNNING")],
        ids=["long ago", "just now"],
    )
    def test_sweep_ends_the_run_when_its_execution_does_not_exist_and_it_is_not_new(
        self, invoke: Invoke, record: RunRecord, started_at: str, state: str
    ) -> None:
        record.create_run(Run(run_id="lost", execution_arn="lost", started_at=started_at))
        invoke("sweep", AT_ONCE)

        run = record.get_run("lost")
        assert run is not None
        assert (run.state, run.error) == (state, "RunLostError" if state == "FAILED" else None)

    def test_sweep_lets_the_run_go_on_when_its_execution_is_redriven_meanwhile(
        self, invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks = iter([died("FAILED"), ObservedExecution("RUNNING", now(), None, {})])
        monkeypatch.setattr(step_functions, "describe_execution", lambda _: next(looks))

        assert kinds(invoke("sweep", AT_ONCE)) == ["RUN_NOT_ENDED"]
        assert record.get_run(RUN_ID).state == "RUNNING"  # type: ignore[union-attr]

    @pytest.mark.usefixtures("alive")
    def test_sweep_finds_nothing_when_the_run_is_alive(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless, events: FakeDomainEvents
    ) -> None:
        emr.tags["app1"] = OF_RUN
        emr.set_job_run("run1", "RUNNING", second=5)

        assert invoke("sweep", AT_ONCE) == {"leftovers": []}
        assert events.types == []
        assert emr.asked("cancel_job_run") == emr.asked("stop_application") == []
        assert record.list_open_runs() == [RUN_ID]

    def test_sweep_leaves_a_run_to_clean_up_when_it_has_just_ended(
        self, invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        step_functions.ended[RUN_ID] = died("ABORTED")

        assert invoke("sweep", "scheduled") == {"leftovers": []}
        assert record.get_run(RUN_ID).state == "RUNNING"  # type: ignore[union-attr]

    def test_sweep_publishes_the_end_when_clean_up_could_not(
        self, invoke: Invoke, record: RunRecord, events: FakeDomainEvents, emr: FakeEmrServerless
    ) -> None:
        events.failure = TransientError("PutEvents")
        with pytest.raises(TransientError):
            invoke("clean_up", "execution_aborted")
        emr.set_job_run("run1", "CANCELLED", second=30)
        events.failure = None

        assert kinds(invoke("sweep", AT_ONCE)) == ["RUN_NOT_ENDED", "JOB_NOT_ENDED"]
        assert events.types == ["Job Run Cancelled", "Pipeline Run Cancelled", "Sweep Completed"]

    def test_run_is_closed_when_nothing_of_it_is_open(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless, events: FakeDomainEvents
    ) -> None:
        invoke("clean_up", "execution_aborted")
        assert record.list_open_runs() == [RUN_ID]  # its job run is still being cancelled
        emr.set_job_run("run1", "CANCELLED", second=50)

        assert kinds(invoke("sweep", AT_ONCE)) == ["JOB_NOT_ENDED"]
        assert record.get_job(RUN_ID, "process").state == "CANCELLED"
        assert "Job Run Cancelled" in events.types
        assert invoke("sweep", AT_ONCE) == {"leftovers": []}
        assert record.list_open_runs() == []


def test_sweep_records_the_run_when_its_execution_died_before_it_was_planned(
    invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions, events: FakeDomainEvents
) -> None:
    cause = '{"errorMessage": "throttled"}'
    step_functions.ended["early"] = died("FAILED", error="Lambda.TooManyRequestsException", cause=cause)

    (leftover,) = invoke("sweep", AT_ONCE)["leftovers"]

    assert leftover["text"] == "run early: its execution ended FAILED, but it is not in the run record"
    run = record.get_run("early")
    assert run is not None
    assert (run.state, run.pipeline, run.cause) == ("FAILED", "salaries", "throttled")
    assert events.types == ["Pipeline Run Failed", "Sweep Completed"]


@pytest.mark.usefixtures("submitted", "alive")
class TestJobsOfALivingRun:
    """A job whose end was missed has it now, and the run goes on."""

    def test_sweep_answers_the_token_when_the_event_was_lost(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        emr.set_job_run("run1", "SUCCESS", second=50)

        (leftover,) = invoke("sweep", AT_ONCE)["leftovers"]

        assert leftover["text"] == (
            "job process of run salaries-1: its job run has ended SUCCESS, "
            "but the job is NOT_SUBMITTED in the run record"
        )
        assert record.get_job(RUN_ID, "process").state == "SUCCESS"
        assert step_functions.outcomes == [("token", "success")]

    def test_sweep_fails_the_job_when_its_job_run_is_gone(
        self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        emr.job_runs.clear()

        assert kinds(invoke("sweep", AT_ONCE)) == ["JOB_NOT_ENDED"]
        assert record.get_job(RUN_ID, "process").state == "FAILED"
        assert step_functions.outcomes == [("token", "JobFailedError")]

    @pytest.mark.parametrize("state", ["QUEUED", "CANCELLING", "HIBERNATING"])
    def test_sweep_waits_when_the_state_is_no_end(self, invoke: Invoke, emr: FakeEmrServerless, state: str) -> None:
        emr.set_job_run("run1", state, second=50)

        assert invoke("sweep", AT_ONCE) == {"leftovers": []}

    def test_sweep_tells_everybody_when_the_function_that_would_have_was_killed(
        self, invoke: Invoke, record: RunRecord, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        record.record_state(record.get_job(RUN_ID, "process"), "FAILED", "2026-11-21T12:00:59.000000Z")

        assert kinds(invoke("sweep", AT_ONCE)) == ["JOB_NOT_SETTLED"]
        assert record.get_job(RUN_ID, "process").settled
        assert step_functions.outcomes == [("token", "JobFailedError")]
        assert events.types == ["Job Run Failed", "Sweep Completed"]


@pytest.mark.usefixtures("submitted")
class TestOfEndedRuns:
    """What still runs of a run that has ended is ended."""

    @pytest.fixture(autouse=True)
    def _ended(self, invoke: Invoke, emr: FakeEmrServerless, submitted: object) -> None:
        invoke("clean_up", "execution_aborted")
        emr.requests.clear()

    def test_sweep_cancels_the_job_run_when_it_still_runs(
        self, invoke: Invoke, emr: FakeEmrServerless, record: RunRecord
    ) -> None:
        assert kinds(invoke("sweep", AT_ONCE)) == ["JOB_RUN_LEFT"]
        assert emr.asked("cancel_job_run") == ["run1"]
        assert record.get_job(RUN_ID, "process").state == "CANCELLING"

    def test_sweep_cancels_the_job_run_when_only_its_tags_tell_whose_it_is(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        emr.set_job_run("run1", "CANCELLED")
        emr.set_job_run("unlinked", "RUNNING")
        emr.tags["unlinked"] = {**OF_RUN, "emr-pipelines:job": "process"}

        assert "JOB_RUN_LEFT" in kinds(invoke("sweep", AT_ONCE))
        assert "unlinked" in emr.asked("cancel_job_run")

    @pytest.mark.parametrize(
        "tags", [{}, {"emr-pipelines:run": RUN_ID}, {**OF_RUN, "emr-pipelines:stack": "another"}, STACK]
    )
    def test_sweep_leaves_a_job_run_and_an_application_alone_when_they_are_of_others(
        self, invoke: Invoke, emr: FakeEmrServerless, tags: dict[str, str]
    ) -> None:
        emr.set_job_run("run1", "CANCELLED")
        emr.set_job_run("foreign", "RUNNING")
        emr.tags |= {"foreign": tags, "app1": tags}

        assert set(kinds(invoke("sweep", AT_ONCE))) <= {"JOB_NOT_ENDED"}
        assert "foreign" not in emr.asked("cancel_job_run")
        assert emr.asked("stop_application") == emr.asked("delete_application") == []

    def test_sweep_takes_a_step_each_time_when_no_event_of_the_application_comes(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        emr.tags["app1"] = OF_RUN
        emr.set_job_run("run1", "CANCELLED")
        invoke("sweep", AT_ONCE)
        assert emr.applications["app1"] == "STOPPING"
        assert kinds(invoke("sweep", AT_ONCE)) == ["APPLICATION_LEFT"]
        emr.applications["app1"] = "STOPPED"
        invoke("sweep", AT_ONCE)

        assert emr.applications["app1"] == "TERMINATED"
        assert invoke("sweep", AT_ONCE) == {"leftovers": []}

    def test_event_deletes_the_application_when_a_sweep_has_stopped_it(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        emr.tags["app1"] = OF_RUN
        emr.set_job_run("run1", "CANCELLED")
        invoke("sweep", AT_ONCE)
        emr.applications["app1"] = "STOPPED"
        invoke("handle_state_change", "application_stopped")

        assert emr.applications["app1"] == "TERMINATED"


class TestOrphans:
    """What belongs to a run that nobody knows."""

    @pytest.fixture(autouse=True)
    def _orphan(self, record: RunRecord, emr: FakeEmrServerless) -> None:
        emr.applications["app1"] = "STARTED"
        emr.set_job_run("run1", "RUNNING")
        emr.tags |= {"app1": OF_RUN, "run1": OF_RUN}

    def test_sweep_removes_it_when_it_is_older_than_an_hour(self, invoke: Invoke, emr: FakeEmrServerless) -> None:
        emr.created_at = "2020-01-01T00:00:00.000000Z"

        assert kinds(invoke("sweep", "scheduled")) == ["JOB_RUN_LEFT", "APPLICATION_LEFT"]
        assert emr.asked("cancel_job_run") == ["run1"]

    def test_sweep_leaves_it_alone_when_its_run_is_just_being_recorded(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        emr.created_at = now()

        assert invoke("sweep", AT_ONCE) == {"leftovers": []}

    @pytest.mark.usefixtures("alive")
    def test_sweep_leaves_it_alone_when_its_run_is_alive_and_the_record_has_expired(
        self, invoke: Invoke, emr: FakeEmrServerless
    ) -> None:
        emr.created_at = "2020-01-01T00:00:00.000000Z"

        assert invoke("sweep", AT_ONCE) == {"leftovers": []}


class TestSlots:
    """A slot goes to the run that waits for it."""

    @pytest.fixture
    def waiting(self, record: RunRecord, slots: RunSlots, step_functions: FakeStepFunctions) -> Run:
        """A run that waits behind another, which has ended without giving its slot back."""
        limit: dict[str, Any] = {"limit": 1, "policy": "queue"}
        runs = [
            Run(run_id=name, execution_arn=name, started_at=now(), pipeline="one-by-one", concurrency=limit)
            for name in ("first", "second")
        ]
        for run in runs:
            record.create_run(run)
            step_functions.executions[run.run_id] = {}
        slots.take(runs[0])
        slots.queue_up(runs[1], "token")
        record.settle_run(record.end_run("first", "SUCCEEDED", None, None))
        return runs[1]

    def test_sweep_hands_the_slot_on_when_its_holder_has_ended(
        self, invoke: Invoke, waiting: Run, slots: RunSlots, step_functions: FakeStepFunctions
    ) -> None:
        (leftover,) = invoke("sweep", AT_ONCE)["leftovers"]

        assert leftover["text"] == "slot of pipeline one-by-one: run first holds it, but the run has ended SUCCEEDED"
        assert slots.holders("one-by-one") == {waiting.run_id}
        assert step_functions.outcomes == [("token", "success")]
        assert invoke("sweep", AT_ONCE) == {"leftovers": []}

    def test_sweep_hands_the_slot_on_when_nobody_woke_the_run_that_waits(
        self, invoke: Invoke, waiting: Run, slots: RunSlots, step_functions: FakeStepFunctions
    ) -> None:
        slots.give_back("one-by-one", "first")

        assert kinds(invoke("sweep", AT_ONCE)) == ["SLOT_LEFT"]
        assert step_functions.outcomes == [("token", "success")]


@pytest.mark.usefixtures("submitted")
class TestReport:
    """People hear of it, once."""

    def test_sweep_removes_the_others_when_one_leftover_cannot_be_removed(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions, record: RunRecord
    ) -> None:
        step_functions.ended |= {RUN_ID: died("ABORTED"), "early": died("ABORTED")}
        emr.failures["cancel_job_run"] = TransientError("CancelJobRun: throttled")

        problems = {leftover["run_id"]: leftover.get("problem") for leftover in invoke("sweep", AT_ONCE)["leftovers"]}

        assert problems == {RUN_ID: "TransientError: CancelJobRun: throttled", "early": None}
        assert record.get_run("early").state == "CANCELLED"  # type: ignore[union-attr]

    def test_people_get_one_mail_when_the_same_is_found_again(
        self, invoke: Invoke, emr: FakeEmrServerless, events: FakeDomainEvents, topic: FakeTopic
    ) -> None:
        invoke("clean_up", "execution_aborted")
        emr.failures["cancel_job_run"] = RequestRefusedError("CancelJobRun", "AccessDeniedException", "No.")
        events.published.clear()
        for _ in range(2):
            invoke("sweep", AT_ONCE)
        assert events.types == ["Sweep Completed"] * 2
        for event in events.published:
            invoke("notify", {"detail-type": event.detail_type, "detail": {"stack": "emr-pipelines", **event.detail}})

        ((subject, body, attributes),) = topic.sent
        assert subject == "Swept up job run run1 of run salaries-1: it has not ended, but the run has ended CANCELLED"
        assert "- job run run1 of run salaries-1" in body
        assert attributes == {"pipeline": "-", "job": ["-"], "state": "SWEPT", "severity": "WARNING"}

    def test_sweep_goes_on_when_an_application_goes_while_it_looks(
        self, invoke: Invoke, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        step_functions.ended[RUN_ID] = died("ABORTED")
        emr.failures["list_open_job_runs"] = ResourceMissingError("ListJobRuns", "ResourceNotFoundException", "app1")

        assert kinds(invoke("sweep", AT_ONCE)) == ["RUN_NOT_ENDED"]


def test_run_stays_closed_to_the_sweep_when_everything_ended_well(
    invoke: Invoke, record: RunRecord, submitted: Any, emr: FakeEmrServerless
) -> None:
    record.settle_job(record.record_state(submitted, "SUCCESS", "2026-11-21T12:00:59.000000Z"))
    invoke("clean_up", "every_job_ended")
    emr.set_job_run("run1", "SUCCESS")

    assert record.list_open_runs() == []
    assert invoke("sweep", AT_ONCE) == {"leftovers": []}


class TestReminders:
    """A run that is late is told once; what a burst has left is told when its window has closed."""

    @pytest.fixture
    def expected(self, submitted: object, alive: None, record: RunRecord) -> Callable[[int], None]:
        def expect(minutes: int, started_at: str = "2026-11-20T12:00:00.000000Z") -> None:
            run = record.get_run(RUN_ID)
            assert run is not None
            record.save_plan(replace(run, expected_minutes=minutes), [])
            client("dynamodb").update_item(
                TableName="runs",
                Key={"pk": {"S": f"RUN#{RUN_ID}"}, "sk": {"S": "RUN"}},
                UpdateExpression="SET started_at = :at",
                ExpressionAttributeValues={":at": {"S": started_at}},
            )

        return expect

    def test_sweep_tells_once_that_a_run_is_late_when_it_takes_longer_than_expected(
        self, invoke: Invoke, events: FakeDomainEvents, expected: Callable[..., None]
    ) -> None:
        expected(5)
        for _ in range(2):
            invoke("sweep", "scheduled")

        assert [event.detail["id"] for event in events.published] == [f"{RUN_ID}/OVERDUE"]

    def test_sweep_does_not_call_a_run_late_when_it_is_in_time_or_has_ended(
        self, invoke: Invoke, events: FakeDomainEvents, record: RunRecord, expected: Callable[..., None]
    ) -> None:
        expected(5, now())
        invoke("sweep", "scheduled")
        expected(5)
        record.end_run(RUN_ID, "SUCCEEDED", None, None)
        invoke("sweep", {"graceSeconds": 10**9})

        assert events.published == []

    def test_sweep_publishes_what_was_collected_when_its_window_has_closed(
        self, invoke: Invoke, events: FakeDomainEvents, record: RunRecord
    ) -> None:
        held = HeldNotifications("runs")
        for due_at in ("2026-11-20T12:00:00.000000Z", "9999-01-01T00:00:00.000000Z"):
            held.hold("salaries", "FAILED", due_at, due_at, {"line": "it failed", "jobs": [], "topics": []})
        invoke("sweep", "scheduled")

        (event,) = events.published
        assert (event.detail_type, event.detail["pipeline"]) == ("Notifications Collected", "salaries")
        assert len(held.list_held("salaries", "FAILED")) == 1
