"""Puts the changes of a journal on top of the state that ministack has saved, before ministack takes it."""

from ast import literal_eval
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

from emrp.local.durability.journal import Change

State = dict[str, Any]
Parts = dict[str, Any]
Join = Callable[[Any, Any, Parts], Any]
"""Makes an entry of its rest, of the entry that was saved (or None) and of the parts that have changed since."""

GONE = object()
_AS_SAVED = object()


@dataclass
class _Entry:
    rest: Any = _AS_SAVED
    parts: Parts = field(default_factory=dict)
    is_new: bool = False  # what was saved under this key was something else


class Replay:
    """What a journal says of each service."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._entries: dict[str, dict[str, dict[str, _Entry]]] = defaultdict(lambda: defaultdict(dict))
        for service, store, key, part, *value in changes:
            self._take(service, store, key, part, value)

    def _take(self, service: str, store: str, key: str, part: str, value: list[Any]) -> None:
        entries = self._entries[service][store]
        if part:
            entries.setdefault(key, _Entry()).parts[part] = value[0] if value else GONE
        elif value:
            entries.setdefault(key, _Entry()).rest = value[0]
        else:
            entries[key] = _Entry(GONE, is_new=True)

    def onto(self, service: str, state: State, joins: dict[str, Join]) -> State:
        """Return a service's state with what has changed; `joins` says how stores with parts put them together."""
        for name, entries in self._entries[service].items():
            join = joins.get(name, _rest_only)
            for key, entry in entries.items():
                self._put(state, name, key, entry, join)
        return state

    @staticmethod
    def _put(state: State, name: str, key: str, entry: _Entry, join: Join) -> None:
        if not key:
            state[name] = entry.rest
            return
        scoped: tuple[Any, ...] = literal_eval(key)
        store = state.get(name)
        if not isinstance(store, AccountScopedDict | AccountRegionScopedDict):
            store = state[name] = AccountScopedDict() if len(scoped) == 2 else AccountRegionScopedDict()  # noqa: PLR2004
        saved = None if entry.is_new else store._data.get(scoped)
        rest = saved if entry.rest is _AS_SAVED else entry.rest
        if rest is GONE or rest is None:
            store._data.pop(scoped, None)
        else:
            store._data[scoped] = join(rest, saved, entry.parts)


def _rest_only(rest: Any, _saved: Any, _parts: Parts) -> Any:  # noqa: ANN401 -- whatever ministack keeps
    return rest
