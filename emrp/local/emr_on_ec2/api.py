"""The service as ministack sees it: `handle_request`."""

from collections.abc import Callable
from typing import Any

from ministack.core.router import extract_access_key_id

from emrp.local.emr_on_ec2 import protocol
from emrp.local.emr_on_ec2.service import EmrOnEc2
from emrp.local.emr_serverless.errors import ApiError

Authorize = Callable[[str, dict[str, Any], str], None]


class Api:
    """Answers requests."""

    def __init__(self, service: EmrOnEc2, authorize: Authorize | None = None) -> None:
        """Take the service, and what refuses operations that an access key may not perform, if IAM is enforced."""
        self._service = service
        self._authorize = authorize

    async def handle_request(
        self, _method: str, _path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> protocol.Response:
        """Answer one HTTP request."""
        try:
            operation, parameters = protocol.parse(headers, body)
            if self._authorize:
                self._authorize(operation, parameters, extract_access_key_id(headers, query))
            return protocol.serialise(self._service.call(operation, parameters))
        except ApiError as error:
            return protocol.serialise_error(error)
