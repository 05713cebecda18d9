"""How commands put runs into words: moments, triggers and reasons, short enough for a line."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emr_pipelines.reason import on_one_line


def moment(time: datetime | str | None) -> str:
    """Write a time to the second, in UTC as everything in AWS."""
    if time is None:
        return "-"
    time = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def cause_of_run(trigger: Mapping[str, Any], repair_of: str | None = None) -> str:
    """Say in a few words what started a run."""
    kind = str(trigger.get("type", "execution"))
    if repair_of:
        return f"repair of {repair_of}"
    event = trigger.get("event")
    about = {
        "upload": trigger.get("key"),
        "batch": f"of {trigger.get('files')} files",
        "schedule": trigger.get("scheduledTime"),
        "event": event.get("detail-type") if isinstance(event, dict) else None,
    }.get(kind)
    return f"{kind} {about}" if about else kind


def reason(text: str | None, width: int = 120) -> str:
    """Say why in one line: without EMR's preamble, and cut where there is no room."""
    line = on_one_line(text or "")
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."


def value(of: object) -> str:
    """Write a value as a person would have typed it."""
    return of if isinstance(of, str) else json.dumps(of, ensure_ascii=False)


def listing(names: Sequence[str], most: int = 4) -> str:
    """List names, but not too many."""
    more = len(names) - most
    return ", ".join([*names[:most], f"{more} more"] if more > 1 else names)
