"""Time as the run record, the events, the mails and the commands write it."""

from datetime import UTC, datetime


def now() -> str:
    """Return the current time as `iso_time` writes it."""
    return iso_time(datetime.now(UTC))


def iso_time(moment: datetime | str) -> str:
    """Write a time as ISO 8601 in UTC with microseconds and `Z`, so that times compare as text."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds_between(start: str, end: str) -> float:
    """Return the seconds from one ISO time to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def duration(seconds: float | None) -> str:
    """Write a duration as people read it."""
    if seconds is None:
        return "-"
    if seconds < 59.95:  # noqa: PLR2004 - what is below it is written with less than 60.0
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
