"""Every fault by itself, at every moment of a run: it ends with the truth, and leaves nothing."""

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from emr_pipelines.clock import iso_time
from emr_pipelines.pipeline import check_definition
from emr_pipelines.run import CANCELLED, FAILED, SUCCEEDED, TIMED_OUT, Run

from tests.unit.simulation.emr_serverless import Behaviour
from tests.unit.simulation.faults import (
    DISTURBED,
    JOBS,
    ON_CLUSTER,
    RUN,
    calls,
    disturbed,
    moments,
    simulate_with,
    stop_job,
    stopped,
    struck,
)
from tests.unit.simulation.runs import RUN_ID, check, simulate
from tests.unit.simulation.scenarios import JOB_RUN as JOB_RUN_REQUEST
from tests.unit.simulation.scenarios import PIPELINE_NAME, PlannedJob, Scenario
from tests.unit.simulation.state_machines import JOB_GROUP, JOB_RUN
from tests.unit.simulation.world import FAULTS, Weather, World

# A sweep that is killed has counted nothing yet.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish:UserWarning")

# `make test` tries some of the moments, always the same; with SIMULATED_RUNS all are tried.
EVERY = 1 if "SIMULATED_RUNS" in os.environ else 8


@pytest.mark.parametrize("fault", FAULTS)
def test_run_succeeds_when_one_call_meets_a_fault(fault: str) -> None:
    for number in moments(FAULTS.index(fault), EVERY):
        assert struck(number, fault) == SUCCEEDED


def test_run_leaves_nothing_when_it_is_stopped_anywhere() -> None:
    for number in moments(0, EVERY):
        assert stopped(number) in {CANCELLED, SUCCEEDED}


@pytest.mark.parametrize("fault", FAULTS)
def test_run_on_a_cluster_succeeds_when_one_call_meets_a_fault(fault: str) -> None:
    for number in moments(FAULTS.index(fault), 2 * EVERY, ON_CLUSTER):
        assert struck(number, fault, ON_CLUSTER) == SUCCEEDED


def test_run_on_a_cluster_leaves_nothing_when_it_is_stopped_anywhere() -> None:
    for number in moments(0, EVERY, ON_CLUSTER):
        assert stopped(number, ON_CLUSTER) in {CANCELLED, SUCCEEDED}


def test_run_ends_when_the_execution_of_a_job_is_stopped_anywhere() -> None:
    for number in moments(1, EVERY):
        assert disturbed(number, DISTURBED, stop_job) in {FAILED, SUCCEEDED}


@pytest.mark.parametrize("state", ["STOPPED", "TERMINATED"])
def test_run_ends_when_somebody_stops_or_deletes_its_application_anywhere(state: str) -> None:
    for number in moments(2, EVERY):
        assert disturbed(number, DISTURBED, lambda world: world.emr.take_away(state)) in {FAILED, SUCCEEDED}


def test_run_goes_on_when_its_pipeline_file_is_replaced_or_deleted_after_its_plan() -> None:
    other = check_definition({**RUN.as_file(), "jobs": [PlannedJob("another").as_in_file(JOB_RUN_REQUEST)]})
    planned = [number for number in moments(3, EVERY) if not calls()[number - 1].startswith("plan_run")]
    for number in planned:
        assert disturbed(number, RUN, lambda world: world.registry.put(other)) == SUCCEEDED
        assert disturbed(number, RUN, lambda world: world.registry.remove(other.name)) == SUCCEEDED


EVENTS = {
    "dropped": Weather(burst=1000, lost=1.0),
    "twice": Weather(burst=1000, repeated=1.0, latency=0.2),  # two functions handle the same at the same time
    "after the heartbeat": Weather(burst=1000, delay=1000.0),
    "reordered": Weather(burst=1000, delay=10.0),  # the states of a short job come within seconds
}


@pytest.mark.parametrize("weather", EVENTS.values(), ids=EVENTS)
def test_run_succeeds_when_events_do_not_come_as_they_should(weather: Weather) -> None:
    for seed in range(0, 40, EVERY):
        scenario = replace(RUN, weather=weather, seed=seed)

        assert check(simulate(scenario), scenario).state == SUCCEEDED


JOBS_THAT_FAIL = {
    "driver killed": Behaviour(outcome="FAILED", seconds=30.0),
    "role that may not be passed": Behaviour(is_refused=True),
    "cancelled by somebody": Behaviour(outcome="CANCELLED", seconds=30.0),
}


@pytest.mark.parametrize("behaviour", JOBS_THAT_FAIL.values(), ids=JOBS_THAT_FAIL)
def test_run_fails_and_goes_the_other_way_when_a_job_fails(behaviour: Behaviour) -> None:
    scenario = replace(RUN, jobs=(replace(JOBS[0], behaviours=(behaviour,)), *JOBS[1:]))
    world = simulate(scenario)

    assert check(world, scenario).state == FAILED
    states = {job.name: job.state for job in world.record.list_jobs(RUN_ID)}
    assert (states["second"], states["otherwise"]) == ("SKIPPED", "SUCCESS")


