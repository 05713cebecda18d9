"""The service as ministack sees it: a module with `handle_request`, state and reset."""

from collections.abc import Callable
from typing import Any

from ministack.core.router import extract_access_key_id

from emrp.local.emr_serverless import protocol
from emrp.local.emr_serverless.caller import remember_caller
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.lifecycle import State
from emrp.local.emr_serverless.service import EmrServerless

Authorize = Callable[[EmrServerless, str, dict[str, Any], str], None]


class Api:
    """Answers requests."""

    def __init__(self, service: EmrServerless, authorize: Authorize | None = None) -> None:
        """Take the service, and what refuses operations that an access key may not perform, if IAM is enforced."""
        self._service = service
        self._authorize = authorize

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> protocol.Response:
        """Answer one HTTP request."""
        remember_caller(headers, query)
        try:
            operation, parameters = protocol.parse(method, path, query, body)
            if self._authorize:
                self._authorize(self._service, operation, parameters, extract_access_key_id(headers, query))
            return protocol.serialise(operation, await self._service.answer(operation, parameters))
        except ApiError as error:
            return protocol.serialise_error(error)

    def reset(self) -> None:
        """Forget everything; ministack calls this for /_ministack/reset."""
        self._service.reset()

    def get_state(self) -> State:
        """Return what ministack saves when the server stops."""
        return self._service.get_state()

    def load_persisted_state(self, state: State) -> None:
        """Bring back what ministack saved."""
        self._service.restore(state)
