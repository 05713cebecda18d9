"""EventBridge Scheduler: schedules fire at their time in their time zone, and what a target does not take is kept.

ministack looks for due schedules every ten seconds, knows neither time zones nor retries and lets every expression
pass. Here a thread sleeps until the next schedule is due, or until one is created or changed; what is due goes to
`emrp.local.scheduled_invocation`. AWS has no down time: what was due while this server was down does not fire later.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import dropwhile, takewhile
from threading import Event, Thread
from typing import Any

from emr_pipelines.schedule_expression import parse
from ministack import app
from ministack.core.responses import AccountRegionScopedDict
from ministack.services import scheduler

from emrp.local.patches.anchors import edit, replace, require_names, when_first_asked
from emrp.local.scheduled_invocation import invoke

Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
Scope = tuple[str, str, str]
"""Account, region and `group/name`."""

_CFN_TYPE = "AWS::Scheduler::Schedule"
_RECENT = timedelta(minutes=1)  # AWS invokes within the minute: what is older was missed, as when a laptop sleeps
_LONGEST_SLEEP = 30.0  # the wall clock may be set, and a laptop's sleep does not count for timers
_JUST_BEFORE = timedelta(microseconds=1)

_changed = Event()


def install() -> None:
    """Fire schedules on time, refuse wrong ones, and let stacks have them with all their properties."""
    scheduler._schedules = _Schedules()
    replace(scheduler, "start_scheduler", "04a12e5e9f1e", lambda _original: _start)
    replace(scheduler, "_create_schedule", "5b205607c15c", _checked)
    replace(scheduler, "_update_schedule", "93f7fec4f7d8", _checked)
    for listing, results in (("_list_schedules", "Schedules"), ("_list_schedule_groups", "ScheduleGroups")):
        edit(
            scheduler,
            listing,
            ('    max_results = int(query.get("MaxResults", 100))\n', ""),
            ("    results = results[:max_results]\n", ""),
            (f'{{"{results}": results}}', f'_page("{results}", results, query)'),
            _page=_page,
        )
    require_names("services/cloudformation/provisioners.py", "_RESOURCE_HANDLERS", "_REPLACING_PROPERTIES")
    when_first_asked(app.SERVICE_HANDLERS, "cloudformation", _install_in_cloudformation)


class _Schedules(AccountRegionScopedDict):  # type: ignore[misc]
    """All schedules: creating or changing one, in whatever way, wakes the thread that waits for their time."""

    __slots__ = ()

    def __setitem__(self, key: str, schedule: Json) -> None:
        super().__setitem__(key, schedule)
        _changed.set()


@dataclass
class _Entry:
    schedule: Json
    times: Iterator[datetime]
    due: datetime | None


class Timetable:
    """When each schedule is due next; schedules are told apart by identity, since an update makes a new record."""

    def __init__(self, started: datetime) -> None:
        self._started = started
        self._entries: dict[Scope, _Entry] = {}

    def take_due(self, schedules: Mapping[Scope, Json], now: datetime) -> list[tuple[Scope, datetime]]:
        """Return what has become due since the last time; what was missed by far is left out."""
        self._entries = {scope: entry for scope, entry in self._entries.items() if scope in schedules}
        taken = []
        for scope, schedule in schedules.items():
            entry = self._entries.get(scope)
            if entry is None or entry.schedule is not schedule:
                times = occurrences(schedule, self._started)
                entry = self._entries[scope] = _Entry(schedule, times, next(times, None))
            while entry.due and entry.due <= now:
                if now - entry.due < _RECENT:
                    taken.append((scope, entry.due))
                entry.due = next(entry.times, None)
        return taken

    def next_due(self) -> datetime | None:
        """Return when something is due again."""
        return min((entry.due for entry in self._entries.values() if entry.due), default=None)

    def has_ended(self, scope: Scope) -> bool:
        """Tell whether a schedule will not be due again."""
        return self._entries[scope].due is None


def occurrences(schedule: Json, started: datetime) -> Iterator[datetime]:
    """Yield the times at which a schedule is due, as long as it stays as it is and the server is up."""
    if schedule["State"] != "ENABLED":
        return iter(())
    expression = schedule["ScheduleExpression"]
    created, modified = _time(schedule["CreationDate"]), _time(schedule["LastModificationDate"])
    one_time = expression.startswith("at(")
    start, end = (schedule.get(name) if not one_time else None for name in ("StartDate", "EndDate"))
    anchor = _time(start) if start else created
    after = max(started, modified)
    if after == created:
        after -= _JUST_BEFORE  # rate() without a start date fires when it is created
    times = parse(expression, schedule["ScheduleExpressionTimezone"]).occurrences(after, anchor)
    if start:
        times = dropwhile(lambda due: due < anchor, times)
    return takewhile(lambda due: due < _time(end), times) if end else times


def _time(value: str | float) -> datetime:
    return datetime.fromtimestamp(scheduler._to_epoch(value), UTC)


def _start() -> None:
    Thread(target=_watch, name="scheduler", daemon=True).start()


def _watch() -> None:
    """Invoke what is due, for ever."""
    timetable = Timetable(datetime.now(UTC))
    while True:
        _changed.clear()
        schedules = dict(list(scheduler._schedules._data.items()))
        for scope, due in timetable.take_due(schedules, datetime.now(UTC)):
            schedule = schedules[scope]
            Thread(target=invoke, args=(schedule, due), name="scheduled", daemon=True).start()
            if timetable.has_ended(scope) and schedule.get("ActionAfterCompletion") == "DELETE":
                scheduler._schedules.pop_scoped(*scope, None)
        due_next = timetable.next_due()
        pause = (due_next - datetime.now(UTC)).total_seconds() if due_next else _LONGEST_SLEEP
        _changed.wait(min(max(pause, 0), _LONGEST_SLEEP))


def _checked(write: Callable[[str, Json], Response]) -> Callable[[str, Json], Response]:
    """Refuse what would never fire, as AWS does."""

    def write_schedule(name: str, body: Json) -> Response:
        expression = body.get("ScheduleExpression") or ""
        try:
            parse(expression, body.get("ScheduleExpressionTimezone") or "UTC")
        except ValueError as error:
            refusal: Response = scheduler._error(400, "ValidationException", f"Invalid Schedule Expression: {error}")
            return refusal
        return write(name, body)

    return write_schedule


def _page(name: str, results: list[Json], query: Mapping[str, str]) -> Json:
    """Return one page of a list, with the token of the next."""
    start, size = int(query.get("NextToken") or 0), int(query.get("MaxResults") or 100)
    more = {"NextToken": str(start + size)} if start + size < len(results) else {}
    return {name: results[start : start + size]} | more


def _install_in_cloudformation() -> None:
    """Give stacks schedules with all their properties, and updates that take effect."""
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415 -- takes a second

    def create(logical_id: str, properties: Json, stack_name: str) -> tuple[str, dict[str, str]]:
        name = properties.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=64)
        return name, _written(scheduler._create_schedule(name, properties))

    def update(name: str, _old: Json, properties: Json, _stack_name: str) -> tuple[str, dict[str, str]]:
        return name, _written(scheduler._update_schedule(name, properties))

    provisioners._RESOURCE_HANDLERS[_CFN_TYPE] |= {"create": create, "update": update}
    provisioners._REPLACING_PROPERTIES[_CFN_TYPE] = ("Name", "GroupName")


def _written(response: Response) -> dict[str, str]:
    status, _, body = response
    answer = json.loads(body)
    if status != HTTPStatus.OK:
        raise ValueError(answer["Message"])
    return {"Arn": answer["ScheduleArn"]}
