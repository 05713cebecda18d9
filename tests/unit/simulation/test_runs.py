"""Runs end, and end as they must, whatever happens to them."""

import pytest
from emr_pipelines.run import FAILED, SKIPPED, SUCCEEDED
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.simulation.runs import (
    REPAIR_ID,
    RUN_ID,
    check,
    check_promptness,
    most_at_once,
    simulate,
    simulate_overlap,
    simulate_repair,
    simulated,
)
from tests.unit.simulation.scenarios import PIPELINE_NAME, Overlap, Scenario, overlaps, scenarios
from tests.unit.simulation.world import Weather

# A sweep that is killed has counted nothing yet.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish:UserWarning")

CALM = Weather(burst=1000)
KILLING = Weather(burst=1000, killed=0.05)
_SOON = 10.0
_REDELIVERED = 60.0 + 120.0  # Lambda's two attempts more at an event


@simulated(100)
@given(scenarios())
def test_run_ends_as_its_jobs_do_when_anything_happens(scenario: Scenario) -> None:
    check(simulate(scenario), scenario)


@simulated(40)
@given(scenarios(st.just(CALM)))
def test_jobs_start_and_are_cancelled_at_once_when_no_event_is_late(scenario: Scenario) -> None:
    world = simulate(scenario)

    check(world, scenario)
    check_promptness(world, _SOON)


@simulated(60)
@given(scenarios(st.just(KILLING)))
def test_no_wake_up_is_lost_when_functions_are_killed(scenario: Scenario) -> None:
    world = simulate(scenario)

    check(world, scenario)
    check_promptness(world, _SOON + _REDELIVERED)


@simulated(50)
@given(scenarios())
def test_repair_runs_only_what_did_not_succeed_when_anything_happens(scenario: Scenario) -> None:
    world = simulate_repair(scenario)

    check(world, scenario)
    repair = check(world, scenario.healed(), REPAIR_ID)
    old_jobs, jobs = world.record.list_jobs(RUN_ID), world.record.list_jobs(REPAIR_ID)
    is_refused = repair.error in {"RepairRefusedError", "TransientError"}
    if is_refused:
        assert jobs == []
    else:
        succeeded = {job.name for job in old_jobs if job.succeeded}
        assert {job.name for job in jobs if job.reused_from} == succeeded != {job.name for job in old_jobs}


@simulated(40)
@given(overlaps("queue"))
def test_queued_runs_all_get_their_turn_when_they_overlap(overlap: Overlap) -> None:
    world = simulate_overlap(overlap)

    states = {check(world, overlap.scenario, run_id).state for run_id in overlap.run_ids}
    assert states <= {SUCCEEDED, FAILED}
    assert most_at_once(world, set(overlap.run_ids)) <= overlap.limit
    assert world.slots.holders(PIPELINE_NAME) == set()
    assert world.slots.queue(PIPELINE_NAME) == []


@simulated(20)
@given(overlaps("queue", most=1, weathers=st.just(CALM)))
def test_queued_runs_start_in_order_when_nothing_goes_wrong(overlap: Overlap) -> None:
    world = simulate_overlap(overlap)

    assert list(dict.fromkeys(job_run.run_id for job_run in world.emr.job_runs.values())) == overlap.run_ids


@simulated(20)
@given(overlaps("skip"))
def test_run_is_skipped_when_there_is_no_room_for_it(overlap: Overlap) -> None:
    world = simulate_overlap(overlap)

    states = {run_id: check(world, overlap.scenario, run_id).state for run_id in overlap.run_ids}
    assert set(states.values()) <= {SUCCEEDED, FAILED, SKIPPED}
    let_in = {run_id for run_id, state in states.items() if state != SKIPPED}
    assert let_in == {job_run.run_id for job_run in world.emr.job_runs.values()} != set()
    assert most_at_once(world, let_in) <= overlap.limit


@simulated(20)
@given(overlaps("cancelOldest"))
def test_oldest_run_is_cancelled_when_there_is_no_room_for_a_new_one(overlap: Overlap) -> None:
    world = simulate_overlap(overlap)

    runs = [check(world, overlap.scenario, run_id) for run_id in overlap.run_ids]
    newest = sorted(runs, key=lambda run: (run.started_at, run.run_id))[-overlap.limit :]
    assert {run.state for run in newest} <= {SUCCEEDED, FAILED}
    assert world.slots.holders(PIPELINE_NAME) == set()
    assert world.slots.queue(PIPELINE_NAME) == []
