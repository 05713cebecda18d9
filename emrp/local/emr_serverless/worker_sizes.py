"""The worker sizes that the service has ("Supported worker configurations" in the user guide)."""

import re
from typing import Any, NamedTuple

from emrp.local.emr_serverless.errors import ApiError

_DISK_GB = range(20, 201)
_SHUFFLE_DISK_GB = range(20, 2001)


class _Memory(NamedTuple):
    least_gb: int
    most_gb: int
    step_gb: int


_MEMORY = {  # by vCPUs
    1: _Memory(2, 8, 1),
    2: _Memory(4, 16, 1),
    4: _Memory(8, 30, 1),
    8: _Memory(16, 60, 4),
    16: _Memory(32, 120, 8),
}


def check_initial_capacity(initial_capacity: dict[str, Any]) -> None:
    """Refuse workers of sizes that do not exist."""
    for worker_type, capacity in initial_capacity.items():
        if worker := capacity.get("workerConfiguration"):
            _check(worker_type, worker)


def _check(worker_type: str, worker: dict[str, str]) -> None:
    memory = _MEMORY.get(_number(worker["cpu"]))
    if memory is None:
        raise _invalid(worker_type, f"cpu must be one of {', '.join(map(str, _MEMORY))} vCPU")
    sizes = range(memory.least_gb, memory.most_gb + 1, memory.step_gb)
    if _number(worker["memory"]) not in sizes:
        raise _invalid(
            worker_type,
            f"memory must be {memory.least_gb} GB to {memory.most_gb} GB in {memory.step_gb} GB increments "
            f"for {worker['cpu']}",
        )
    shuffle = worker.get("diskType", "").upper() == "SHUFFLE_OPTIMIZED"
    disks = _SHUFFLE_DISK_GB if shuffle else _DISK_GB
    if "disk" in worker and _number(worker["disk"]) not in disks:
        raise _invalid(worker_type, f"disk must be {disks[0]} GB to {disks[-1]} GB")


def _invalid(worker_type: str, reason: str) -> ApiError:
    return ApiError("ValidationException", f"The worker configuration of {worker_type} is not supported: {reason}.")


def _number(amount: str) -> int:
    digits = re.match(r"\d+", amount)
    return int(digits[0]) if digits else 0
