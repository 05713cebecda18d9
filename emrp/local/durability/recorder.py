"""Notes what has changed and writes it to the journal, before anybody is told."""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

from emrp.local.durability.journal import Change, Journal, encoded

State = dict[str, Any]
Digests = dict[tuple[str, str], bytes]
Changes = Callable[[], Iterable[Change]]

_SOON = 0.02  # what nobody waits for is written together with what comes right after it
_SECONDS_BETWEEN_LOOKS = 1.0  # at stacks that are being deployed

log = logging.getLogger(__name__)


class Recorder:
    """Writes the changes that were noted.

    Services that change rarely are noted as a whole: their entries are compared with those that were written last.
    The parts of those that change often are noted one by one, each with what to write for it.
    """

    def __init__(self, folder: Path, services: dict[str, Callable[[], State]], deploys: Callable[[], bool]) -> None:
        """Take the state of services, without the parts, and what tells whether a stack is being deployed."""
        self._journal = Journal(folder)
        self._services = services
        self._deploys = deploys
        self._deploying = False
        self._looked = 0.0
        self._written: dict[str, Digests] = {}
        self._changed: set[str] = set()
        self._parts: dict[Hashable, Changes] = {}
        self._noted = Event()
        self._lock = Lock()
        self._noting = Lock()

    def changes(self) -> Iterator[Change]:
        """Yield what earlier servers have written."""
        return self._journal.read()

    def begin(self, save: Callable[[], bool]) -> None:
        """Start to write, on top of what `save` saves."""
        self.compact(save)
        Thread(target=self._write_soon, name="journal", daemon=True).start()

    def compact(self, save: Callable[[], bool]) -> None:
        """Begin a new journal; the older ones go when `save` has saved everything."""
        with self._lock:
            older = self._journal.begin()
            saved = {service: self._look_through(service)[1] for service in self._services}
        if save():  # otherwise what was noted and not written yet is still to be written
            with self._lock:
                self._written = saved
            self.commit()  # what was noted before is in the older ones perhaps
            for path in older:
                path.unlink()

    def note(self, service: str) -> None:
        """Have a service looked through for changes."""
        with self._noting:
            self._changed.add(service)
        self._noted.set()

    def note_all(self) -> None:
        """Have all services looked through."""
        with self._noting:
            self._changed.update(self._services)
        self._noted.set()

    def note_part(self, name: Hashable, changes: Changes) -> None:
        """Have a part written that is known by a name; what `changes` returns is asked when it is written."""
        with self._noting:
            self._parts[name] = changes
        self._noted.set()

    def commit(self) -> None:
        """Write everything noted so far; returns when it would outlive this process."""
        with self._lock:  # what another thread writes must be written, too
            self._watch_deployments()
            if not self._noted.is_set():
                return
            self._noted.clear()
            with self._noting:
                services, self._changed = self._changed, set()
                parts, self._parts = self._parts, {}
            try:
                batch = [encoded(change) for changes in parts.values() for change in changes()]
                looked_through = {service: self._look_through(service) for service in services}
                for lines, _ in looked_through.values():
                    batch += lines
                if batch:
                    self._journal.append(batch)
                self._written |= {service: entries for service, (_, entries) in looked_through.items()}
            except BaseException:
                with self._noting:
                    self._changed |= services
                    self._parts = parts | self._parts
                self._noted.set()
                raise

    def _watch_deployments(self) -> None:
        """Stacks are deployed behind requests: look now and then, and before anybody is told that one is complete."""
        deploys = self._deploys()
        if deploys and monotonic() - self._looked < _SECONDS_BETWEEN_LOOKS:
            self._deploying = True
        elif deploys or self._deploying:
            self._deploying = deploys
            self._looked = monotonic()
            self.note_all()

    def _look_through(self, service: str) -> tuple[list[str], Digests]:
        """Return the entries of a service that are not as they were written last, and what identifies all of them."""
        state = self._services[service]()
        before = self._written.get(service, {})
        now: Digests = {}
        lines = []
        for store, key, value in _entries(state):
            line = encoded([service, store, key, "", value])
            digest = now[store, key] = blake2b(line.encode(), digest_size=12).digest()
            if before.get((store, key)) != digest:
                lines.append(line)
        lines += [encoded([service, store, key, ""]) for store, key in before.keys() - now.keys() if key]
        return lines, now

    def _write_soon(self) -> None:
        while True:
            self._noted.wait(_SECONDS_BETWEEN_LOOKS if self._deploying else None)
            sleep(_SOON)
            try:
                self.commit()
            except Exception:
                log.exception("The journal is not written")
                sleep(1)


def _entries(state: State) -> Iterator[tuple[str, str, Any]]:
    for name, store in state.items():
        if isinstance(store, AccountScopedDict | AccountRegionScopedDict):
            for key, value in list(store._data.items()):
                yield name, repr(key), value
        else:
            yield name, "", store
