"""Client tokens: a request that is repeated is answered as it was the first time."""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from emrp.local.emr_serverless.errors import ApiError


class Idempotency:
    """Remembers which request a token stood for and what it made."""

    def __init__(self) -> None:
        self._known = AccountRegionScopedDict()

    def once(self, operation: str, parameters: dict[str, Any], make: Callable[[], str]) -> str:
        """Return the id that `make` made for these parameters, now or when they were first sent."""
        key = (operation, parameters.get("applicationId"), parameters["clientToken"])
        known = self._known.get(key)
        if known is None:
            made = make()
            self._known[key] = (parameters, made)
            return made
        first_parameters, made = known
        if first_parameters != parameters:
            raise ApiError(
                "ConflictException",
                f"The clientToken {parameters['clientToken']} was used with different parameters before.",
            )
        result: str = made
        return result
