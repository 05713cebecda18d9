"""A job is submitted when its upstream jobs have ended, and skipped when their ends say so."""

from collections.abc import Callable
from typing import Any

import pytest
from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import TransientError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.job_state import JobState
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan_run import plan_run
from emr_pipelines.run_if import reason_to_skip
from emr_pipelines.stack import Stack
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions

Invoke = Callable[..., Any]
RUN = "diamond-1"
DIAMOND = """\
name: diamond
{settings}
application: {{releaseLabel: emr-7.9.0, type: SPARK}}
jobs:
  - {{name: a, jobDriver: &driver {{sparkSubmit: {{entryPoint: s3://b/job.py}}}}}}
  - {{name: b, dependsOn: [a], jobDriver: *driver}}
  - {{name: c, dependsOn: [a], jobDriver: *driver}}
  - {{name: d, dependsOn: [b, c], {d} jobDriver: *driver}}
"""


@pytest.fixture
def start(
    record: RunRecord, registry: PipelineRegistry, stack: Stack, emr: FakeEmrServerless
) -> Callable[..., list[list[str]]]:
    """Plan a run of the diamond on a started application."""

    def plan(settings: str = "", d: str = "") -> list[list[str]]:
        text = DIAMOND.format(settings=settings, d=d)
        registry.put(check_pipeline("pipelines/diamond.yaml", "diamond", text, "v1"))
        planned = plan_run(
            RUN,
            f"arn:{RUN}",
            {"pipeline": "diamond"},
            record=record,
            registry=registry,
            events=FakeDomainEvents(),
            stack=stack,
        )
        emr.applications["app1"] = "STARTED"
        record.set_application_id(RUN, "app1")
        jobs: list[list[str]] = planned["jobs"]
        return jobs

    return plan


class Diamond:
    """The four jobs, moved on as the state machines and EMR would."""

    def __init__(self, invoke: Invoke, record: RunRecord, emr: FakeEmrServerless) -> None:
        self._invoke, self._record, self._emr = invoke, record, emr

    def add(self, job: str) -> None:
        self._invoke("add_job_run", {"runId": RUN, "job": job, "taskToken": f"add-{job}", "executionArn": f"arn:{job}"})

    def wait(self, job: str) -> None:
        changes = {"runId": RUN, "job": job, "taskToken": f"wait-{job}"}
        self._invoke("wait_for_upstream", example_event("wait_for_upstream.job") | changes)

    def end(self, job: str, state: str) -> None:
        job_run_id = self._record.get_job(RUN, job).job_run_id
        assert job_run_id is not None
        self._emr.set_job_run(job_run_id, state, second=59)
        event = example_event("handle_state_change.job_run_succeeded")
        event["detail"] |= {"jobRunId": job_run_id, "applicationId": "app1", "state": state}
        self._invoke("handle_state_change", event)

    def state(self, job: str) -> str:
        return self._record.get_job(RUN, job).state


@pytest.fixture
def diamond(invoke: Invoke, record: RunRecord, emr: FakeEmrServerless) -> Diamond:
    return Diamond(invoke, record, emr)


