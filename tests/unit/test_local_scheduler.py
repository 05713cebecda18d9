"""What the local Scheduler takes from its schedules, minute by minute, without a clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

from emrp.local.patches.scheduler import Timetable

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
SCOPE = ("000000000000", "us-east-1", "default/every-day")
MINUTE = timedelta(minutes=1)


def schedule(expression: str, created: datetime = NOON, **more: Any) -> dict[str, Any]:
    return {
        "ScheduleExpression": expression,
        "ScheduleExpressionTimezone": "UTC",
        "State": "ENABLED",
        "CreationDate": created.timestamp(),
        "LastModificationDate": created.timestamp(),
    } | more


def due(timetable: Timetable, record: dict[str, Any], now: datetime) -> list[datetime]:
    return [time for _, time in timetable.take_due({SCOPE: record}, now)]


def test_cron_is_due_in_its_zone_when_its_minute_comes() -> None:
    timetable = Timetable(NOON)
    record = schedule("cron(30 9 * * ? *)", ScheduleExpressionTimezone="Europe/Dublin")

    assert due(timetable, record, NOON) == []
    assert timetable.next_due() == datetime(2026, 3, 29, 8, 30, tzinfo=UTC)  # summer time has begun
    assert due(timetable, record, datetime(2026, 3, 29, 8, 30, tzinfo=UTC)) == [
        datetime(2026, 3, 29, 8, 30, tzinfo=UTC)
    ]
    assert due(timetable, record, datetime(2026, 3, 29, 8, 30, 1, tzinfo=UTC)) == []


def test_tick_is_left_out_when_the_machine_has_slept_through_it() -> None:
    timetable = Timetable(NOON)
    record = schedule("rate(5 minutes)")

    assert due(timetable, record, NOON) == [NOON]
    assert due(timetable, record, NOON + 25 * MINUTE + timedelta(seconds=10)) == [NOON + 25 * MINUTE]
    assert timetable.next_due() == NOON + 30 * MINUTE


def test_tick_is_left_out_when_it_was_due_before_the_server_started() -> None:
    timetable = Timetable(NOON + timedelta(seconds=30))
    record = schedule("rate(1 minute)", NOON - 10 * MINUTE)

    assert due(timetable, record, NOON + timedelta(seconds=31)) == []
    assert timetable.next_due() == NOON + MINUTE


def test_tick_is_not_taken_again_when_the_schedule_is_updated_after_it() -> None:
    timetable = Timetable(NOON - MINUTE)
    record = schedule("cron(0 12 * * ? *)", NOON - timedelta(days=1))
    assert due(timetable, record, NOON) == [NOON]

    updated = record | {"LastModificationDate": (NOON + timedelta(milliseconds=500)).timestamp()}

    assert due(timetable, updated, NOON + timedelta(seconds=1)) == []
    assert timetable.next_due() == NOON + timedelta(days=1)


def test_nothing_is_due_when_a_schedule_is_disabled_or_gone() -> None:
    timetable = Timetable(NOON - MINUTE)
    record = schedule("rate(1 minute)", NOON - MINUTE)
    due(timetable, record, NOON)

    assert due(timetable, record | {"State": "DISABLED"}, NOON + MINUTE) == []
    assert timetable.take_due({}, NOON + 2 * MINUTE) == []
    assert timetable.next_due() is None


def test_period_bounds_what_is_due_when_a_schedule_has_one() -> None:
    timetable = Timetable(NOON)
    period: dict[str, Any] = {"StartDate": (NOON + 2 * MINUTE).timestamp(), "EndDate": (NOON + 4 * MINUTE).isoformat()}
    record = schedule("cron(* * * * ? *)", **period)

    assert [time for minute in range(6) for time in due(timetable, record, NOON + minute * MINUTE)] == [
        NOON + 2 * MINUTE,
        NOON + 3 * MINUTE,
    ]
    assert timetable.has_ended(SCOPE)


def test_one_time_schedule_ignores_its_period_when_it_has_one() -> None:
    timetable = Timetable(NOON)
    record = schedule("at(2026-03-28T12:05:00)", EndDate=NOON.timestamp())

    assert timetable.take_due({SCOPE: record}, NOON) == []
    assert timetable.next_due() == NOON + 5 * MINUTE
