"""A run that is alive for longer than the record of an ended one is kept, and of which nothing is heard for days."""

from dataclasses import replace

import pytest
from emr_pipelines.run import FAILED, SUCCEEDED

from tests.unit.simulation.emr_serverless import Behaviour
from tests.unit.simulation.faults import simulate_with
from tests.unit.simulation.runs import RUN_ID, check
from tests.unit.simulation.scenarios import PlannedJob, Scenario
from tests.unit.simulation.world import Weather, World

_DAY = 86_400.0
_RETENTION_DAYS = 1
_JOBS = (
    PlannedJob("first"),
    PlannedJob("long", behaviours=(Behaviour(seconds=3 * _DAY),)),
    PlannedJob("last", ("first", "long"), "ALL_DONE"),
)
_RUN = Scenario(_JOBS, Weather(burst=1000), lifecycle="transient")


def _keep_briefly(world: World) -> None:
    world.retention_days = _RETENTION_DAYS


@pytest.mark.parametrize("timeout_minutes", [None, 10_000])
def test_run_goes_on_when_a_job_takes_longer_than_the_retention(timeout_minutes: int | None) -> None:
    scenario = replace(_RUN, timeout_minutes=timeout_minutes)

    run = check(simulate_with(scenario, _keep_briefly), scenario)

    assert run.state == SUCCEEDED
    assert run.duration_seconds is not None
    assert run.duration_seconds < 3 * _DAY + 600  # by the event of the job's end, not by what makes good a lost one


def test_run_fails_when_a_job_has_failed_longer_ago_than_the_retention() -> None:
    fails = replace(_JOBS[0], behaviours=(Behaviour(outcome="FAILED"),))
    scenario = replace(_RUN, jobs=(fails, *_JOBS[1:]))

    assert check(simulate_with(scenario, _keep_briefly), scenario).state == FAILED


def test_run_is_forgotten_when_it_has_ended_longer_ago_than_the_retention() -> None:
    world = simulate_with(_RUN, _keep_briefly)
    assert world.record.get_run(RUN_ID) is not None

    world.happenings.seconds += (_RETENTION_DAYS + 1) * _DAY

    assert world.record.get_run(RUN_ID) is None


def test_jobs_are_forgotten_when_their_run_was_to_end_longer_ago_than_the_retention() -> None:
    world = simulate_with(replace(_RUN, timeout_minutes=10_000), _keep_briefly)
    (job_run_id, *_) = world.emr.job_runs
    assert world.record.find_job(job_run_id) is not None

    world.happenings.seconds += (10_000 / 1440 + _RETENTION_DAYS) * _DAY

    assert world.record.list_jobs(RUN_ID) == []
    assert world.record.find_job(job_run_id) is None
