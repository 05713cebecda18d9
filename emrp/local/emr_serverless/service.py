"""The service of one process: all operations, on all applications of all accounts and regions."""

import asyncio
import re
from collections.abc import Awaitable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from emrp.local.emr_serverless.applications import ApplicationOperations
from emrp.local.emr_serverless.dashboards import DashboardOperations, HistoryServer
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.events import Watch
from emrp.local.emr_serverless.execution import Surroundings
from emrp.local.emr_serverless.job_runs import JobRunOperations
from emrp.local.emr_serverless.lifecycle import State
from emrp.local.emr_serverless.logs import forget_all
from emrp.local.emr_serverless.quotas import ApiQuotas
from emrp.local.emr_serverless.registry import Registry
from emrp.local.emr_serverless.tags import TagOperations

Result = dict[str, Any]

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class EmrServerless:
    """Performs operations by their AWS names."""

    def __init__(
        self, surroundings: Surroundings, history_server: HistoryServer, quotas: ApiQuotas | None = None
    ) -> None:
        """Take what the service works with, and the API quotas unless calls are not limited."""
        self._around = surroundings
        self._registry = Registry()
        self._endings: set[asyncio.Task[None]] = set()
        self._history_server = history_server
        self._quotas = quotas
        self._operations = (
            ApplicationOperations(self._registry, surroundings),
            JobRunOperations(self._registry),
            TagOperations(self._registry, surroundings.events),
            DashboardOperations(self._registry, history_server),
        )

    async def answer(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform any operation with parameters that fit the model."""
        result = self._perform(operation, parameters, counted=True)
        return await result if isinstance(result, Awaitable) else result

    def call(self, operation: str, parameters: dict[str, Any], *, counted: bool = True) -> dict[str, Any]:
        """Perform an operation that answers at once; it is counted if there are quotas."""
        result = self._perform(operation, parameters, counted=counted)
        if isinstance(result, Awaitable):
            raise TypeError(f"{operation} does not answer at once.")
        return result

    def _perform(self, operation: str, parameters: dict[str, Any], *, counted: bool) -> Result | Awaitable[Result]:
        if self._quotas and counted:
            self._quotas.take(operation)
        method = _WORD_START.sub("_", operation).lower()
        for operations in self._operations:
            if perform := getattr(operations, method, None):
                result: Result | Awaitable[Result] = perform(parameters)
                return result
        raise ApiError(
            "ValidationException",
            f"{operation} is not supported locally: interactive sessions need EMR Serverless on AWS.",
        )

    def watch(self, watch: Watch, requests: AccountRegionScopedDict) -> None:
        """Have every change told, and what client tokens stand for kept in a store that tells it by itself."""
        self._around.events.watch(watch)
        self._registry.keep_requests_in(requests)

    def get_state(self) -> State:
        """Return what is kept for the next start, as JSON."""
        return self._registry.get_state()

    def restore(self, state: State) -> None:
        """Bring back what an earlier server kept."""
        self._registry.restore(state, self._around)

    def reset(self) -> None:
        """Forget everything; what runs is ended."""
        for live in self._registry.everywhere():
            ending = asyncio.create_task(live.shut_down())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
        self._registry.clear()
        forget_all(self._around.logs)
        self._history_server.forget_all()

    async def shut_down(self) -> None:
        """End every job run; no driver is left."""
        await self._history_server.stop()
        await asyncio.gather(*(live.shut_down() for live in self._registry.everywhere()), *self._endings)
