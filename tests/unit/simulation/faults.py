"""One run, and one thing that happens to it at one moment: a call meets a fault, or somebody interferes after it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from operator import methodcaller

from tests.unit.simulation.emr_serverless import Behaviour
from tests.unit.simulation.runs import check, deployed, run_to_end, simulate
from tests.unit.simulation.scenarios import PlannedJob, Scenario
from tests.unit.simulation.state_machines import JOB_RUN
from tests.unit.simulation.world import Weather, World

JOBS = (
    PlannedJob("first", behaviours=(Behaviour(seconds=1.0),)),
    PlannedJob("second", ("first",)),
    PlannedJob("otherwise", ("first",), "ANY_FAILED"),
)
RUN = Scenario(JOBS, Weather(burst=1000), lifecycle="transient")
DISTURBED = replace(RUN, is_disturbed=True)
ON_CLUSTER = replace(RUN, on_cluster=True)


@cache
def calls(run: Scenario = RUN) -> Sequence[str]:
    """The calls of the functions in a run to which nothing happens."""
    return simulate(run).calls


def moments(offset: int = 0, every: int = 1, run: Scenario = RUN) -> list[int]:
    """The numbers of the calls after which something may happen, or some of them."""
    numbers = [number for number, call in enumerate(calls(run), 1) if not call.startswith("sweep")]
    return numbers[offset % every :: every]


def struck(number: int, fault: str, run: Scenario = RUN) -> str:
    """Run with a fault at a call; return the state of the run."""
    return checked(simulate_with(run, methodcaller("strike", number, fault)), run, number)


def stopped(number: int, run: Scenario = RUN) -> str:
    """Run, and stop the run after a call; return its state."""
    scenario = replace(run, stopped_after=number)
    return checked(simulate(scenario), scenario, number)


def disturbed(number: int, scenario: Scenario, somebody: Callable[[World], None]) -> str:
    """Run while somebody does something after a call; return the state of the run."""
    world = simulate_with(scenario, lambda world: world.after_calls(number, lambda: somebody(world)))
    return checked(world, scenario, number)


def simulate_with(scenario: Scenario, happen: Callable[[World], None]) -> World:
    """Run a scenario in a world to which something is done before."""
    world = deployed(scenario)
    happen(world)
    with world.functions_deployed():
        run_to_end(world, scenario)
    return world


def checked(world: World, scenario: Scenario, number: int) -> str:
    """Check a run to which something happened at a call; return the state of the run."""
    try:
        return check(world, scenario).state
    except AssertionError as error:
        error.add_note(f"It happened at call {number}: {world.calls[number - 1]}")
        raise


def stop_job(world: World) -> None:
    """Stop the execution of a job, if there is one."""
    running = [
        execution.arn
        for execution in world.step_functions.executions.values()
        if (execution.machine, execution.status) == (JOB_RUN, "RUNNING")
    ]
    for arn in running[:1]:
        world.step_functions.stop_execution(arn, "", "")
