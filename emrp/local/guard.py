"""Keeps web pages away from the local AWS: the first thing every request passes.

The server runs code (Lambda functions, Spark jobs) for whoever may call it, and it answers with `CORS: *`.
A page in the user's browser must therefore not reach it: neither by naming it in a script (foreign Origin),
nor by DNS rebinding (foreign Host), nor by an image or link whose URL is an AWS query (Sec-Fetch-Site).
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def refusal(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Say why a request with these headers is refused, or None when it may pass."""
    values = {name.lower(): value.decode("latin-1") for name, value in headers}
    host = values.get(b"host", "")
    if not _is_local(f"//{host}"):
        return f"Host {host!r} is not this machine. Use 127.0.0.1, localhost or a name below .localhost."
    origin = values.get(b"origin")
    if origin is not None and not _is_local(origin):
        return f"Origin {origin!r} is not this machine. Web pages from elsewhere may not use the local AWS."
    if origin is None and values.get(b"sec-fetch-site") == "cross-site":
        return "The request was started by a web page from elsewhere, which may not use the local AWS."
    return None


def _is_local(url: str) -> bool:
    try:
        hostname = urlsplit(url).hostname
    except ValueError:
        return False
    return hostname is not None and (hostname in _LOOPBACK_NAMES or hostname.endswith(".localhost"))
