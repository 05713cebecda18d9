"""A measure: what was promised, what was seen."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Measure:
    """One row of the report; `seen` must not exceed `bar`."""

    name: str
    bar: float
    seen: float
    unit: str
    note: str = ""

    @property
    def holds(self) -> bool:
        """Tell whether the promise is kept."""
        return self.seen <= self.bar


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return quantiles(values, n=20, method="inclusive")[-1]


def spread(values: Sequence[float]) -> str:
    """Describe how the values lie."""
    return f"median {median(values):.2f}, {min(values):.2f} to {max(values):.2f} of {len(values)}"


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) / 1024
