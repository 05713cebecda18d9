"""Lambda: a burst of invocations waits its turn where this machine cannot bear all of them at once.

ministack starts a process for each invocation that finds the others busy, and a thread for each event. A burst would
start so many that all are too busy starting to end in time. Here some invocations of a function run at a time and the
others follow in the order in which they came; a task of Step Functions waits for its turn before its time runs.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event, Lock
from typing import Any

from ministack.services import lambda_svc

from emrp.local.patches.anchors import edit, replace

_AT_A_TIME = max(4, 2 * (os.cpu_count() or 1))
_THREAD_PER_EVENT = """\
    ctx_snapshot = contextvars.copy_context()
    threading.Thread(target=ctx_snapshot.run, args=(_run,), daemon=True).start()
"""

Json = dict[str, Any]

_holds_turn: ContextVar[bool] = ContextVar("_holds_turn", default=False)
_lines: dict[str, "Line"] = {}
_pools: dict[str, ThreadPoolExecutor] = {}
_lock = Lock()


class Turn:
    """A place in a line; `came` is set when the turn has come."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self.came = Event()

    def leave(self) -> None:
        """Let the next one have the turn; or leave the line."""
        self._line.leave(self)


class Line:
    """Lets so many in at a time, in order."""

    def __init__(self, at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._inside: set[Turn] = set()
        self._waiting: deque[Turn] = deque()
        self._lock = Lock()

    def join(self) -> Turn:
        """Take a place at the end of the line."""
        turn = Turn(self)
        with self._lock:
            self._waiting.append(turn)
            self._let_in()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a turn, or the place of one that has not come."""
        with self._lock:
            if turn in self._inside:
                self._inside.remove(turn)
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting and len(self._inside) < self._at_a_time:
            turn = self._waiting.popleft()
            self._inside.add(turn)
            turn.came.set()


def install() -> None:
    """Let invocations wait their turn, and events wait without a thread each."""
    replace(lambda_svc, "_execute_function_dispatch", "f62cd259213e", _in_turn)
    edit(
        lambda_svc,
        "invoke_async_with_retry",
        (_THREAD_PER_EVENT, "    _run_in_pool(func, _run)\n"),
        _run_in_pool=_run_in_pool,
    )


def join_line(function: str) -> Turn:
    """Take a place among the invocations of a function, by its name or ARN."""
    _, config, name = lambda_svc._get_func_record_for_ref(function)
    return _line_of(config or {"FunctionArn": name}).join()


@contextmanager
def holding(turn: Turn) -> Iterator[None]:
    """Invoke a function in a turn that has come; it is over afterwards."""
    token = _holds_turn.set(True)
    try:
        yield
    finally:
        _holds_turn.reset(token)
        turn.leave()


def _in_turn(dispatch: Callable[..., Json]) -> Callable[..., Json]:
    def dispatch_in_turn(function: Json, config: Json, *arguments: object) -> Json:
        # A function that was called by a function does not wait: its caller may be what it would wait for.
        if _holds_turn.get() or lambda_svc._invoke_depth.get() > 1:
            return dispatch(function, config, *arguments)
        turn = _line_of(config).join()
        turn.came.wait()
        with holding(turn):
            return dispatch(function, config, *arguments)

    return dispatch_in_turn


def _line_of(config: Json) -> Line:
    with _lock:
        return _lines.setdefault(config["FunctionArn"], Line(_AT_A_TIME))


def _run_in_pool(function: Json, run: Callable[[], None]) -> None:
    """Run an asynchronous invocation with its retries when those before it have left room."""
    arn = (function.get("config") or function).get("FunctionArn", "")
    with _lock:
        pool = _pools.setdefault(arn, ThreadPoolExecutor(_AT_A_TIME, "lambda-async"))
    context = copy_context()
    context.run(_holds_turn.set, False)
    pool.submit(context.run, run)