def test_run_times_out_and_leaves_nothing_when_a_job_hangs() -> None:
    hangs = replace(JOBS[1], behaviours=(Behaviour(seconds=None),))
    scenario = replace(RUN, jobs=(JOBS[0], hangs, JOBS[2]), timeout_minutes=30)

    assert check(simulate(scenario), scenario).state == TIMED_OUT


@pytest.mark.parametrize("name", ["AWSStepFunctionsException", "ThrottlingException", "ExecutionLimitExceeded"])
def test_run_succeeds_when_the_executions_of_its_jobs_start_late(name: str) -> None:
    refused = Counter[str]()

    def refuse(_machine: str, asked: Any) -> str | None:
        refused[asked["job"]] += 1
        return f"StepFunctions.{name}" if refused[asked["job"]] <= 20 else None

    world = simulate_with(RUN, lambda world: setattr(world.step_functions, "refuse", refuse))

    assert check(world, RUN).state == SUCCEEDED
    assert set(refused.values()) == {21}


LOOP = replace(DISTURBED, jobs=(JOBS[0], PlannedJob("each", ("first",), iterations=40, max_concurrency=40)))


@pytest.mark.parametrize(("scenario", "machine"), [(DISTURBED, JOB_RUN), (LOOP, JOB_GROUP)], ids=["job", "group"])
def test_run_ends_soon_when_the_execution_of_a_job_cannot_be_started(scenario: Scenario, machine: str) -> None:
    def refuse(started: str, asked: Any) -> str | None:
        is_first = started == machine and "first" in asked["jobs"]
        return "StepFunctions.StateMachineDoesNotExistException" if is_first else None

    world = simulate_with(scenario, lambda world: setattr(world.step_functions, "refuse", refuse))

    run = check(world, scenario)
    assert (run.state, run.error) == (FAILED, "JobFailedError")
    assert "StateMachineDoesNotExist" in (run.cause or "")
    assert run.duration_seconds is not None
    assert run.duration_seconds < 600
    assert {job.name: job.state for job in world.record.list_jobs(RUN_ID)}["first"] == "CANCELLED"


@pytest.mark.parametrize("is_queued", [False, True])
def test_run_times_out_at_its_time_when_that_is_shorter_than_a_heartbeat(is_queued: bool) -> None:
    scenario = replace(DISTURBED, timeout_minutes=3, concurrency={"limit": 1, "policy": "queue"})

    def happen(world: World) -> None:
        world.emr.starts = "slow"
        if is_queued:
            asked = {"pipeline": PIPELINE_NAME}
            other = Run.begin("other", "arn:other", asked, started_at=iso_time(world.happenings.now))
            world.slots.take(world.record.create_run(replace(other, concurrency={"limit": 1})))

    world = simulate_with(scenario, happen)

    run = check(world, scenario)
    assert run.state == TIMED_OUT
    assert run.duration_seconds == pytest.approx(180, abs=10)
    path = world.step_functions.run(RUN_ID).path
    assert path.count("Wait For Slot") <= (5 if is_queued else 0)


@pytest.mark.parametrize("starts", ["refused", "badly"])
def test_run_fails_and_leaves_nothing_when_its_cluster_does_not_start(starts: str) -> None:
    scenario = replace(ON_CLUSTER, is_disturbed=True)
    world = simulate_with(scenario, lambda world: setattr(world.clusters, "starts", starts))

    run = check(world, scenario)
    assert (run.state, run.error) == (FAILED, "ClusterUnavailableError")
    assert world.emr.job_runs == {}


@pytest.mark.parametrize(
    ("application", "error"), [("refused", "ApplicationUnavailableError"), ("slow", "States.HeartbeatTimeout")]
)
def test_run_fails_and_leaves_nothing_when_its_application_does_not_start(application: str, error: str) -> None:
    world = simulate_with(DISTURBED, lambda world: setattr(world.emr, "starts", application))

    run = check(world, DISTURBED)
    assert (run.state, run.error) == (FAILED, error)


@pytest.mark.parametrize("job", [None, "first", "second"])
@pytest.mark.parametrize("function", ["plan_run", "launch_application", "add_job_run", "wait_for_upstream"])
def test_run_ends_soon_when_a_function_may_do_nothing(function: str, job: str | None) -> None:
    world = simulate_with(DISTURBED, lambda world: world.broken.add((function, job)))

    run = check(world, DISTURBED)
    assert run.state in {FAILED, SUCCEEDED}
    assert run.duration_seconds is not None
    assert run.duration_seconds < 3600
