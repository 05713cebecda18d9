"""What templates can do with times, S3 URIs and JSON, beside the filters of Jinja2 that are listed here."""

import json
import re
from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2.filters import FILTERS as JINJA_FILTERS

LONGEST_TEXT = 262_144
_DIRECTIVE = re.compile(r"%(-?[A-Za-z]|%)")
_MONTHS = 12
# Those of Jinja2 that can neither reach anything nor make much out of little.
_OF_JINJA = (
    "abs", "capitalize", "default", "first", "float", "int", "items", "last", "length", "list", "lower", "map", "max",
    "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "string", "sum", "title", "trim",
    "unique", "upper", "urlencode",
)  # fmt: skip


def format_date(moment: str, form: str = "%Y-%m-%d", timezone: str = "UTC") -> str:
    """Write an ISO time (as it is in a time zone) or an ISO date with the directives of strftime."""
    if "%" in _DIRECTIVE.sub("", form):
        raise ValueError(f"{form!r} is no date format: write one like '%Y-%m-%d'")
    parsed, zone = _parse(moment), _zone(timezone)
    if isinstance(parsed, datetime):
        parsed = parsed.astimezone(zone)
    return parsed.strftime(form)


def shift(
    moment: str, *, years: int = 0, months: int = 0, weeks: int = 0, days: int = 0, hours: int = 0, minutes: int = 0
) -> str:
    """Move an ISO time or date; a day that a month does not have becomes its last one."""
    parsed = _parse(moment)
    if (hours or minutes) and not isinstance(parsed, datetime):
        raise ValueError(f"{moment!r} is a date, so it cannot be moved by hours or minutes")
    year, month = divmod(parsed.year * _MONTHS + parsed.month - 1 + years * _MONTHS + months, _MONTHS)
    try:
        last_day = monthrange(year, month + 1)[1]
        parsed = parsed.replace(year=year, month=month + 1, day=min(parsed.day, last_day))
        parsed += timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{moment!r} cannot be moved so far") from error
    return parsed.isoformat().replace("+00:00", "Z")


def s3_bucket(uri: str) -> str:
    """Return the bucket of an S3 URI."""
    return _s3_parts(uri)[0]


def s3_key(uri: str) -> str:
    """Return the key of an S3 URI."""
    return _s3_parts(uri)[1]


def s3_name(uri: str) -> str:
    """Return what stands after the last slash of an S3 URI; a slash at its end does not count."""
    return s3_key(uri).rstrip("/").rpartition("/")[2]


def s3_parent(uri: str) -> str:
    """Return the S3 URI of the folder that something is in, without a slash at its end."""
    bucket, key = _s3_parts(uri)
    return f"s3://{bucket}/{key.rstrip('/').rpartition('/')[0]}".rstrip("/")


def to_json(value: object) -> str:
    """Write a value as JSON."""
    return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON text."""
    return json.loads(text)


def join(values: Iterable[object], separator: str = "") -> str:
    """Write values one after the other."""
    texts = [as_text(value) for value in values]
    check_length(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def replace(text: str, old: str, new: str) -> str:
    """Replace each `old` by `new`."""
    check_length(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def as_text(value: object) -> str:
    """Return what `{{ value }}` writes: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else to_json(value)


def check_length(length: int) -> None:
    """Raise ValueError when a text is longer than any text needs to be."""
    if length > LONGEST_TEXT:
        raise ValueError(f"the result would have {length} characters; {LONGEST_TEXT} are allowed")


FILTERS = {
    **{name: JINJA_FILTERS[name] for name in _OF_JINJA},
    "date": format_date,
    "from_json": from_json,
    "join": join,
    "replace": replace,
    "s3_bucket": s3_bucket,
    "s3_key": s3_key,
    "s3_name": s3_name,
    "s3_parent": s3_parent,
    "shift": shift,
    "to_json": to_json,
}


def _parse(moment: str) -> date | datetime:
    try:
        if len(moment) == len("2026-11-20"):
            return date.fromisoformat(moment)
        parsed = datetime.fromisoformat(moment)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{moment!r} is neither a time like 2026-11-20T14:00:00Z nor a date like 2026-11-20"
        ) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


def _s3_parts(uri: str) -> tuple[str, str]:
    match = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri, re.DOTALL) if isinstance(uri, str) else None
    if match is None:
        raise ValueError(f"{uri!r} is no S3 URI like s3://bucket/folder/file")
    return match[1], match[2] or ""


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterator):
        return list(value)
    raise TypeError(f"{value!r} has no JSON")
