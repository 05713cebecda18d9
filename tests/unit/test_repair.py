"""A repair runs what did not succeed, and nothing else, with what the first run had."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from emr_pipelines.errors import RepairRefusedError, TransientError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.pipeline import check_pipeline
from emr_pipelines.plan_run import plan_run
from emr_pipelines.run import Run
from emr_pipelines.stack import Stack

from tests.unit.fakes import FakeDomainEvents

FILE = """\
name: chain
parameters: {{top: 10}}
timeoutMinutes: 30
application: {{releaseLabel: emr-7.9.0, type: SPARK, lifecycle: {lifecycle}}}
jobs:
  - {{name: a, jobDriver: &driver {{sparkSubmit: {{entryPoint: "s3://b/job.py", entryPointArguments: ["{{{{ run.output }}}}", "{{{{ parameters.top }}}}"]}}}}}}
  - {{name: b, dependsOn: [a], jobDriver: *driver}}
  - {{name: c, dependsOn: [b], jobDriver: *driver}}
  - {{name: other, jobDriver: *driver}}
{more}
"""  # noqa: E501 - YAML
MORE = """\
expectedMinutes: 10
failFast: true
concurrency: {limit: 2, policy: queue}
notifications: {on: [FAILED], topics: [data-team]}
"""
OLD, NEW = "chain-1", "chain-repair-1"
Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def plan(record: RunRecord, registry: PipelineRegistry, stack: Stack) -> Plan:
    """Plan a run with any input."""

    def plan(run_id: str, run_input: dict[str, Any]) -> dict[str, Any]:
        return plan_run(
            run_id, f"arn:{run_id}", run_input, record=record, registry=registry, events=FakeDomainEvents(), stack=stack
        )

    return plan


@pytest.fixture
def failed(plan: Plan, record: RunRecord, registry: PipelineRegistry) -> Callable[..., Run]:
    """Let a run of the chain end FAILED, with these states of its jobs."""

    def fail(lifecycle: str = "shared", **states: str) -> Run:
        text = FILE.format(lifecycle=lifecycle, more="")
        registry.put(check_pipeline("pipelines/chain.yaml", "chain", text, "v1"))
        plan(OLD, {"pipeline": "chain", "parameters": {"top": 5}, "trigger": {"type": "upload", "key": "k"}})
        record.set_application_id(OLD, "app1")
        for name, state in ({"a": "SUCCESS", "b": "FAILED", "c": "SKIPPED", "other": "SUCCESS"} | states).items():
            job = record.link_job_run(record.get_job(OLD, name), "app1", f"run-{name}")
            record.record_state(job, state, "2026-11-21T12:00:00.000000Z")
        return record.end_run(OLD, "FAILED", "JobFailedError", "Job b: ExitCode: 1.")

    return fail


def test_repair_runs_what_did_not_succeed_when_a_job_failed(failed: Any, plan: Plan, record: RunRecord) -> None:
    failed()

    planned = plan(NEW, {"repair": OLD})

    assert planned["jobs"] == [["b"], ["c"]]
    jobs = {job.name: job for job in record.list_jobs(NEW)}
    assert (jobs["a"].state, jobs["a"].reused_from, jobs["a"].job_run_id) == ("SUCCESS", OLD, "run-a")
    assert (jobs["b"].state, jobs["b"].job_run_id, jobs["b"].waiting_for) == ("NOT_SUBMITTED", None, [])
    assert jobs["c"].waiting_for == ["b"]


def test_repair_keeps_parameters_trigger_and_places_when_the_run_goes_on(
    failed: Any, plan: Plan, record: RunRecord
) -> None:
    old = failed()
    plan(NEW, {"repair": OLD})

    new = record.get_run(NEW)
    assert new is not None
    assert (new.parameters, new.trigger, new.output) == ({"top": 5}, old.trigger, old.output)
    assert (new.origin, new.repair_of, new.pipeline, new.pipeline_version) == (OLD, OLD, "chain", "v1")
    assert new.deadline is not None
    assert new.deadline > old.started_at
    request = record.get_job(NEW, "b").request
    assert request["jobDriver"] == record.get_job(OLD, "b").request["jobDriver"]
    assert request["tags"]["emr-pipelines:run"] == NEW
    repaired = record.get_run(OLD)
    assert repaired is not None
    assert repaired.repaired_by == NEW


def test_repair_inherits_all_of_the_plan_when_the_run_goes_on(
    plan: Plan, record: RunRecord, registry: PipelineRegistry
) -> None:
    text = FILE.format(lifecycle="shared", more=MORE)
    registry.put(check_pipeline("pipelines/chain.yaml", "chain", text, "v1"))
    plan(OLD, {"pipeline": "chain", "parameters": {"top": 5}, "trigger": {"type": "upload", "key": "k"}})
    record.end_run(OLD, "FAILED", "JobFailedError", "no")
    plan(NEW, {"repair": OLD})

    old, new = record.get_run(OLD), record.get_run(NEW)
    assert old is not None
    assert new is not None
    assert (new.notify_topics, new.expected_minutes) == (["data-team"], 10)
    differ = {field.name for field in fields(Run) if getattr(old, field.name) != getattr(new, field.name)}
    own = {"run_id", "execution_arn", "started_at", "deadline", "repair_of"}
    assert differ == own | {"state", "ended_at", "error", "cause", "repaired_by"}


@pytest.mark.parametrize(("lifecycle", "tag"), [("transient", NEW), ("shared", None)])
def test_repair_has_an_application_of_its_own_when_the_old_one_is_gone(
    failed: Any, plan: Plan, record: RunRecord, lifecycle: str, tag: str | None
) -> None:
    failed(lifecycle=lifecycle)
    plan(NEW, {"repair": OLD})

    new = record.get_run(NEW)
    assert new is not None
    assert new.application_id is None
    assert new.application["tags"].get("emr-pipelines:run") == tag


def test_repair_starts_further_up_when_it_is_told_where(failed: Any, plan: Plan) -> None:
    failed()

    assert plan(NEW, {"repair": OLD, "from": "a"})["jobs"] == [["a"], ["b"], ["c"]]


def test_repair_takes_the_latest_file_when_it_is_asked_to(
    failed: Any, plan: Plan, registry: PipelineRegistry, record: RunRecord
) -> None:
    failed()
    text = FILE.format(lifecycle="shared", more="  - {name: d, dependsOn: [a], jobDriver: *driver}")
    registry.put(check_pipeline("pipelines/chain.yaml", "chain", text.replace("job.py", "mended.py"), "v2"))

    planned = plan(NEW, {"repair": OLD, "latest": True})

    assert sorted(planned["jobs"]) == [["b"], ["c"], ["d"]]
    new = record.get_run(NEW)
    assert new is not None
    assert (new.pipeline_version, new.parameters) == ("v2", {"top": 5})
    jobs = {job.name: job for job in record.list_jobs(NEW)}
    assert {name for name, job in jobs.items() if job.reused_from} == {"a", "other"}
    assert jobs["b"].request["jobDriver"]["sparkSubmit"]["entryPoint"] == "s3://b/mended.py"
    assert jobs["d"].waiting_for == []


def test_job_stays_skipped_when_it_was_planned_so(plan: Plan, record: RunRecord, registry: PipelineRegistry) -> None:
    more = """
  - {name: never, dependsOn: [loop], runIf: ANY_FAILED, jobDriver: *driver}
  - {name: loop, forEach: {x: []}, jobDriver: *driver}"""
    text = FILE.format(lifecycle="shared", more=more)
    registry.put(check_pipeline("pipelines/chain.yaml", "chain", text, "v1"))
    plan(OLD, {"pipeline": "chain"})
    record.end_run(OLD, "FAILED", "ApplicationUnavailableError", "no")

    assert sorted(plan(NEW, {"repair": OLD})["jobs"]) == [["a"], ["b"], ["c"], ["other"]]
    assert {record.get_job(NEW, name).state for name in ("never", "loop")} == {"SKIPPED"}


def test_repair_is_repaired_when_it_fails_too(failed: Any, plan: Plan, record: RunRecord) -> None:
    failed()
    plan(NEW, {"repair": OLD})
    record.record_state(record.get_job(NEW, "b"), "SUCCESS", "2026-11-21T13:00:00.000000Z")
    record.record_state(record.get_job(NEW, "c"), "FAILED", "2026-11-21T13:00:00.000000Z")
    record.end_run(NEW, "FAILED", None, None)

    assert plan("chain-repair-2", {"repair": NEW})["jobs"] == [["c"]]
    third = record.get_run("chain-repair-2")
    assert third is not None
    assert (third.origin, third.repair_of) == (OLD, NEW)
    assert record.get_job("chain-repair-2", "a").reused_from == OLD


@pytest.mark.parametrize(
    ("asked", "states", "message"),
    [
        ({"repair": "nobody"}, {}, "There is no run nobody"),
        ({"repair": OLD, "from": "x"}, {}, 'no job "x". It has: a, '),
        ({"repair": OLD}, {"b": "SUCCESS", "c": "SUCCESS"}, "nothing to repair"),
    ],
    ids=["no run", "no job", "nothing to do"],
)
def test_repair_is_refused_with_the_reason_when_it_makes_no_sense(
    failed: Any, plan: Plan, asked: dict[str, Any], states: dict[str, str], message: str
) -> None:
    failed(**states)

    with pytest.raises(RepairRefusedError, match=message):
        plan(NEW, asked)


def test_repair_is_refused_when_the_run_has_not_ended(failed: Any, plan: Plan, record: RunRecord) -> None:
    failed()
    plan(NEW, {"repair": OLD})

    with pytest.raises(RepairRefusedError, match="still running"):
        plan("chain-repair-2", {"repair": NEW})


def test_second_repair_is_refused_when_two_people_repair_a_run(failed: Any, plan: Plan) -> None:
    failed()
    plan(NEW, {"repair": OLD})

    with pytest.raises(RepairRefusedError, match=f"repaired by {NEW}"):
        plan("chain-repair-2", {"repair": OLD})


def test_repair_can_be_planned_again_when_its_function_was_interrupted(failed: Any, plan: Plan) -> None:
    failed()

    assert plan(NEW, {"repair": OLD}) == plan(NEW, {"repair": OLD})


def test_repair_waits_when_a_job_run_of_the_old_run_has_not_ended(failed: Any, plan: Plan) -> None:
    failed(b="CANCELLING")

    with pytest.raises(TransientError, match="not ended yet: b"):
        plan(NEW, {"repair": OLD})


def test_repair_is_refused_when_the_plan_of_the_old_run_was_interrupted(
    failed: Any, plan: Plan, record: RunRecord
) -> None:
    old = failed()
    record.create_run(Run.begin("half-1", "arn:half-1", {"pipeline": "chain"}))
    record.end_run("half-1", "CANCELLED", "RunCancelledError", "stopped")
    record.save_plan(Run.begin("nobody", "arn", {}), [replace(job, run_id="half-1") for job in record.list_jobs(OLD)])

    assert old.lifecycle == "shared"
    with pytest.raises(RepairRefusedError, match="ended before it was planned"):
        plan(NEW, {"repair": "half-1"})
