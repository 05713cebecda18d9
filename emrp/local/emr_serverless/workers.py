"""The workers of a job run: how big they are on the service, though here one process does their work.

Sizes come from the job's own properties and the service's defaults. They decide what fits into the maximum
capacity of an application, and the resource figures.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

from emrp.local.emr_serverless.job_run import JobRun
from emrp.local.emr_serverless.utilization import Figures, figures
from emrp.local.spark.job_driver import InvalidJobDriver, SparkSubmit, read_classifications, read_job_driver

_FREE_DISK_GB = 20  # of each worker; only what is above is billed
_LEAST_OVERHEAD_GB = 384 / 1024
_UNITS_IN_GB = {"k": 1 / 1024**2, "m": 1 / 1024, "g": 1.0, "t": 1024.0}


@dataclass(frozen=True)
class Resources:
    """An amount of vCPUs, memory and disk."""

    cpu: float = 0
    memory_gb: float = 0
    disk_gb: float = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(self.cpu + other.cpu, self.memory_gb + other.memory_gb, self.disk_gb + other.disk_gb)

    def __mul__(self, count: float) -> "Resources":
        return Resources(self.cpu * count, self.memory_gb * count, self.disk_gb * count)

    def fits_in(self, limit: "Resources") -> bool:
        """Whether nothing of it is more than the limit has."""
        return self.cpu <= limit.cpu and self.memory_gb <= limit.memory_gb and self.disk_gb <= limit.disk_gb

    @classmethod
    def of(cls, configuration: Mapping[str, str]) -> Self:
        """Read a workerConfiguration or a maximumCapacity; a disk that is not named is not limited."""
        disk = configuration.get("disk")
        return cls(
            _number(configuration["cpu"]),
            _number(configuration["memory"]),
            _number(disk) if disk else float("inf"),
        )


class Workers:
    """The driver and the executors (or Tez tasks) that a job run has or waits for."""

    def __init__(self, driver: Resources, executor: Resources, *, least: int, wanted: int) -> None:
        self._driver = driver
        self._executor = executor
        self._wanted = max(least, wanted)
        self.executors = least

    @property
    def driver(self) -> Resources:
        """What the driver needs."""
        return self._driver

    @property
    def allocated(self) -> Resources:
        """What the driver and the executors have in all."""
        return self._driver + self._executor * self.executors

    def figures(self, seconds: float) -> Figures:
        """Return what these workers use in a time."""
        extra_disk_gb = sum(
            max(0, size.disk_gb - _FREE_DISK_GB) * count
            for size, count in ((self._driver, 1), (self._executor, self.executors))
        )
        total = self.allocated
        return figures(
            cpu=total.cpu,
            memory_gb=total.memory_gb,
            disk_gb=total.disk_gb,
            extra_disk_gb=extra_disk_gb,
            seconds=seconds,
        )

    def grow_into(self, limit: Resources, others: Iterable["Workers"]) -> None:
        """Take as many executors as are wanted and fit into the limit next to the others."""
        used = sum((workers.allocated for workers in others if workers is not self), Resources())
        while self.executors < self._wanted and (used + self.allocated + self._executor).fits_in(limit):
            self.executors += 1


def capacity_of(application_configuration: Mapping[str, Any]) -> Resources:
    """Return the maximum capacity of an application; without one it has no limit."""
    maximum = application_configuration.get("maximumCapacity")
    return Resources.of(maximum) if maximum else Resources(*3 * (float("inf"),))


def fit(workers: Workers, others: Collection[Workers], limit: Resources) -> bool:
    """Say whether workers fit into a limit next to others."""
    return sum((other.allocated for other in others), workers.allocated).fits_in(limit)


def workers_of(job_run: JobRun) -> Workers:
    """Return the workers that a job run asks for; raises InvalidJobDriver for sizes that are none."""
    job = read_job_driver(job_run.request["jobDriver"])
    properties = read_classifications(job_run.configuration["applicationConfiguration"]).properties
    try:
        return _spark(properties | job.properties) if isinstance(job, SparkSubmit) else _tez(properties)
    except ValueError as error:
        raise InvalidJobDriver(f"The size of a worker cannot be understood: {error}.") from error


def _spark(properties: Mapping[str, str]) -> Workers:
    def size(role: str) -> Resources:
        return Resources(
            int(properties.get(f"spark.{role}.cores", 4)),
            _with_overhead(properties, role),
            _gigabytes(properties.get(f"spark.emr-serverless.{role}.disk", "20g")),
        )

    instances = int(properties.get("spark.executor.instances", 3))
    if properties.get("spark.dynamicAllocation.enabled", "true") != "true":
        return Workers(size("driver"), size("executor"), least=instances, wanted=instances)
    least = max(1, int(properties.get("spark.dynamicAllocation.minExecutors", 0)))
    initial = max(instances, int(properties.get("spark.dynamicAllocation.initialExecutors", 3)), least)
    most = properties.get("spark.dynamicAllocation.maxExecutors", "infinity")
    wanted = initial if most == "infinity" else min(initial, int(most))
    return Workers(size("driver"), size("executor"), least=least, wanted=wanted)


def _with_overhead(properties: Mapping[str, str], role: str) -> float:
    memory = _gigabytes(properties.get(f"spark.{role}.memory", "14g"))
    factor = float(properties.get("spark.emr-serverless.memoryOverheadFactor", 0.1))
    given = properties.get(f"spark.{role}.memoryOverhead")
    overhead = _gigabytes(given, default_unit="m") if given else max(memory * factor, _LEAST_OVERHEAD_GB)
    return ceil(memory + overhead)


def _tez(properties: Mapping[str, str]) -> Workers:
    def size(cores: str, memory: str, memory_unit: str, disk: str) -> Resources:
        return Resources(
            int(properties.get(f"spark.hadoop.{cores}", 2)),
            ceil(_gigabytes(properties.get(f"spark.hadoop.{memory}", "6g"), memory_unit)),
            _gigabytes(properties.get(f"spark.hadoop.{disk}", "20g")),
        )

    driver = size("hive.driver.cores", "hive.driver.memory", "g", "hive.driver.disk")
    task = size("hive.tez.cpu.vcores", "hive.tez.container.size", "m", "hive.tez.disk.size")
    return Workers(driver, task, least=1, wanted=1)


def _gigabytes(amount: str, default_unit: str = "g") -> float:
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)(i?b)?", amount.strip().lower())
    if match is None:
        raise ValueError(f"{amount} is not an amount of memory")
    return int(match[1]) * _UNITS_IN_GB[match[2] or default_unit]


def _number(amount: str) -> float:
    digits = re.match(r"\d+", amount)
    return float(digits[0]) if digits else 0.0
