"""The API quotas of the user guide: how often an account may call each operation."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ministack.core.responses import AccountRegionScopedDict

from emrp.local.emr_serverless.errors import ApiError

_SWITCHED_OFF = "off"
_QUOTAS = {  # operation: (calls per second, burst)
    "ListApplications": (10, 50),
    "CreateApplication": (1, 25),
    "DeleteApplication": (1, 25),
    "GetApplication": (10, 50),
    "UpdateApplication": (1, 25),
    "ListJobRuns": (1, 25),
    "StartJobRun": (1, 25),
    "GetDashboardForJobRun": (1, 2),
    "CancelJobRun": (1, 25),
    "GetJobRun": (10, 50),
    "StartApplication": (1, 25),
    "StopApplication": (1, 25),
}


def quotas_from(setting: str) -> "ApiQuotas | None":
    """Read the setting EMRP_API_QUOTAS: `off`, or what AWS's quotas are multiplied by."""
    return None if setting == _SWITCHED_OFF else ApiQuotas(times=float(setting))


@dataclass
class _Bucket:
    calls: float
    filled_at: float


class ApiQuotas:
    """One token bucket per operation, account and region; `times` is what a quota increase multiplies them by."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, times: float = 1.0) -> None:
        self._clock = clock
        self._times = times
        self._buckets = AccountRegionScopedDict()

    def take(self, operation: str) -> None:
        """Count a call, or refuse it when it is one too many."""
        if operation not in _QUOTAS:
            return
        per_second, burst = (self._times * quota for quota in _QUOTAS[operation])
        now = self._clock()
        bucket = self._buckets.setdefault(operation, _Bucket(burst, now))
        bucket.calls = min(burst, bucket.calls + (now - bucket.filled_at) * per_second)
        bucket.filled_at = now
        if bucket.calls < 1:
            raise ApiError("ThrottlingException", "Rate exceeded")
        bucket.calls -= 1
