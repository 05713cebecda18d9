"""Runs end, and end as they must, whatever happens to them."""

from hypothesis import given

from tests.unit.simulation.runs import check, simulate, simulated
from tests.unit.simulation.scenarios import Scenario, scenarios


@simulated(200)
@given(scenarios())
def test_run_ends_as_its_jobs_do_when_anything_happens(scenario: Scenario) -> None:
    check(simulate(scenario), scenario)
