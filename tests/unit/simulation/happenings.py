"""Simulated time: what is due next happens next, and a seed decides what is left to chance.

Lambda functions run in threads of which only one runs at a time. Each call of a gateway is a point at which the others
may go on, so functions overtake each other in every way in which they could on AWS, and in the same way each time.
"""

import heapq
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Done = Callable[[Any, BaseException | None], None]

BEGINNING = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Killed(BaseException):
    """Lambda ends a function in the middle of its work; nothing in the function can catch it."""


class TimedOut(Killed):
    """Lambda ends a function that takes longer than its timeout."""


@dataclass(order=True)
class Timer:
    """Something that will happen, unless it is cancelled."""

    at: float
    number: int
    action: Callable[[], None] = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.is_cancelled = True


class Happenings:
    """The one order in which everything happens."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - not a secret
        self.seconds = 0.0
        self._timers: list[Timer] = []
        self._count = 0
        self._busy: list[_Thread] = []
        self._idle: list[_Thread] = []
        self._running: _Thread | None = None

    @property
    def now(self) -> datetime:
        """The time of the simulation."""
        return self.at(self.seconds)

    @staticmethod
    def at(seconds: float) -> datetime:
        """The time so many seconds after the beginning."""
        return BEGINNING + timedelta(seconds=seconds)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Let something happen later."""
        self._count += 1
        timer = Timer(self.seconds + seconds, self._count, action)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self, until: float) -> None:
        """Let everything happen that is due before `until`."""
        while (timer := self._next()) and timer.at <= until:
            heapq.heappop(self._timers)
            self.seconds = timer.at
            timer.action()

    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self._next() is None

    def call(self, function: Callable[[], Any], done: Done) -> None:
        """Run a function that calls `pause`, and tell `done` what it has returned or raised."""
        thread = self._idle.pop() if self._idle else _Thread()
        self._busy.append(thread)
        thread.take(function, done)
        self._let_run(thread)

    def pause(self, seconds: float) -> None:
        """Let others go on for a while; called by a function that `call` runs."""
        thread = self._running
        assert thread is not None
        upcoming = self._next()
        if upcoming is None or upcoming.at > self.seconds + seconds:
            self.seconds += seconds
            return
        self.after(seconds, lambda: self._let_run(thread))
        thread.wait()

    def close(self) -> None:
        """End the functions that have not returned."""
        for thread in [*self._busy, *self._idle]:
            thread.stop()

    def _next(self) -> Timer | None:
        while self._timers and self._timers[0].is_cancelled:
            heapq.heappop(self._timers)
        return self._timers[0] if self._timers else None

    def _let_run(self, thread: "_Thread") -> None:
        self._running = thread
        thread.go_on()
        self._running = None
        if thread.has_returned:
            self._busy.remove(thread)
            self._idle.append(thread)
            thread.done(thread.result, thread.error)


class _Thread:
    """Runs one function after the other, and only while `go_on` waits for it."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.has_returned = True
        self._function: Callable[[], Any] = lambda: None
        self.done: Done = lambda _result, _error: None
        self._is_stopped = False
        self._mine, self._theirs = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._theirs.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, function: Callable[[], Any], done: Done) -> None:
        self._function, self.done = function, done
        self.has_returned = False
        self.result = self.error = None

    def go_on(self) -> None:
        """Let the function run until it waits or returns."""
        self._mine.release()
        self._theirs.acquire()

    def wait(self) -> None:
        """Give others their turn; called by the function."""
        self._theirs.release()
        self._mine.acquire()
        if self._is_stopped:
            raise Killed

    def stop(self) -> None:
        """End the function, if it runs, and the thread."""
        self._is_stopped = True
        if not self.has_returned:
            self.go_on()
        self._mine.release()
        self._thread.join()

    def _run(self) -> None:
        self._mine.acquire()
        while not self._is_stopped:
            try:
                self.result = self._function()
            except BaseException as error:  # whatever it is, Lambda sees it
                self.error = error
            self.has_returned = True
            self._theirs.release()
            self._mine.acquire()
