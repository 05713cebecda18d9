"""A pipeline with a concurrency limit never runs more, and every run that waits gets its turn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan_run import plan_run
from emr_pipelines.stack import Stack

from tests.unit.conftest import example_event
from tests.unit.fakes import FakeDomainEvents, FakeEmrServerless, FakeStepFunctions

LIMITED = """\
name: limited
concurrency: {{limit: {limit}, policy: {policy}}}
application: {{releaseLabel: emr-7.9.0, type: SPARK}}
jobs: [{{name: a, jobDriver: {{sparkSubmit: {{entryPoint: s3://b/job.py}}}}}}]
"""


@dataclass
class Runs:
    """Runs of the pipeline `limited`, moved on as the outer state machine would."""

    invoke: Callable[..., Any]
    record: RunRecord
    registry: PipelineRegistry
    stack: Stack
    step_functions: FakeStepFunctions

    def allow(self, limit: int, policy: str = "queue") -> None:
        text = LIMITED.format(limit=limit, policy=policy)
        self.registry.put(check_pipeline("pipelines/limited.yaml", "limited", text, "v1"))

    def plan(self, *names: str) -> None:
        for name in names:
            run_input = {"pipeline": "limited"}
            plan_run(
                name,
                f"arn:{name}",
                run_input,
                record=self.record,
                registry=self.registry,
                events=FakeDomainEvents(),
                stack=self.stack,
            )

    def launch(self, name: str) -> str:
        """Return how the task of "Launch Application" was answered, if it was."""
        before = len(self.step_functions.answers)
        self.invoke("launch_application", {"runId": name, "taskToken": f"launch-{name}"})
        return dict(self.step_functions.outcomes[before:]).get(f"launch-{name}", "")

    def wait(self, name: str) -> None:
        self.invoke("wait_for_slot", example_event("wait_for_slot.run") | {"runId": name, "taskToken": f"wait-{name}"})

    def end(self, name: str, **why: str) -> dict[str, Any]:
        request = {"runId": name, "executionArn": f"arn:{name}", "input": {"pipeline": "limited"}, **why}
        answer: dict[str, Any] = self.invoke("clean_up", request)
        return answer

    def woken(self) -> list[str]:
        return [token.removeprefix("wait-") for token, how in self.step_functions.outcomes if how == "success"]


@pytest.fixture
def runs(
    invoke: Callable[..., Any],
    record: RunRecord,
    registry: PipelineRegistry,
    stack: Stack,
    step_functions: FakeStepFunctions,
) -> Runs:
    return Runs(invoke, record, registry, stack, step_functions)


def test_run_goes_on_when_the_pipeline_has_no_limit(runs: Runs, slots: RunSlots) -> None:
    text = LIMITED.format(limit=1, policy="queue").replace("concurrency:", "#")
    runs.registry.put(check_pipeline("pipelines/limited.yaml", "limited", text, "v1"))
    runs.plan("r1", "r2")

    assert [runs.launch("r1"), runs.launch("r2")] == ["", ""]
    assert slots.holders("limited") == set()


def test_run_is_sent_to_wait_when_all_slots_are_taken(runs: Runs, emr: FakeEmrServerless) -> None:
    runs.allow(2)
    runs.plan("r1", "r2", "r3")

    assert [runs.launch(name) for name in ("r1", "r2", "r3")] == ["", "", "RunQueuedError"]


def test_run_keeps_its_slot_when_its_function_is_repeated(runs: Runs, slots: RunSlots) -> None:
    runs.allow(1)
    runs.plan("r1")

    assert [runs.launch("r1"), runs.launch("r1")] == ["", ""]
    assert slots.holders("limited") == {"r1"}


def test_runs_go_on_in_order_when_slots_become_free(runs: Runs) -> None:
    runs.allow(1)
    runs.plan("r1", "r2", "r3", "r4")
    runs.launch("r1")
    for name in ("r4", "r2", "r3"):
        runs.wait(name)
    assert runs.woken() == []

    for name in ("r1", "r2", "r3", "r4"):
        runs.end(name)

    assert runs.woken() == ["r2", "r3", "r4"]


def test_run_goes_on_at_once_when_a_slot_became_free_before_it_queued_up(runs: Runs) -> None:
    runs.allow(1)
    runs.plan("r1", "r2")
    runs.launch("r1")
    runs.launch("r2")
    runs.end("r1")

    runs.wait("r2")

    assert runs.woken() == ["r2"]


def test_new_run_does_not_overtake_when_others_wait(runs: Runs, slots: RunSlots) -> None:
    runs.allow(1)
    runs.plan("r1", "r2", "r3")
    runs.launch("r1")
    runs.wait("r2")
    slots.give_back("limited", "r1")  # its clean-up has got no further yet

    assert runs.launch("r3") == "RunQueuedError"


def test_slot_is_found_again_when_its_run_ended_without_giving_it_back(runs: Runs) -> None:
    runs.allow(1)
    runs.plan("r1", "r2")
    runs.launch("r1")
    runs.record.end_run("r1", "FAILED", None, None)  # and then clean_up died

    assert runs.launch("r2") == ""


def test_waiting_run_leaves_the_queue_when_it_is_stopped(runs: Runs, slots: RunSlots) -> None:
    runs.allow(1)
    runs.plan("r1", "r2", "r3")
    runs.launch("r1")
    runs.wait("r2")
    runs.wait("r3")

    runs.end("r2", state="CANCELLED")
    runs.end("r1")

    assert runs.woken() == ["r3"]


def test_run_is_skipped_and_says_so_when_that_is_the_policy(runs: Runs, events: FakeDomainEvents) -> None:
    runs.allow(1, "skip")
    runs.plan("r1", "r2")
    runs.launch("r1")

    assert runs.launch("r2") == "RunSkippedError"
    ended = runs.end("r2", error="RunSkippedError", cause="full")

    assert ended["state"] == "SKIPPED"
    assert events.types[-1] == "Pipeline Run Skipped"
    assert runs.launch("r1") == "", "the slot is still its own"


def test_oldest_run_is_stopped_when_a_new_one_comes_and_that_is_the_policy(runs: Runs) -> None:
    runs.allow(1, "cancelOldest")
    runs.plan("r1", "r2", "r3")
    runs.launch("r1")
    runs.wait("r2")
    assert runs.step_functions.stopped == ["arn:r1"]

    runs.wait("r3")

    assert set(runs.step_functions.stopped) == {"arn:r1", "arn:r2"}
    runs.end("r1", state="CANCELLED")
    runs.end("r2", state="CANCELLED")
    assert runs.woken()[-1] == "r3"