@pytest.mark.usefixtures("outputs")
class TestWaitForUpstream:
    """What happens to a job that is not the first."""

    def test_plan_gives_the_jobs_in_the_order_of_their_upstream_when_a_graph_is_planned(self, start: Any) -> None:
        assert start() == [["a"], ["b"], ["c"], ["d"]]

    def test_add_job_run_sends_a_job_to_wait_when_it_is_too_early(
        self, start: Any, diamond: Diamond, step_functions: FakeStepFunctions, emr: FakeEmrServerless
    ) -> None:
        start()

        diamond.add("b")

        assert step_functions.outcomes == [("add-b", "UpstreamPendingError")]
        assert emr.asked("start_job_run") == []

    @pytest.mark.parametrize("first", ["wait", "end"])
    def test_job_is_woken_once_when_its_upstream_ends(
        self, start: Any, diamond: Diamond, step_functions: FakeStepFunctions, first: str
    ) -> None:
        start()
        diamond.add("a")
        steps: list[Callable[[], None]] = [lambda: diamond.wait("b"), lambda: diamond.end("a", "SUCCESS")]
        for step in steps if first == "wait" else reversed(steps):
            step()

        assert step_functions.outcomes.count(("wait-b", "success")) == 1
        assert ("add-a", "success") in step_functions.outcomes

    def test_job_is_submitted_without_waiting_when_its_upstream_has_ended(
        self, start: Any, diamond: Diamond, emr: FakeEmrServerless
    ) -> None:
        start()
        diamond.add("a")
        diamond.end("a", "SUCCESS")

        diamond.add("b")

        assert [request["name"] for request in emr.asked("start_job_run")] == ["a", "b"]

    def test_job_goes_on_waiting_when_only_one_of_its_upstream_jobs_has_ended(
        self, start: Any, diamond: Diamond, step_functions: FakeStepFunctions, record: RunRecord
    ) -> None:
        start()
        for job in ("a", "b", "c"):
            diamond.add(job)
            if job != "c":
                diamond.end(job, "SUCCESS")
        diamond.wait("d")
        assert record.get_job(RUN, "d").waiting_for == ["c"]
        assert "wait-d" not in dict(step_functions.outcomes)

        diamond.end("c", "SUCCESS")

        assert ("wait-d", "success") in step_functions.outcomes

    def test_every_dependent_is_skipped_when_a_job_fails(
        self, start: Any, diamond: Diamond, step_functions: FakeStepFunctions, events: FakeDomainEvents
    ) -> None:
        start()
        for job in ("b", "c", "d"):
            diamond.wait(job)
        diamond.add("a")

        diamond.end("a", "FAILED")

        assert [diamond.state(job) for job in "bcd"] == ["SKIPPED"] * 3
        assert {("wait-b", "JobSkippedError"), ("wait-d", "JobSkippedError")} <= set(step_functions.outcomes)
        assert sorted(events.types) == ["Job Run Failed", *["Job Run Skipped"] * 3]
        diamond.add("d")
        assert ("add-d", "JobSkippedError") in step_functions.outcomes

    @pytest.mark.parametrize(
        ("run_if", "ends", "runs"),
        [
            ("ALL_DONE", ("FAILED", "SUCCESS"), True),
            ("ALL_DONE", ("FAILED", "FAILED"), True),
            ("AT_LEAST_ONE_SUCCESS", ("FAILED", "SUCCESS"), True),
            ("AT_LEAST_ONE_SUCCESS", ("FAILED", "CANCELLED"), False),
            ("ANY_FAILED", ("SUCCESS", "CANCELLED"), True),
            ("ANY_FAILED", ("SUCCESS", "SUCCESS"), False),
            ("ALL_SUCCESS", ("SUCCESS", "FAILED"), False),
            ("ALL_SUCCESS", ("SUCCESS", "SUCCESS"), True),
        ],
    )
    def test_job_runs_as_its_run_if_says_when_its_upstream_has_ended(
        self, start: Any, diamond: Diamond, emr: FakeEmrServerless, run_if: str, ends: tuple[str, str], runs: bool
    ) -> None:
        start(d=f"runIf: {run_if},")
        for job, end in zip("abc", ("SUCCESS", *ends), strict=True):
            diamond.add(job)
            diamond.end(job, end)

        diamond.add("d")

        assert ([request["name"] for request in emr.asked("start_job_run")][3:] == ["d"]) == runs
        assert diamond.state("d") == ("SUBMITTED" if runs else "SKIPPED")

    def test_every_dependent_hears_of_it_when_the_first_attempt_to_tell_them_was_interrupted(
        self, start: Any, diamond: Diamond, step_functions: FakeStepFunctions, events: FakeDomainEvents,
        record: RunRecord, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        start()
        diamond.add("a")
        for name in "bcd":
            diamond.wait(name)
        told = events.publish

        def tell(event: DomainEvent) -> None:
            if event.detail["job"] == "b":
                raise TransientError("PutEvents")
            told(event)

        with monkeypatch.context() as patch:
            patch.setattr(events, "publish", tell)
            with pytest.raises(TransientError):
                diamond.end("a", "FAILED")
        diamond.end("a", "FAILED")

        assert {job.name: (job.state, job.settled) for job in record.list_jobs(RUN)} == {
            "a": ("FAILED", True), "b": ("SKIPPED", True), "c": ("SKIPPED", True), "d": ("SKIPPED", True)
        }  # fmt: skip
        assert {("wait-b", "JobSkippedError"), ("wait-c", "JobSkippedError"), ("wait-d", "JobSkippedError")} <= set(
            step_functions.outcomes
        )

    def test_wake_up_is_made_good_when_it_was_lost(
        self, start: Any, diamond: Diamond, record: RunRecord, step_functions: FakeStepFunctions
    ) -> None:
        start()
        ended = record.get_job(RUN, "a")
        record.record_state(ended, JobState.SUCCESS, "2026-11-21T12:00:00.000000Z")  # and then its function died

        diamond.wait("b")

        assert step_functions.outcomes == [("wait-b", "success")]

    def test_rest_is_cancelled_when_a_job_fails_fast(
        self, start: Any, diamond: Diamond, emr: FakeEmrServerless, step_functions: FakeStepFunctions
    ) -> None:
        start(settings="failFast: true", d="runIf: ALL_DONE,")
        for job in "abc":
            diamond.add(job)
            if job == "a":
                diamond.end("a", "SUCCESS")
        diamond.wait("d")

        diamond.end("b", "FAILED")

        assert emr.asked("cancel_job_run") == ["run3"]
        assert (diamond.state("c"), diamond.state("d")) == ("CANCELLING", "CANCELLED")
        assert ("wait-d", "JobCancelledError") in step_functions.outcomes
        diamond.end("c", "CANCELLED")
        assert ("add-c", "JobCancelledError") in step_functions.outcomes

    def test_job_is_not_submitted_when_its_run_is_stopping(
        self, start: Any, diamond: Diamond, record: RunRecord, emr: FakeEmrServerless
    ) -> None:
        start()
        record.stop_run(RUN, "failFast: job x failed")

        diamond.add("a")

        assert emr.asked("start_job_run") == []
        assert diamond.state("a") == "CANCELLED"


@pytest.mark.usefixtures("outputs")
def test_job_run_is_cancelled_when_the_run_ended_while_it_was_submitted(
    start: Any, record: RunRecord, emr: FakeEmrServerless, diamond: Diamond, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    submit = emr.start_job_run

    def slowly(application_id: str, request: Any, client_token: str, _since: str) -> str:
        job_run_id = submit(application_id, request, client_token)
        record.end_run(RUN, "CANCELLED", None, None)
        return job_run_id

    monkeypatch.setattr(emr, "start_job_run", slowly)

    diamond.add("a")

    assert emr.asked("cancel_job_run") == ["run1"]


@pytest.mark.usefixtures("outputs")
def test_job_run_is_found_and_cancelled_when_nobody_noted_its_id(
    start: Any, record: RunRecord, emr: FakeEmrServerless, diamond: Diamond
) -> None:
    start()
    job = record.save_task_token(record.get_job(RUN, "a"), "add-a", "arn:a")
    emr.start_job_run("app1", job.request, "the function died after this")
    record.end_run(RUN, "CANCELLED", None, None)

    diamond.add("a")

    assert emr.asked("cancel_job_run") == ["run1"]
    assert record.get_job(RUN, "a").job_run_id == "run1"


final_states = st.sampled_from(["SUCCESS", "FAILED", "CANCELLED", "SKIPPED"])


@given(upstream=st.dictionaries(st.text(min_size=1, max_size=3), final_states, min_size=1, max_size=6))
def test_reason_to_skip_says_why_when_and_only_when_a_job_does_not_run(upstream: dict[str, str]) -> None:
    states = list(upstream.values())
    runs = {
        "ALL_DONE": True,
        "ALL_SUCCESS": set(states) == {"SUCCESS"},
        "AT_LEAST_ONE_SUCCESS": "SUCCESS" in states,
        "ANY_FAILED": "FAILED" in states or "CANCELLED" in states,
    }
    for run_if, expected in runs.items():
        reason = reason_to_skip(run_if, upstream)
        assert (reason is None) == expected
        assert reason is None or reason.endswith(").")
