"""Schedule expressions mean what EventBridge Scheduler means, compared with a matcher that looks at every minute."""

import calendar
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from emr_pipelines.schedule_expression import parse
from hypothesis import given
from hypothesis import strategies as st

ZONES = ["UTC", "Europe/Dublin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Beirut"]
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MINUTE = timedelta(minutes=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def first(expression: str, after: str, *, zone: str = "UTC", number: int = 3, anchor: datetime = START) -> list[str]:
    """Return the first occurrences after a time, as `2026-11-20 13:00`."""
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    times = islice(parse(expression, zone).occurrences(moment, anchor), number)
    return [f"{time:%Y-%m-%d %H:%M}" for time in times]


# What each field means, said a second time: does one value fit the text of the field?


def fits(text: str, value: int, low: int, names: list[str]) -> bool:
    def number(part: str) -> int:
        return names.index(part) + low if part in names else int(part)

    for item in text.split(","):
        span, _, step = item.partition("/")
        start, dash, end = span.partition("-")
        bottom = low if start == "*" else number(start)
        top = number(end) if dash else (bottom if not step and start != "*" else 9999)
        if bottom <= value <= top and (value - bottom) % int(step or 1) == 0:
            return True
    return False


def nearest_weekday(local: datetime, day: int) -> int:
    weekdays = [
        number
        for number in range(1, calendar.monthrange(local.year, local.month)[1] + 1)
        if local.replace(day=number).weekday() < 5
    ]
    return min(weekdays, key=lambda number: abs(number - day))


def fits_day_of_month(text: str, local: datetime) -> bool:
    last = calendar.monthrange(local.year, local.month)[1]
    if text in {"?", "L"}:
        return text == "?" or local.day == last
    if text == "LW":
        return local.day == nearest_weekday(local, last)
    if text.endswith("W"):
        return int(text[:-1]) <= last and local.day == nearest_weekday(local, int(text[:-1]))
    return fits(text, local.day, 1, [])


def fits_day_of_week(text: str, local: datetime) -> bool:
    today = local.isoweekday() % 7 + 1
    if text in {"?", "L"}:
        return text == "?" or today == 7
    if text.endswith("L"):
        return fits(text[:-1], today, 1, DAYS) and (local + timedelta(days=7)).month != local.month
    if "#" in text:
        day, _, nth = text.partition("#")
        return fits(day, today, 1, DAYS) and (local.day - 1) // 7 + 1 == int(nth)
    return fits(text, today, 1, DAYS)


def every_minute(fields: list[str], zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the minutes of a period whose local time fits and was not there before."""
    minutes, hours, day_of_month, month, day_of_week, year = fields
    seen: set[datetime] = set()
    moment = start - timedelta(hours=3)  # what is the second of two local times at the start is known as that
    while moment < end:
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if (
            local not in seen
            and fits(minutes, local.minute, 0, [])
            and fits(hours, local.hour, 0, [])
            and fits(month, local.month, 1, MONTHS)
            and fits(year, local.year, 1970, [])
            and fits_day_of_month(day_of_month, local)
            and fits_day_of_week(day_of_week, local)
            and moment > start
        ):
            yield moment
        seen.add(local)
        moment += MINUTE


@st.composite
def field(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """A list of values, ranges, increments and names."""

    def written(value: int) -> str:
        return draw(st.sampled_from([str(value), names[value - low]])) if names else str(value)

    items = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(low, high))
        end = draw(st.integers(start, high))
        step = draw(st.integers(1, high - low + 1))
        forms = [written(start), f"{written(start)}-{written(end)}", f"{written(start)}/{step}", f"*/{step}", "*"]
        items.append(draw(st.sampled_from([*forms, f"{written(start)}-{written(end)}/{step}"])))
    return ",".join(items)


@st.composite
def cron_fields(draw: st.DrawFn) -> list[str]:
    """The six fields of a cron expression that fires now and then."""
    day = st.sampled_from([*DAYS, *"1234567"])
    day_of_month = field(1, 28) | st.sampled_from(["L", "LW", "*"]) | st.integers(1, 28).map("{}W".format)
    day_of_week = (
        field(1, 7, tuple(DAYS))
        | st.sampled_from(["L", "*"])
        | day.map("{}L".format)
        | st.builds("{}#{}".format, day, st.integers(1, 5))
    )
    days = draw(st.tuples(day_of_month, st.just("?")) | st.tuples(st.just("?"), day_of_week))
    month = draw(field(1, 12, tuple(MONTHS)) | st.just("*"))
    return [draw(field(0, 59)), draw(field(0, 23)), days[0], month, days[1], draw(st.sampled_from(["*", "2026/2"]))]


CHANGES = {  # an hour of each zone's changes, in which or around which every local hour and minute is tried
    "Europe/Dublin": ["2026-03-29 01:00", "2026-10-25 01:00"],
    "America/New_York": ["2026-03-08 07:00", "2026-11-01 06:00"],
    "Australia/Lord_Howe": ["2026-04-04 15:00", "2026-10-03 15:30"],
    "Asia/Beirut": ["2026-03-28 22:00", "2026-10-24 21:00"],
}


@st.composite
def zone_and_moment(draw: st.DrawFn) -> tuple[str, datetime]:
    zone = draw(st.sampled_from(ZONES))
    moment = draw(st.datetimes(datetime(2025, 12, 1), datetime(2028, 3, 1)))  # noqa: DTZ001
    if zone in CHANGES and draw(st.booleans()):
        moment = datetime.fromisoformat(draw(st.sampled_from(CHANGES[zone]))) - timedelta(
            minutes=draw(st.integers(-120, 600))
        )
    return zone, moment.replace(tzinfo=UTC, second=0, microsecond=0)


@given(fields=cron_fields(), where=zone_and_moment())
def test_cron_fires_in_the_minutes_that_fit_when_each_is_looked_at(
    fields: list[str], where: tuple[str, datetime]
) -> None:
    zone, start = where
    end = start + timedelta(hours=30)

    fired = []
    for time in parse(f"cron({' '.join(fields)})", zone).occurrences(start, START):
        if time >= end:
            break
        fired.append(time)

    assert fired == list(every_minute(fields, zone, start, end))


@given(fields=cron_fields(), where=zone_and_moment())
def test_cron_occurrences_increase_and_fit_when_followed_for_long(
    fields: list[str], where: tuple[str, datetime]
) -> None:
    zone, start = where

    times = list(islice(parse(f"cron({' '.join(fields)})", zone).occurrences(start, START), 50))

    assert all(earlier < later for earlier, later in pairwise([start, *times]))
    for time in times:
        local = time.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert time.tzinfo is UTC
        assert fits(fields[0], local.minute, 0, [])
        assert fits(fields[1], local.hour, 0, [])
        assert fits(fields[3], local.month, 1, MONTHS)
        assert fits_day_of_month(fields[2], local)
        assert fits_day_of_week(fields[4], local)


@given(
    value=st.integers(1, 5000),
    unit=st.sampled_from(["minute", "hour", "day"]),
    anchor=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    after=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_rate_counts_real_time_from_its_anchor_when_asked_at_any_moment(
    value: int, unit: str, anchor: datetime, after: datetime
) -> None:
    interval = timedelta(**{f"{unit}s": value})

    times = list(islice(parse(f"rate({value} {unit}s)", "Europe/Dublin").occurrences(after, anchor), 3))

    assert times[0] >= anchor
    assert times[0] > after
    assert times[0] == anchor or times[0] - interval <= after
    assert (times[0] - anchor) % interval == timedelta()
    assert times[2] - times[1] == times[1] - times[0] == interval


def test_occurrences_are_those_of_the_documentation_when_it_gives_examples() -> None:
    assert first("cron(15 10 ? * 6L 2026-2027)", "2026-10-30 10:15") == [
        "2026-11-27 10:15",
        "2026-12-25 10:15",
        "2027-01-29 10:15",
    ]
    assert first("cron(0 10 ? * 3#2 *)", "2026-11-01") == ["2026-11-10 10:00", "2026-12-08 10:00", "2027-01-12 10:00"]
    assert first("cron(0 8 1 * ? *)", "2026-11-01 08:00", number=1) == ["2026-12-01 08:00"]
    assert first("cron(0 18 ? * MON-FRI *)", "2026-11-20 18:00", number=1) == ["2026-11-23 18:00"]
    assert first("cron(0 0 3W * ? *)", "2026-01-01", number=1) == ["2026-01-02 00:00"]  # the 3rd is a Saturday


@pytest.mark.parametrize(
    ("days", "after", "expected"),
    [
        ("L * ?", "2028-02-01", "2028-02-29"),
        ("LW * ?", "2026-05-01", "2026-05-29"),  # the 31st is a Sunday
        ("1W * ?", "2026-08-01", "2026-08-03"),  # the 1st is a Saturday: not in the month before
        ("31W * ?", "2026-05-01", "2026-05-29"),  # the 31st is a Sunday: not in the month after
        ("31W * ?", "2026-06-01", "2026-07-31"),  # June has no 31st
        ("29 2 ?", "2026-01-01", "2028-02-29"),
        ("? * 1#5", "2026-11-02", "2026-11-29"),
        ("? * L", "2026-11-21 09:00", "2026-11-28"),
        ("? DEC friL", "2026-01-01", "2026-12-25"),
    ],
)
def test_day_is_the_one_that_aws_means_when_special_characters_say_it(days: str, after: str, expected: str) -> None:
    assert first(f"cron(0 8 {days} *)", after, number=1) == [f"{expected} 08:00"]


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # The clocks skip 01:00 to 02:00 in Dublin on 29 March: no run on that day.
        ("Europe/Dublin", "cron(30 1 * * ? *)", "2026-03-28", ["2026-03-28 01:30", "2026-03-30 00:30"]),
        # 01:00 to 02:00 comes twice on 25 October: one run, the first time.
        ("Europe/Dublin", "cron(30 1 * * ? *)", "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("Europe/Dublin", "cron(30 1 * * ? *)", "2026-10-25 00:30", ["2026-10-26 01:30", "2026-10-27 01:30"]),
        ("America/New_York", "cron(30 2 * * ? *)", "2026-03-07 12:00", ["2026-03-09 06:30", "2026-03-10 06:30"]),
        ("America/New_York", "cron(30 1 * * ? *)", "2026-10-31 12:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
        # Lord Howe's clocks change by half an hour.
        ("Australia/Lord_Howe", "cron(45 1 * * ? *)", "2026-04-04", ["2026-04-04 14:45", "2026-04-05 15:15"]),
        ("Australia/Lord_Howe", "cron(15 2 * * ? *)", "2026-10-03", ["2026-10-04 15:15", "2026-10-05 15:15"]),
    ],
)
def test_daylight_saving_is_the_one_of_aws_when_clocks_change(
    zone: str, expression: str, after: str, expected: list[str]
) -> None:
    assert first(expression, after, zone=zone, number=2) == expected


def test_rate_counts_hours_that_pass_when_clocks_change() -> None:
    anchor = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Dublin"))

    times = list(islice(parse("rate(1 day)", "Europe/Dublin").occurrences(anchor - MINUTE, anchor), 3))

    assert [f"{time:%d %H:%M}" for time in times] == ["28 12:00", "29 12:00", "30 12:00"]


def test_at_fires_once_in_its_zone_when_it_is_still_to_come() -> None:
    assert first("at(2026-07-01T09:00:30)", "2026-06-30", zone="Europe/Dublin") == ["2026-07-01 08:00"]
    assert first("at(2026-07-01T09:00:30)", "2026-07-01T08:00:30", zone="Europe/Dublin") == []


def test_occurrences_end_when_the_years_do() -> None:
    assert first("cron(0 12 31 12 ? 2026,2030)", "2026-12-31 12:00") == ["2030-12-31 12:00"]
    assert first("cron(59 23 L DEC ? *)", "2198-12-31 23:59") == ["2199-12-31 23:59"]
    assert first("rate(999999 days)", "9000-01-01", anchor=datetime(9000, 1, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 10 * * ? *", "is no schedule expression: write cron("),
        ("cron(0 10 * * ?)", "has 5 fields instead of six"),
        ("cron(0 10 * * * *)", "needs ? in exactly one of day-of-month and day-of-week"),
        ("cron(0 10 ? * ? *)", "needs ? in exactly one"),
        ("cron(? 10 * * ? *)", "minutes cannot be '?': use 0 to 59."),
        ("cron(60 10 * * ? *)", "minutes cannot be '60'"),
        ("cron(0 24 * * ? *)", "hours cannot be '24'"),
        ("cron(0 22-4 * * ? *)", "a range runs upwards"),
        ("cron(0/0 * * * ? *)", "an increment is a number from 1 on"),
        ("cron(0/ * * * ? *)", "an increment is a number from 1 on"),
        ("cron(0, * * * ? *)", "minutes cannot be ''"),
        ("cron(0 0 ? * 0 *)", "day-of-week cannot be '0': use 1 to 7 or SUN to SAT"),
        ("cron(0 0 ? * 3#1,6#3 *)", "only without anything else"),
        ("cron(0 0 ? * 3#6 *)", "day-of-week cannot be '3#6'"),
        ("cron(0 0 1,L * ? *)", "(L, LW and 15W only without anything else)"),
        ("cron(0 0 32W * ? *)", "day-of-month cannot be '32'"),
        ("cron(0 0 ? FOO MON *)", "month cannot be 'FOO': use 1 to 12 or JAN to DEC."),
        ("cron(0 0 1 1 ? 1969)", "year cannot be '1969': use 1970 to 2199."),
        ("cron(0 0 30 2 ? *)", "never fires"),
        ("cron(\u0660 0 1 * ? *)", "minutes cannot be"),
        ("rate(0 minutes)", "write a number from 1 on and minutes, hours or days"),
        ("rate(5 weeks)", "write a number from 1 on"),
        ("rate(1.5 hours)", "write a number from 1 on"),
        ("at(2026-02-30T10:00:00)", "is no time"),
        ("at(2026-02-03 10:00)", "write at(yyyy-mm-ddThh:mm:ss)"),
        ("at(2026-03-29T01:30:00)", "does not exist in Europe/Dublin"),
        ("at(0000-01-01T00:00:00)", "is no time"),
    ],
)
def test_parse_says_what_to_write_when_an_expression_is_wrong(expression: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as refused:
        parse(expression, "Europe/Dublin")

    assert says in str(refused.value)


def test_parse_refuses_when_a_time_is_before_all_times() -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse("at(0001-01-01T00:00:00)", "Asia/Kolkata")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/localtime", "Europe", "dublin\0"])
def test_parse_says_what_to_write_when_a_zone_is_unknown(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone: use a name of the IANA database, like Europe/Dublin"):
        parse("rate(5 minutes)", zone)


@given(st.text(max_size=30) | st.text("0123456789*/,-?LW#MONJA ", max_size=30).map("cron({})".format))
def test_parse_accepts_or_refuses_when_anything_is_given(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):  # noqa: PT012 -- what is accepted is fine as well
        parse(text, "Asia/Kolkata")
        raise ValueError("Accepted.")


def test_time_zones_are_known_when_the_machine_has_none() -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([])
    try:
        assert ZoneInfo.no_cache("Europe/Dublin").utcoffset(datetime(2026, 7, 1)) == timedelta(hours=1)  # noqa: DTZ001
    finally:
        zoneinfo.reset_tzpath(before)
