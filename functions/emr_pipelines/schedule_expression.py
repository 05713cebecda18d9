"""When a schedule fires: the cron(), rate() and at() expressions of EventBridge Scheduler, in their time zone.

A pipeline file's schedules are checked with it, `emrp backfill` walks them, and the local Scheduler sleeps by it.
Daylight saving is AWS's: a local time that the clocks skip does not fire, one that comes twice fires the first time,
and rate() counts hours that really pass.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Protocol
from zoneinfo import ZoneInfo

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_SATURDAY = 7
_DAYS_OF_WEEK = 7

DaysOfMonth = Callable[[int, int], Sequence[int]]
"""The days of a year's month on which a cron expression fires, in order."""


class Schedule(Protocol):
    """What an expression means."""

    def occurrences(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        """Yield, in UTC and in order, the times at which the schedule fires after a moment.

        `anchor` is when the schedule starts (its StartDate, or when it was created): rate() counts from it.
        """


def parse(expression: str, timezone: str = "UTC") -> Schedule:
    """Read a schedule expression; raises ValueError with a sentence that says what to do."""
    zone = _zone(timezone)
    form = re.fullmatch(r"(cron|rate|at)\((.*)\)", expression)
    match form.groups() if form else ():
        case ("cron", text):
            return _parse_cron(text, zone)
        case ("rate", text):
            return _parse_rate(text)
        case ("at", text):
            return _parse_at(text, zone)
    raise ValueError(
        f"{expression!r} is no schedule expression: write cron(minutes hours day-of-month month day-of-week year), "
        "rate(value unit) or at(yyyy-mm-ddThh:mm:ss)."
    )


@dataclass(frozen=True)
class _Rate:
    interval: timedelta

    def occurrences(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        start = anchor.astimezone(UTC)  # within a zone, Python would add hours of the clock
        for number in count(max(0, (after - start) // self.interval + 1)):
            try:
                yield start + number * self.interval
            except OverflowError:
                return


@dataclass(frozen=True)
class _At:
    time: datetime

    def occurrences(self, after: datetime, anchor: datetime) -> Iterator[datetime]:  # noqa: ARG002 -- of the protocol
        if self.time > after:
            yield self.time


@dataclass(frozen=True)
class _Cron:
    minutes: Sequence[int]
    hours: Sequence[int]
    days: DaysOfMonth
    months: Sequence[int]
    years: Sequence[int]
    zone: ZoneInfo

    def occurrences(self, after: datetime, anchor: datetime) -> Iterator[datetime]:  # noqa: ARG002 -- of the protocol
        for day in self.dates(after.astimezone(self.zone).date()):
            for hour in self.hours:
                for minute in self.minutes:
                    time = _instant(datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone))
                    if time and time > after:
                        yield time

    def dates(self, first: date) -> Iterator[date]:
        """Yield the days on which it fires, from one day on."""
        for year in self.years:
            for month in self.months:
                if (year, month) >= (first.year, first.month):
                    yield from (day for number in self.days(year, month) if (day := date(year, month, number)) >= first)


@dataclass(frozen=True)
class _Field:
    """One of the six fields of a cron expression, and the values that it may have."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    alone: str = ""

    def values(self, text: str) -> list[int]:
        """Return the values that a list of `*`, values, ranges and increments stands for."""
        return sorted({value for item in text.split(",") for value in self._item(item)})

    def value(self, text: str) -> int:
        """Return a single value, given as a number or a name."""
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.low
        if not re.fullmatch(r"[0-9]{1,4}", text) or not self.low <= int(text) <= self.high:
            names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            alone = f" ({self.alone} only without anything else)" if self.alone else ""
            raise ValueError(f"{self.name} cannot be {text!r}: use {self.low} to {self.high}{names}{alone}.")
        return int(text)

    def _item(self, item: str) -> range:
        span, slash, step = item.partition("/")
        start, dash, end = span.partition("-")
        if span == "*":
            first, last = self.low, self.high
        else:
            first = self.value(start)
            last = self.value(end) if dash else self.high if slash else first
        if last < first:
            raise ValueError(f"{self.name} cannot be {item!r}: a range runs upwards, so write two, with a comma.")
        if slash and not (re.fullmatch(r"[0-9]{1,3}", step) and 1 <= int(step) <= self.high - self.low + 1):
            raise ValueError(f"{self.name} cannot be {item!r}: an increment is a number from 1 on, as in 0/15.")
        return range(first, last + 1, int(step) if slash else 1)


_MINUTES = _Field("minutes", 0, 59)
_HOURS = _Field("hours", 0, 23)
_DAY_OF_MONTH = _Field("day-of-month", 1, 31, alone="L, LW and 15W")
_MONTH = _Field("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
_DAY_OF_WEEK = _Field("day-of-week", 1, _SATURDAY, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), "L, 6L and 6#2")
_YEAR = _Field("year", 1970, 2199)
_FIELDS = (_MINUTES, _HOURS, _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK, _YEAR)


def _parse_cron(text: str, zone: ZoneInfo) -> _Cron:
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"cron({text}) has {len(fields)} fields instead of six: "
            "minutes, hours, day-of-month, month, day-of-week, year."
        )
    minutes, hours, day_of_month, month, day_of_week, year = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError(f"cron({text}) needs ? in exactly one of day-of-month and day-of-week.")
    days = _days_of_week(day_of_week) if day_of_month == "?" else _days_of_month(day_of_month)
    cron = _Cron(_MINUTES.values(minutes), _HOURS.values(hours), days, _MONTH.values(month), _YEAR.values(year), zone)
    if next(cron.dates(date.min), None) is None:
        raise ValueError(f"cron({text}) never fires: no month that it names has such a day.")
    return cron


def _days_of_month(text: str) -> DaysOfMonth:
    if text == "L":
        return lambda year, month: [monthrange(year, month)[1]]
    if text == "LW":
        return lambda year, month: [_nearest_weekday(year, month, monthrange(year, month)[1])]
    if near := re.fullmatch(r"(\d+)W", text):
        number = _DAY_OF_MONTH.value(near[1])
        return lambda year, month: (
            [_nearest_weekday(year, month, number)] if number <= monthrange(year, month)[1] else []
        )
    values = _DAY_OF_MONTH.values(text)
    return lambda year, month: [day for day in values if day <= monthrange(year, month)[1]]


def _days_of_week(text: str) -> DaysOfMonth:
    if last := re.fullmatch(r"(\w+)L", text):
        value = _DAY_OF_WEEK.value(last[1])
        return lambda year, month: _weekdays(year, month, {value})[-1:]
    if nth := re.fullmatch(r"(\w+)#([1-5])", text):
        value, number = _DAY_OF_WEEK.value(nth[1]), int(nth[2])
        return lambda year, month: _weekdays(year, month, {value})[number - 1 : number]
    values = {_SATURDAY} if text == "L" else set(_DAY_OF_WEEK.values(text))
    return lambda year, month: _weekdays(year, month, values)


def _weekdays(year: int, month: int, values: set[int]) -> list[int]:
    """Return the days of a month that fall on days of the week, of which 1 is Sunday."""
    monday_is_0, length = monthrange(year, month)
    return [day for day in range(1, length + 1) if (monday_is_0 + day) % _DAYS_OF_WEEK + 1 in values]


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Return the day from Monday to Friday that is nearest to a day, in the same month."""
    length = monthrange(year, month)[1]
    match date(year, month, day).isoweekday():
        case 6:
            return day - 1 if day > 1 else day + 2
        case 7:
            return day + 1 if day < length else day - 2
    return day


def _parse_rate(text: str) -> _Rate:
    form = re.fullmatch(r"([1-9][0-9]{0,5}) (minute|hour|day)s?", text)
    if form is None:
        raise ValueError(f"rate({text}) is no rate: write a number from 1 on and minutes, hours or days.")
    return _Rate(int(form[1]) * _UNITS[form[2]])


def _parse_at(text: str, zone: ZoneInfo) -> _At:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        raise ValueError(f"at({text}) is no time: write at(yyyy-mm-ddThh:mm:ss).")
    try:
        time = _instant(datetime.fromisoformat(text).replace(tzinfo=zone))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"at({text}) is no time: {error}.") from error
    if time is None:
        raise ValueError(f"at({text}) does not exist in {zone.key}: the clocks skip it, so choose another time.")
    return _At(time)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone: use a name of the IANA database, like Europe/Dublin.") from error


def _instant(local: datetime) -> datetime | None:
    """Return a local time in UTC, the first of two; None when the clocks skip it."""
    time = local.astimezone(UTC)
    return time if time.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None) else None
