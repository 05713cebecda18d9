"""What jobs and runs cost: EMR's billed resources at the prices of a table, and what Step Functions and Lambda add.

All of it is an estimate at list prices. Discounts, free tiers, idle pre-initialised workers, S3, DynamoDB and logs are
not in it, and storage is priced as that of standard disks.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from emr_pipelines.run import Job, Run
from emr_pipelines.state_transitions import executed_transitions

DEFAULT_ARCHITECTURE = "X86_64"  # of CreateApplication
_AMOUNT = r"(\d+(?:\.\d+)?)"
_OWN_PRICES = re.compile(rf"(X86_64|ARM64)={_AMOUNT}/{_AMOUNT}/{_AMOUNT}")

# An estimate, as measured for functions of 512 MB: most invocations take less than this, cold ones more.
_SECONDS_PER_INVOCATION = 0.3
_GIGABYTES = 0.5
# start_pipeline, plan_run, launch_application, clean_up and notify; events of the application as it starts and stops.
_INVOCATIONS_PER_RUN = 9
_SMALLEST_SHOWN = 0.0001


@dataclass(frozen=True)
class Prices:
    """What EMR Serverless takes for an hour of a vCPU, of a GB of memory and of a GB of storage, in USD."""

    region: str
    architecture: str
    dated: str
    vcpu_hour: float
    memory_gb_hour: float
    storage_gb_hour: float


@dataclass(frozen=True)
class RunCost:
    """What a run costs, in USD; a part that cannot be known is None, and then so is the total."""

    emr: float | None
    step_functions: float | None
    functions: float

    @property
    def total(self) -> float | None:
        """What all of it costs."""
        if self.emr is None or self.step_functions is None:
            return None
        return self.emr + self.step_functions + self.functions


def find_prices(region: str, architecture: str, own: str = "") -> Prices | None:
    """Return the prices of a region and architecture, or None when nobody knows them.

    `own` are prices that replace those of the table, as the template parameter EmrServerlessPrices has them.
    """
    found = _own_prices(own).get(architecture) or _table()["regions"].get(region, {}).get(architecture)
    if found is None:
        return None
    return Prices(
        region, architecture, found["dated"], found["vcpuHour"], found["memoryGbHour"], found["storageGbHour"]
    )


def prices_of_run(run: Run) -> Prices | None:
    """Return the prices that were recorded when a run was launched: later ones do not change what it has cost."""
    return Prices(**run.prices) if run.prices else None


def recorded(prices: Prices | None) -> dict[str, Any]:
    """Return prices as the run record keeps them."""
    return asdict(prices) if prices else {}


def job_cost(resources: Mapping[str, float], prices: Prices | None) -> float | None:
    """Return what EMR bills for the resources of a job run, or None when these or the prices are unknown."""
    if prices is None or not resources:
        return None
    return (
        resources.get("vCPUHour", 0) * prices.vcpu_hour
        + resources.get("memoryGBHour", 0) * prices.memory_gb_hour
        + resources.get("storageGBHour", 0) * prices.storage_gb_hour
    )


def cost_of_job(job: Job, prices: Prices | None) -> float | None:
    """Return what EMR bills for a job of a run: nothing when the run has not executed it itself."""
    if job.reused_from or (job.ended and not job.job_run_id):
        return 0.0
    return job_cost(job.resources, prices)


def run_cost(run: Run, jobs: Sequence[Job]) -> RunCost:
    """Return what a run and its jobs cost; of a run that has not ended, that is not known."""
    prices = prices_of_run(run)
    costs = [cost_of_job(job, prices) for job in jobs]
    known = [cost for cost in costs if cost is not None]
    emr = sum(known) if run.ended and len(known) == len(costs) else None
    region = _table()["regions"].get(region_of(run))
    transitions = executed_transitions(jobs) * region["stateTransition"] if region else None
    return RunCost(emr, transitions, _invocations(jobs) * _cost_of_invocation())


def billed(jobs: Sequence[Job]) -> dict[str, float]:
    """Add up what EMR bills for the jobs of a run, by EMR's own names; what an earlier run did was billed there."""
    total: Counter[str] = Counter()
    for job in jobs:
        total.update({} if job.reused_from else job.resources)
    return dict(total)


def region_of(run: Run) -> str:
    """Return the region in which a run executes, or nothing when its ARN does not tell."""
    parts = run.execution_arn.split(":")
    return parts[3] if len(parts) > 3 else ""  # noqa: PLR2004 - arn:aws:states:region


def usd(amount: float | None) -> str:
    """Write an amount of money as people read it: "$0.0123", "$12.35", or "-" when it is unknown."""
    if amount is None:
        return "-"
    if 0 < amount < _SMALLEST_SHOWN:
        return f"<${_SMALLEST_SHOWN}"
    return f"${amount:.4f}" if 0 < round(amount, 4) < 1 else f"${amount:,.2f}"


def _invocations(jobs: Sequence[Job]) -> int:
    """Estimate how often functions were invoked for a run: Add Job Run, Wait For Upstream, and EMR's events."""
    run = [job for job in jobs if not job.reused_from]
    return _INVOCATIONS_PER_RUN + sum(1 + bool(job.upstream_token) + len(job.states) for job in run)


def _cost_of_invocation() -> float:
    price = _table()["lambda"]
    cost: float = price["request"] + _SECONDS_PER_INVOCATION * _GIGABYTES * price["gbSecond"]
    return cost


def _own_prices(text: str) -> dict[str, dict[str, Any]]:
    """Read "X86_64=0.0526/0.0058/0.0001,ARM64=...": vCPU-hour, GB-hour of memory, GB-hour of storage.

    CloudFormation has checked it; what is not of that form is no price, for no run is to fail because of its cost.
    """
    return {
        architecture: {
            "dated": "parameter of the stack",
            "vcpuHour": float(vcpu),
            "memoryGbHour": float(memory),
            "storageGbHour": float(storage),
        }
        for architecture, vcpu, memory, storage in _OWN_PRICES.findall(text)
    }


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text())
    return table
