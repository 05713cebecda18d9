"""The jobs of a run on a cluster: submitted once, followed by EMR's events, cancelled, released with the cluster."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emr_pipelines.clock import iso_time
from emr_pipelines.domain_event import job_run_ended
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.notification import run_ended
from emr_pipelines.run import Job

from tests.unit.conftest import example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions
from tests.unit.fakes_emr_on_ec2 import FakeEmrOnEc2, FakeStacks
from tests.unit.pipeline_files import planned
from tests.unit.test_cluster_files import CLUSTER, file_of, step
from tests.unit.test_launch_cluster import RUN_ID, STACK_NAME, from_template, recorded

ARN = f"arn:aws:states:us-east-1:123456789012:execution:emr-pipelines-pipeline:{RUN_ID}"
OURS = {"emr-pipelines:stack": "emr-pipelines", "emr-pipelines:run": RUN_ID}
Invoke = Callable[..., Any]


@pytest.fixture
def launched(record: RunRecord, clusters: FakeEmrOnEc2) -> Job:
    """The job of a run whose cluster `j-1` is ready."""
    recorded(record)
    record.set_application_id(RUN_ID, "j-1", "s3://bucket/logs/")
    clusters.set_cluster("j-1", "WAITING", tags=OURS)
    return record.get_job(RUN_ID, "preprocess")


@pytest.fixture
def submitted(launched: Job, record: RunRecord, clusters: FakeEmrOnEc2) -> Job:
    """The same, submitted as the step of the example event."""
    clusters.set_step("s-1M4TZ8QW2KD7R", "RUNNING", second=1)
    job = record.save_task_token(launched, "token", "inner")
    return record.link_job_run(job, "j-1", "s-1M4TZ8QW2KD7R", "s3://bucket/logs/")


def add(invoke: Invoke, job: str = "preprocess") -> None:
    invoke("add_job_run", {"runId": RUN_ID, "job": job, "taskToken": "token", "executionArn": "inner"})


def clean_up(invoke: Invoke, **changes: Any) -> Any:
    event = example_event("clean_up.every_job_ended")
    return invoke("clean_up", {**event, "runId": RUN_ID, "executionArn": ARN, **changes})


class TestSubmission:
    """A job becomes one step."""

    def test_step_is_added_to_the_cluster_when_the_job_is_ready(
        self, invoke: Invoke, launched: Job, record: RunRecord, clusters: FakeEmrOnEc2, emr: FakeEmrServerless
    ) -> None:
        add(invoke)

        assert clusters.asked("start_job_run") == [launched.request]
        job = record.get_job(RUN_ID, "preprocess")
        assert (job.application_id, job.job_run_id, job.state) == ("j-1", "s-1", "PENDING")
        assert job.log_location == "s3://bucket/logs/j-1/steps/s-1/"
        assert emr.requests == []

    def test_one_step_is_added_when_the_function_is_killed_before_it_notes_the_first(
        self,
        invoke: Invoke,
        launched: Job,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(record, "link_job_run", lambda *_: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception, match="killed"):
                add(invoke)

        add(invoke)

        assert list(clusters.steps) == ["s-1"]
        assert record.get_job(RUN_ID, "preprocess").job_run_id == "s-1"

    def test_job_fails_when_emr_refuses_the_step(
        self, invoke: Invoke, launched: Job, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        refusal = RequestRefusedError("AddJobFlowSteps", "ValidationException", "the job flow is shutting down")
        clusters.failures["start_job_run"] = refusal

        add(invoke)

        ((token, error, cause),) = step_functions.answers
        assert (token, error) == ("token", "JobFailedError")
        assert "shutting down" in cause

    def test_job_succeeds_at_once_when_it_resizes_the_cluster(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions
    ) -> None:
        resize = {"name": "bigger", "resize": {"instanceFleet": "CORE", "TargetOnDemandCapacity": 8}}
        run, jobs = planned(file_of(resize), run_id=RUN_ID)
        record.create_run(run)
        record.save_plan(run, jobs)
        record.set_application_id(RUN_ID, "j-1")

        add(invoke, "bigger")

        assert clusters.asked("start_job_run") == [jobs[0].request]
        job = record.get_job(RUN_ID, "bigger")
        assert (job.state, job.job_run_id, job.settled) == ("SUCCESS", None, True)
        assert step_functions.outcomes == [("token", "success")]


class TestFollowing:
    """EMR's events and, when they are lost, EMR itself say how a step stands."""

    def test_token_is_answered_when_the_step_has_completed(
        self,
        invoke: Invoke,
        submitted: Job,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        step_functions: FakeStepFunctions,
        events: FakeDomainEvents,
    ) -> None:
        clusters.set_step("s-1M4TZ8QW2KD7R", "SUCCESS", second=30)

        invoke("handle_state_change", "step_completed")
        invoke("handle_state_change", "step_completed")

        assert set(step_functions.outcomes) == {("token", "success")}
        (event,) = events.published
        ids = {name: event.detail[name] for name in ("applicationId", "jobRunId", "clusterId", "stepId")}
        assert ids == {"applicationId": None, "jobRunId": None, "clusterId": "j-1", "stepId": "s-1M4TZ8QW2KD7R"}
        assert (event.detail["billed"], event.detail["costUsd"]) == (None, None)
        assert record.get_job(RUN_ID, "preprocess").attempt_history[0]["state"] == "SUCCESS"

    def test_heartbeat_is_sent_when_the_step_has_begun(
        self, invoke: Invoke, submitted: Job, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        event = example_event("handle_state_change.step_completed")
        invoke("handle_state_change", {**event, "detail": {**event["detail"], "state": "PENDING"}})  # late

        assert record.get_job(RUN_ID, "preprocess").state == "RUNNING"
        assert step_functions.heartbeats == ["token"]

    def test_end_counts_when_the_event_is_ahead_of_what_emr_shows(
        self, invoke: Invoke, submitted: Job, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        invoke("handle_state_change", "step_completed")

        job = record.get_job(RUN_ID, "preprocess")
        assert (job.state, job.ended_at) == ("SUCCESS", "2026-11-21T12:20:44.000000Z")
        assert step_functions.outcomes == [("token", "success")]

    def test_reason_is_kept_when_the_step_has_failed(
        self,
        invoke: Invoke,
        submitted: Job,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        step_functions: FakeStepFunctions,
    ) -> None:
        clusters.set_step("s-1M4TZ8QW2KD7R", "FAILED", second=30, details="Unknown Error. exit code 1")

        check = {"runId": RUN_ID, "job": "preprocess", "taskToken": "token2", "executionArn": "inner"}
        invoke("check_status", check)

        assert step_functions.answers == [
            ("token2", "JobFailedError", "Job preprocess: Unknown Error. exit code 1"),
        ]

    def test_event_has_the_ids_of_an_application_when_the_job_runs_on_one(self) -> None:
        job = Job(
            run_id="r", pipeline="p", name="a", position=0, state="SUCCESS", request={"jobDriver": {}},
            application_id="app1", job_run_id="run1",
        )  # fmt: skip

        detail = job_run_ended(job, None).detail

        assert (detail["applicationId"], detail["jobRunId"]) == ("app1", "run1")
        assert (detail["clusterId"], detail["stepId"]) == (None, None)


class TestTimeout:
    """A step that runs for longer than its job allows is cancelled, whoever notices it first."""

    @pytest.fixture
    def limited(self, record: RunRecord, clusters: FakeEmrOnEc2, step_functions: FakeStepFunctions) -> Job:
        """A job that may run for five minutes, and has been submitted."""
        run, jobs = planned(file_of(step("preprocess", timeoutMinutes=5)), run_id=RUN_ID)
        record.create_run(run)
        record.save_plan(run, jobs)
        record.set_application_id(RUN_ID, "j-1")
        step_functions.executions[RUN_ID] = {}
        clusters.set_cluster("j-1", "RUNNING", tags=OURS)
        clusters.set_step("s-1", "PENDING")
        job = record.save_task_token(jobs[0], "token", "inner")
        return record.link_job_run(job, "j-1", "s-1")

    @pytest.mark.parametrize(
        ("function", "event"),
        [
            ("sweep", {"graceSeconds": 600}),
            ("check_status", {"runId": RUN_ID, "job": "preprocess", "taskToken": "token", "executionArn": "inner"}),
        ],
    )
    @pytest.mark.parametrize(("minutes", "cancelled"), [(4, []), (6, ["s-1"])])
    def test_step_is_cancelled_when_it_has_run_for_too_long(
        self,
        invoke: Invoke,
        limited: Job,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        function: str,
        event: dict[str, Any],
        minutes: int,
        cancelled: list[str],
    ) -> None:
        started_at = iso_time(datetime.now(UTC) - timedelta(minutes=minutes))
        clusters.steps["s-1"] = replace(clusters.steps["s-1"], state="RUNNING", observed_at=started_at)
        record.record_state(limited, "RUNNING", started_at)

        invoke(function, event)

        assert clusters.asked("cancel_job_run") == cancelled
        job = record.get_job(RUN_ID, "preprocess")
        assert job.state_details == ("The step took longer than timeoutMinutes: 5." if cancelled else None)

    def test_step_is_left_alone_when_it_waits_for_others(
        self, invoke: Invoke, limited: Job, clusters: FakeEmrOnEc2
    ) -> None:
        invoke("sweep", {"graceSeconds": 600})

        assert clusters.asked("cancel_job_run") == []


class TestEnd:
    """Nothing of a run is left, however it ends."""

    def test_cluster_is_terminated_when_the_run_ends(
        self, invoke: Invoke, submitted: Job, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        record.record_state(submitted, "SUCCESS", "2026-11-21T12:00:30.000000Z")

        assert clean_up(invoke)["state"] == "SUCCEEDED"
        clean_up(invoke)

        assert set(clusters.asked("terminate_cluster")) == {"j-1"}
        assert clusters.asked("cancel_job_run") == []

    def test_step_is_cancelled_and_the_cluster_terminated_when_the_execution_was_stopped(
        self, invoke: Invoke, submitted: Job, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        event = example_event("clean_up.execution_aborted")
        event["detail"] |= {"name": RUN_ID, "executionArn": ARN}

        invoke("clean_up", event)

        assert clusters.asked("cancel_job_run") == ["s-1M4TZ8QW2KD7R"]
        assert clusters.clusters["j-1"].state == "TERMINATING"
        assert record.get_runs([RUN_ID])[RUN_ID].state == "CANCELLED"

    def test_cluster_is_terminated_when_nobody_has_recorded_it(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        run = recorded(record)
        clusters.run_job_flow(run.cluster)

        clean_up(invoke, error="ClusterUnavailableError", cause="the answer was lost")

        assert clusters.clusters["j-1"].state == "TERMINATING"

    def test_stack_is_deleted_when_a_template_has_made_the_cluster(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, stacks: FakeStacks
    ) -> None:
        from_template(record)
        record.set_application_id(RUN_ID, "j-1")
        clusters.set_cluster("j-1", "WAITING")

        clean_up(invoke)

        assert (stacks.deleted, clusters.asked("unprotect_cluster")) == ([STACK_NAME], ["j-1"])
        assert clusters.asked("terminate_cluster") == []

    def test_stack_is_deleted_when_it_never_had_a_cluster(
        self, invoke: Invoke, record: RunRecord, stacks: FakeStacks
    ) -> None:
        from_template(record)

        clean_up(invoke, error="ClusterUnavailableError", cause="no such subnet")

        assert stacks.deleted == [STACK_NAME]

    def test_cluster_stays_when_it_is_somebody_elses(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        recorded(record, {"lifecycle": "existing", "clusterId": "j-9"})
        clusters.set_cluster("j-9", "WAITING")

        clean_up(invoke)

        assert clusters.clusters["j-9"].state == "WAITING"

    def test_run_that_failed_before_it_was_planned_asks_nothing_of_clusters(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        clean_up(invoke, error="InvalidPipelineError", cause="no good")

        assert clusters.requests == []


class TestSweep:
    """What clean-up has missed is found by the tags of clusters."""

    def test_cluster_is_terminated_when_its_run_has_ended(
        self, invoke: Invoke, launched: Job, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        record.end_run(RUN_ID, "FAILED", None, None)

        swept = invoke("sweep", {"graceSeconds": 0})

        assert "CLUSTER_LEFT" in {leftover["kind"] for leftover in swept["leftovers"]}
        assert clusters.clusters["j-1"].state == "TERMINATING"
        assert "CLUSTER_LEFT" not in {found["kind"] for found in invoke("sweep", {"graceSeconds": 0})["leftovers"]}

    def test_second_cluster_is_terminated_when_an_answer_was_lost(
        self, invoke: Invoke, launched: Job, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        clusters.set_cluster("j-2", "WAITING", tags=OURS)
        record.end_run(RUN_ID, "FAILED", None, None)

        invoke("sweep", {"graceSeconds": 0})

        assert {cluster.state for cluster in clusters.clusters.values()} == {"TERMINATING"}

    def test_stack_is_deleted_when_its_run_has_ended_and_it_never_had_a_cluster(
        self, invoke: Invoke, record: RunRecord, stacks: FakeStacks
    ) -> None:
        stacks.create(from_template(record).cluster)
        record.settle_run(record.end_run(RUN_ID, "FAILED", None, None))

        assert "STACK_LEFT" in {found["kind"] for found in invoke("sweep", {"graceSeconds": 0})["leftovers"]}
        assert stacks.deleted == [STACK_NAME]
        assert "STACK_LEFT" not in {found["kind"] for found in invoke("sweep", {"graceSeconds": 0})["leftovers"]}

    def test_cluster_stays_when_its_run_is_alive_or_it_is_not_ours(
        self,
        invoke: Invoke,
        launched: Job,
        clusters: FakeEmrOnEc2,
        step_functions: FakeStepFunctions,
    ) -> None:
        step_functions.executions[RUN_ID] = {}
        clusters.set_cluster("j-2", "WAITING", tags={**OURS, "emr-pipelines:stack": "another"})

        assert invoke("sweep", {"graceSeconds": 0}) == {"leftovers": []}
        assert {cluster.state for cluster in clusters.clusters.values()} == {"WAITING"}

    def test_step_is_cancelled_when_its_run_has_ended_on_an_existing_cluster(
        self, invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2
    ) -> None:
        recorded(record, {"lifecycle": "existing", "clusterId": "j-9"})
        clusters.set_cluster("j-9", "RUNNING")
        clusters.set_step("s-9", "RUNNING", cluster_id="j-9")
        record.link_job_run(record.get_job(RUN_ID, "preprocess"), "j-9", "s-9")
        record.end_run(RUN_ID, "FAILED", None, None)

        swept = invoke("sweep", {"graceSeconds": 0})

        assert "JOB_RUN_LEFT" in {leftover["kind"] for leftover in swept["leftovers"]}
        assert set(clusters.asked("cancel_job_run")) == {"s-9"}
        assert clusters.clusters["j-9"].state == "RUNNING"

    def test_job_gets_its_end_when_the_event_of_its_step_was_lost(
        self,
        invoke: Invoke,
        submitted: Job,
        record: RunRecord,
        clusters: FakeEmrOnEc2,
        step_functions: FakeStepFunctions,
    ) -> None:
        step_functions.executions[RUN_ID] = {}
        clusters.set_step("s-1M4TZ8QW2KD7R", "SUCCESS", second=30)

        invoke("sweep", {"graceSeconds": 0})

        assert record.get_job(RUN_ID, "preprocess").state == "SUCCESS"
        assert ("token", "success") in step_functions.outcomes


def test_clusters_and_their_stacks_go_when_the_stack_is_deleted(
    invoke: Invoke, record: RunRecord, clusters: FakeEmrOnEc2, stacks: FakeStacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = importlib.import_module("release_applications.app")  # here: its clients are those of the account of the test
    problems: list[str | None] = []
    monkeypatch.setattr(app.cloudformation, "answer", lambda _request, problem: problems.append(problem))
    monkeypatch.setattr(app.rules, "remove_all", lambda: None)
    monkeypatch.setattr(app, "_SECONDS_TO_ANSWER", 0.0)
    clusters.set_cluster("j-1", "WAITING", tags=OURS)
    clusters.set_cluster("j-2", "WAITING", tags={"emr-pipelines:stack": "another"})
    from_template(record)
    stacks.create((record.get_runs([RUN_ID])[RUN_ID]).cluster)

    def start_another(_seconds: float) -> None:
        """What a function does that was in the middle of it."""
        if "j-3" not in clusters.clusters:
            clusters.set_cluster("j-3", "STARTING", tags=OURS)

    monkeypatch.setattr("emr_pipelines.release_applications.time.sleep", start_another)

    invoke("release_applications", "delete")

    states = {cluster_id: cluster.state for cluster_id, cluster in clusters.clusters.items()}
    assert states == {"j-1": "TERMINATING", "j-2": "WAITING", "j-3": "TERMINATING"}
    assert stacks.deleted == [STACK_NAME]
    assert problems == [None]


def test_cluster_has_its_fields_when_the_run_is_read_back(record: RunRecord) -> None:
    assert recorded(record).cluster["ReleaseLabel"] == CLUSTER["ReleaseLabel"]


def test_mail_names_the_failed_step_with_its_log_and_the_cluster_when_the_run_fails(
    submitted: Job, record: RunRecord
) -> None:
    job = record.record_state(submitted, "FAILED", "2026-11-21T12:00:30.000000Z", state_details="exit code 1")
    run = record.end_run(RUN_ID, "FAILED", "JobFailedError", "Job preprocess: exit code 1")
    run = replace(run, execution_arn=ARN)

    body = run_ended(run, [job], "emr-pipelines", {"preprocess": "Traceback\nValueError: no reading\n"}).body

    assert "ValueError: no reading" in body
    assert "s3://bucket/logs/j-1/steps/s-1M4TZ8QW2KD7R/" in body
    assert "https://us-east-1.console.aws.amazon.com/emr/home?region=us-east-1#/clusterDetails/j-1" in body
    assert "emr-serverless" not in body
    assert "not known" in body  # what it costs
