"""The same in the simulated world (tests/unit/simulation), where every moment of a run can have its fault."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from emr_pipelines.run import CANCELLED, FAILED, SUCCEEDED

from tests.unit.simulation.faults import DISTURBED, ON_CLUSTER, RUN, disturbed, moments, stop_job, stopped, struck
from tests.unit.simulation.scenarios import Scenario
from tests.unit.simulation.world import FAULTS, World


@dataclass(frozen=True)
class Attempt:
    """Something that can happen at any moment of a run; `run_with` it at a call returns the run's state."""

    name: str
    run_with: Callable[[int], str]
    expected: Collection[str]
    run: Scenario = RUN

    def problems(self) -> Iterator[str | None]:
        """Try it at every moment; yield for each what was not as it must be, if anything."""
        warnings.filterwarnings("ignore", "No application metrics to publish")
        logging.disable()
        for number in moments(run=self.run):
            try:
                state = self.run_with(number)
                yield None if state in self.expected else f"at call {number} the run became {state}"
            except AssertionError as error:
                yield f"at call {number}: {error} {getattr(error, '__notes__', '')}"


def attempts() -> Iterator[Attempt]:
    """Yield what can happen at any moment."""
    for run, where in ((RUN, ""), (ON_CLUSTER, " on a cluster")):
        for fault in FAULTS:
            yield Attempt(f"a call{where}: {fault}", partial(struck, fault=fault, run=run), {SUCCEEDED}, run)
        yield Attempt(f"StopExecution of a run{where}", partial(stopped, run=run), {CANCELLED, SUCCEEDED}, run)
    somebody: dict[str, Callable[[World], None]] = {
        "StopExecution of a job": stop_job,
        "application stopped": lambda world: world.emr.take_away("STOPPED"),
        "application deleted": lambda world: world.emr.take_away("TERMINATED"),
    }
    for name, action in somebody.items():
        yield Attempt(name, partial(disturbed, scenario=DISTURBED, somebody=action), {FAILED, SUCCEEDED})
