"""What is left follows from the inventory alone, whatever the inventory is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.gateways.cluster_stacks import ObservedStack
from emr_pipelines.gateways.emr_on_ec2 import ObservedCluster
from emr_pipelines.gateways.emr_serverless import ObservedApplication
from emr_pipelines.gateways.job_service import ObservedJobRun
from emr_pipelines.gateways.step_functions import ObservedExecution
from emr_pipelines.inventory import Inventory, OpenJobRun, Slots
from emr_pipelines.leftovers import Kind, find_closed_runs, find_leftovers
from emr_pipelines.run import Job, Run
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GRACE = timedelta(minutes=10)
OF_JOBS = {Kind.JOB_NOT_ENDED, Kind.JOB_NOT_SETTLED}

times = st.integers(0, 4 * 3600).map(lambda seconds: iso_time(NOW - timedelta(seconds=seconds)))


@st.composite
def inventories(draw: st.DrawFn, fate: str) -> Inventory:
    """Everything that may be there of one run that is alive, dead, ended or unknown."""
    recorded, ended = fate != "unknown", fate == "ended"
    run = Run(
        run_id="r",
        execution_arn="arn",
        started_at=draw(times),
        pipeline="p",
        state="FAILED" if ended else "RUNNING",
        ended_at=draw(times) if ended else None,
        settled=ended and draw(st.booleans()),
        concurrency={"limit": 1, "policy": "queue"},
    )
    job = Job(
        run_id="r",
        pipeline="p",
        name="j",
        position=0,
        request={},
        state=draw(st.sampled_from(["NOT_SUBMITTED", "RUNNING", "CANCELLING", "NEW", "SUCCESS", "FAILED"])),
        job_run_id=draw(st.sampled_from([None, "jr"])),
        execution_arn=draw(st.sampled_from([None, "inner"])),
        ended_at=draw(times),
        settled=draw(st.booleans()),
    )
    execution = ObservedExecution(draw(st.sampled_from(["FAILED", "ABORTED"])), draw(times), draw(times), {})
    of_run = {"emr-pipelines:run": "r"}
    on_emr = draw(st.booleans())
    gone: ObservedJobRun | None = ObservedJobRun("jr", "a", draw(st.sampled_from(["SUCCESS", "NEW"])), draw(times))
    ended_on_emr: Any = {} if on_emr or fate != "alive" or job.ended or not job.job_run_id else {"jr": gone}
    return Inventory(
        open_runs=["r"] if recorded else [],
        runs={"r": run} if recorded else {},
        jobs={"r": [job]} if recorded else {},
        executions={"dead": {"r": execution}, "unknown": {"r": None}}.get(fate, {}),  # type: ignore[arg-type]
        job_runs=[OpenJobRun("jr", "a", "r", job if recorded else None, draw(times))] if on_emr else [],
        ended_job_runs=ended_on_emr,
        applications=draw(st.lists(st.builds(lambda at: ObservedApplication("a", "STARTED", "", of_run, at), times))),
        stacks=draw(st.lists(st.builds(lambda at: ObservedStack("s", "CREATE_FAILED", "", {}, of_run, at), times))),
        clusters=draw(st.lists(st.builds(lambda at: ObservedCluster("j", "WAITING", "", of_run, at), times))),
        slots={"p": Slots(1, frozenset(draw(st.sets(st.just("r")))), ())} if fate != "unknown" else {},
    )


@given(inventories("alive"))
def test_nothing_is_taken_from_a_run_when_it_is_alive(inventory: Inventory) -> None:
    assert {leftover.kind for leftover in find_leftovers(inventory, NOW, GRACE)} <= OF_JOBS
    assert find_closed_runs(inventory, NOW, GRACE) == []


@given(st.sampled_from(["alive", "dead", "ended", "unknown"]).flatmap(inventories))
def test_nothing_is_left_when_everything_is_new(inventory: Inventory) -> None:
    assert find_leftovers(inventory, NOW, timedelta(hours=5)) == []


@given(inventories("dead"))
def test_run_is_ended_before_anything_is_taken_from_it_when_its_execution_has_died(inventory: Inventory) -> None:
    execution = inventory.executions["r"]
    assert execution is not None
    assert execution.stopped_at is not None
    is_due = execution.stopped_at < iso_time(NOW - GRACE)
    assert [leftover.kind for leftover in find_leftovers(inventory, NOW, GRACE)] == [Kind.RUN_NOT_ENDED] * is_due


@given(inventories("ended"))
def test_everything_that_is_still_there_is_found_when_its_run_has_long_ended(inventory: Inventory) -> None:
    found = find_leftovers(inventory, NOW + GRACE, timedelta(seconds=0))
    kinds = {leftover.kind for leftover in found}

    assert (Kind.JOB_RUN_LEFT in kinds) == bool(inventory.job_runs)
    assert (Kind.APPLICATION_LEFT in kinds) == bool(inventory.applications)
    assert (Kind.SLOT_LEFT in kinds) == bool(inventory.slots["p"].holders)
    (job,) = inventory.jobs["r"]
    is_on_emr = bool(inventory.job_runs) and job.job_run_id == "jr"
    assert (Kind.JOB_NOT_ENDED in kinds) == (not job.ended and not is_on_emr)
    assert bool(find_closed_runs(inventory, NOW, GRACE)) == (inventory.runs["r"].settled and job.settled)


@given(inventories("ended"))
def test_run_without_jobs_is_not_closed_when_it_may_be_about_to_be_planned(inventory: Inventory) -> None:
    inventory = replace(inventory, jobs={"r": []})
    run = inventory.runs["r"]

    is_old = (run.ended_at or "") < iso_time(NOW - GRACE)
    assert bool(find_closed_runs(inventory, NOW, GRACE)) == (run.settled and is_old)


@given(inventories("unknown"))
def test_only_what_is_older_than_an_hour_is_an_orphan_when_nobody_knows_its_run(inventory: Inventory) -> None:
    an_hour_ago = iso_time(NOW - timedelta(hours=1))
    orphans = [job_run for job_run in inventory.job_runs if job_run.created_at < an_hour_ago]
    applications = [application for application in inventory.applications if application.created_at < an_hour_ago]
    clusters = [cluster for cluster in inventory.clusters if cluster.created_at < an_hour_ago]
    kinds = [Kind.JOB_RUN_LEFT] * len(orphans) + [Kind.APPLICATION_LEFT] * len(applications)
    stacks = [stack for stack in inventory.stacks if stack.created_at < an_hour_ago]
    kinds += [Kind.CLUSTER_LEFT] * len(clusters) + [Kind.STACK_LEFT] * len(stacks)

    assert [leftover.kind for leftover in find_leftovers(inventory, NOW, GRACE)] == kinds
