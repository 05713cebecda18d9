"""Ids that look like the service's: sixteen digits and small letters that begin with two zeros."""

import secrets
import string

_CHARACTERS = string.digits + string.ascii_lowercase


def new_id() -> str:
    """Return an id that nothing else has."""
    return "00" + "".join(secrets.choice(_CHARACTERS) for _ in range(14))
