"""Pages of a list; a token names the item with which the next page begins."""

import base64
import binascii
from collections.abc import Callable
from typing import Any, TypeVar

from emrp.local.emr_serverless.errors import ApiError

DEFAULT_PAGE = 50

Item = TypeVar("Item")


def page(items: list[Item], key: Callable[[Item], str], parameters: dict[str, Any]) -> tuple[list[Item], str | None]:
    """Return the page that `nextToken` and `maxResults` ask for, and the token of the page after it."""
    start = 0
    if token := parameters.get("nextToken"):
        first = _key_of(token)
        start = next((index for index, item in enumerate(items) if key(item) == first), len(items))
    end = start + parameters.get("maxResults", DEFAULT_PAGE)
    next_token = base64.urlsafe_b64encode(key(items[end]).encode()).decode() if end < len(items) else None
    return items[start:end], next_token


def _key_of(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ApiError("ValidationException", "The nextToken is not valid.") from error
