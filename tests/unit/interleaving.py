"""Invocations of a function that overlap and die anywhere, one step at a time and in an order that a test draws."""

import threading
from collections.abc import Callable
from typing import Any

DEADLINE_SECONDS = 20.0


class Killed(BaseException):
    """What a function notices of its end; nothing in it may catch this."""


class Invocation:
    """A call in a thread of its own that waits before and after every step until it may go on."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.killed = False
        self.error: BaseException | None = None
        self._turn, self._idle = threading.Semaphore(0), threading.Semaphore(0)
        self.ended = False
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def advance(self, *, kill: bool = False) -> None:
        """Let the call come to its next step, or kill it where it is."""
        self.killed = self.killed or kill
        self._turn.release()
        assert self._idle.acquire(timeout=DEADLINE_SECONDS)

    def pause(self) -> None:
        """Wait for `advance`, in the thread of the call."""
        self._idle.release()
        self._turn.acquire()
        if self.killed:
            raise Killed

    def _run(self, call: Callable[[], object]) -> None:
        _current.invocation = self
        self._turn.acquire()
        try:
            if not self.killed:
                call()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._idle.release()


_current = threading.local()


class Stepwise:
    """Stands before a gateway: an invocation pauses before and after each call."""

    def __init__(self, gateway: object) -> None:
        self._gateway = gateway

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._gateway, name)

        def step(*arguments: Any, **named: Any) -> Any:
            _current.invocation.pause()
            result = method(*arguments, **named)
            _current.invocation.pause()
            return result

        return step
