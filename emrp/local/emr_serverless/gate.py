"""Waiting in line: how job runs share what is limited (concurrent runs, capacity, this machine)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Gate(Generic[Item]):
    """Lets items in, in the order in which they came, as soon as the first in line fits."""

    def __init__(self, fits: Callable[[Item, Collection[Item]], bool]) -> None:
        """Take a function that says whether an item fits next to those that are inside."""
        self._fits = fits
        self._inside: set[Item] = set()
        self._line: deque[tuple[Item, asyncio.Future[None]]] = deque()

    @property
    def inside(self) -> Collection[Item]:
        """Those who are inside."""
        return self._inside

    @property
    def line(self) -> list[Item]:
        """Those who wait, in order."""
        return [item for item, _ in self._line]

    def is_open_for(self, item: Item) -> bool:
        """Say whether an item would not have to wait."""
        return not self._line and self._fits(item, self._inside)

    @asynccontextmanager
    async def enter(self, item: Item) -> AsyncIterator[None]:
        """Wait in line, then be inside until the end of the context."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((item, admitted))
        self.recheck()
        try:
            await admitted
            yield
        finally:
            if item in self._inside:
                self._inside.remove(item)
            else:
                self._line.remove((item, admitted))
            self.recheck()

    def recheck(self) -> None:
        """Let in whoever fits by now: something left, or a limit changed."""
        while self._line and self._fits(self._line[0][0], self._inside):
            item, admitted = self._line.popleft()
            self._inside.add(item)
            if not admitted.done():
                admitted.set_result(None)
