"""What must be done although nobody waits for it: events of S3, asynchronous invocations, schedules that are due.

Each is in the journal until it is done; what a killed server has left is done by the next one. So it is done at least
once, as AWS promises.
"""

from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime
from functools import partial
from itertools import count
from threading import Lock, Thread
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, request_scope
from ministack.services import lambda_svc, s3

from emrp.local.durability.recorder import Recorder, State
from emrp.local.patches import scheduler
from emrp.local.patches.anchors import edit
from emrp.local.scheduled_invocation import invoke

Json = dict[str, Any]
Task = dict[str, Any]

SERVICE, STORE = "emrp", "under_way"


class UnderWay:
    """The tasks that are not done."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._tasks: dict[tuple[str, str, int], Task] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def install(self) -> None:
        """Know of every task from its beginning to its end."""
        edit(
            s3,
            "_fire_s3_event_async",
            ("    t = threading.Thread(\n        target=ctx.run,\n", "    t = _s3_task(\n        target=ctx.run,\n"),
            _s3_task=self._s3_event,
        )
        edit(
            lambda_svc,
            "invoke_async_with_retry",
            ("    _run_in_pool(func, _run)\n", "    _run_in_pool(func, _invocation_task(func, event, _run))\n"),
            _invocation_task=self._invocation,
        )
        edit(scheduler, "_watch", ("target=invoke, ", "target=_invoke_surely, "), _invoke_surely=self._scheduled)

    def keep(self) -> None:
        """Have all tasks written again, because the journal begins anew."""
        for key in list(self._tasks):
            self._note(key)

    def do_again(self, left: State) -> None:
        """Do what an earlier server has left."""
        for (account_id, region, _), task in left.get(STORE, AccountRegionScopedDict()).all_items():
            with request_scope(account_id, region):
                _AGAIN[task["kind"]](self, task)

    def _begin(self, kind: str, **details: object) -> Callable[[], None]:
        """Know a task; returns what is to be called when it is done."""
        with self._lock:
            key = get_account_id(), get_region(), next(self._numbers)
            self._tasks[key] = {"kind": kind, **details}
        self._note(key)
        return partial(self._end, key)

    def _end(self, key: tuple[str, str, int]) -> None:
        with self._lock:
            del self._tasks[key]
        self._note(key)

    def _note(self, key: tuple[str, str, int]) -> None:
        def changes() -> list[list[Any]]:
            task = self._tasks.get(key)
            return [[SERVICE, STORE, repr(key), "", *([task] if task else [])]]

        self._recorder.note_part((SERVICE, key), changes)

    def _s3_event(self, target: Callable[..., None], args: tuple[Any, ...], kwargs: Json, *, daemon: bool) -> Thread:
        fire, *arguments = args
        done = self._begin("s3", arguments=arguments, options=kwargs)

        def run() -> None:
            fire(*arguments, **kwargs)
            done()

        return Thread(target=target, args=(run,), daemon=daemon)

    def _invocation(self, function: Json, event: Json, run: Callable[[], None]) -> Callable[[], None]:
        arn = (function.get("config") or function)["FunctionArn"]
        done = self._begin("invocation", function=arn, event=event)

        def invoke_and_end() -> None:
            try:
                run()
            finally:
                done()

        return invoke_and_end

    def _scheduled(self, schedule: Json, due: datetime) -> None:
        done = self._begin("schedule", schedule=schedule, due=due.isoformat())
        invoke(schedule, due)
        done()

    def _s3_event_again(self, task: Task) -> None:
        arguments = (s3._fire_s3_event, *task["arguments"])
        self._s3_event(copy_context().run, arguments, task["options"], daemon=True).start()

    def _invocation_again(self, task: Task) -> None:
        function = lambda_svc._get_func_record_for_ref(task["function"])[0]
        if function is not None:
            lambda_svc.invoke_async_with_retry(function, task["event"])

    def _scheduled_again(self, task: Task) -> None:
        due = datetime.fromisoformat(task["due"])
        Thread(target=self._scheduled, args=(task["schedule"], due), name="scheduled", daemon=True).start()


_AGAIN: dict[str, Callable[[UnderWay, Task], None]] = {
    "s3": UnderWay._s3_event_again,
    "invocation": UnderWay._invocation_again,
    "schedule": UnderWay._scheduled_again,
}
