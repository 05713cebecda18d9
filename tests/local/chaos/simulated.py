"""The same in the simulated world (tests/unit/simulation), where every moment of a run can have its fault."""

import logging
import warnings
from collections.abc import Callable, Iterator

from emr_pipelines.run import CANCELLED, FAILED, SUCCEEDED

from tests.unit.simulation.faults import DISTURBED, disturbed, moments, stop_job, stopped, struck
from tests.unit.simulation.world import FAULTS, World

Attempt = Callable[[int], bool]
"""Runs with something that happens at a call; tells whether the run ended as it must."""


def attempts() -> Iterator[tuple[str, Attempt]]:
    """Yield what can happen at any moment."""
    for fault in FAULTS:
        yield f"a call: {fault}", lambda number, fault=fault: struck(number, fault) == SUCCEEDED  # type: ignore[misc]
    yield "StopExecution of the run", lambda number: stopped(number) in {CANCELLED, SUCCEEDED}
    somebody: dict[str, Callable[[World], None]] = {
        "StopExecution of a job": stop_job,
        "application stopped": lambda world: world.emr.take_away("STOPPED"),
        "application deleted": lambda world: world.emr.take_away("TERMINATED"),
    }
    for name, action in somebody.items():
        yield (
            name,
            lambda number, action=action: disturbed(number, DISTURBED, action) in {FAILED, SUCCEEDED},  # type: ignore[misc]
        )


def problems(attempt: Attempt) -> Iterator[str | None]:
    """Try it at every moment; yield for each what was not as it must be, if anything."""
    warnings.filterwarnings("ignore", "No application metrics to publish")
    logging.disable()
    for number in moments():
        try:
            yield None if attempt(number) else f"at call {number} the run ended otherwise"
        except AssertionError as error:
            yield f"at call {number}: {error} {getattr(error, '__notes__', '')}"
