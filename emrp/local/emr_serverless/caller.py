"""Who sent the request that is being answered: `createdBy` of a job run."""

from contextvars import ContextVar

from ministack.core.iam_evaluator import resolve_caller_identity
from ministack.core.responses import get_account_id
from ministack.core.router import extract_access_key_id

_caller: ContextVar[str | None] = ContextVar("_caller", default=None)


def remember_caller(headers: dict[str, str], query: dict[str, list[str]]) -> None:
    """Note whose key a request was signed with."""
    identity = resolve_caller_identity(extract_access_key_id(headers, query))
    _caller.set(identity["userArn"] if identity else None)


def caller_arn() -> str:
    """Return the ARN of the user or the role session, or that of the account's root for any other key."""
    return _caller.get() or f"arn:aws:iam::{get_account_id()}:root"
