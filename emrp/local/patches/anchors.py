"""The check that what a patch replaces is still what it was written against."""

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


class AnchorError(Exception):
    """ministack has changed below a patch."""


def replace(module: ModuleType, name: str, digest: str, wrap: Callable[[Any], Any]) -> None:
    """Put `wrap(original)` in the place of a function whose source has the given digest."""
    original = getattr(module, name, None)
    found = source_digest(original) if original is not None else "nothing"
    if found != digest:
        raise AnchorError(
            f"{module.__name__}.{name} is not the one that was patched (expected {digest}, found {found}): "
            "install the ministack version that pyproject.toml pins, or revise the patch."
        )
    setattr(module, name, wrap(original))


def source_digest(function: object) -> str:
    """Return a short digest of a function's source text."""
    source = inspect.getsource(function)  # type: ignore[arg-type]
    return hashlib.sha256(source.encode()).hexdigest()[:12]
