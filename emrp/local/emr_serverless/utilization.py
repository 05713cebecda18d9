"""The resource figures of a job run: what its workers used, and what AWS would bill for it."""

import math
from dataclasses import dataclass

_LEAST_BILLED_SECONDS = 60
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Utilization:
    """An amount of vCPU, memory and storage hours."""

    cpu_hours: float = 0
    memory_gb_hours: float = 0
    storage_gb_hours: float = 0

    def __add__(self, other: "Utilization") -> "Utilization":
        return Utilization(
            self.cpu_hours + other.cpu_hours,
            self.memory_gb_hours + other.memory_gb_hours,
            self.storage_gb_hours + other.storage_gb_hours,
        )

    def __sub__(self, other: "Utilization") -> "Utilization":
        return Utilization(
            self.cpu_hours - other.cpu_hours,
            self.memory_gb_hours - other.memory_gb_hours,
            self.storage_gb_hours - other.storage_gb_hours,
        )

    def as_members(self) -> dict[str, float]:
        """Return the figures as the API and the events have them."""
        return {
            "vCPUHour": round(self.cpu_hours, 3),
            "memoryGBHour": round(self.memory_gb_hours, 3),
            "storageGBHour": round(self.storage_gb_hours, 3),
        }


@dataclass(frozen=True)
class Figures:
    """What was used and what is billed."""

    used: Utilization = Utilization()
    billed: Utilization = Utilization()

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(self.used + other.used, self.billed + other.billed)

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(self.used - other.used, self.billed - other.billed)


def figures(*, cpu: float, memory_gb: float, disk_gb: float, extra_disk_gb: float, seconds: float) -> Figures:
    """Return what workers of that size used in a time (counted in whole seconds) and what is billed for them.

    `extra_disk_gb` is the part of the disk that is not free; at least a minute is billed.
    """
    used = math.ceil(seconds) / _SECONDS_PER_HOUR
    billed = max(math.ceil(seconds), _LEAST_BILLED_SECONDS) / _SECONDS_PER_HOUR
    return Figures(
        Utilization(cpu * used, memory_gb * used, disk_gb * used),
        Utilization(cpu * billed, memory_gb * billed, extra_disk_gb * billed),
    )
