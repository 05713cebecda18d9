"""Puts the journal between ministack's services and those who use them."""

import logging
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import persistence

from emrp.local.durability import interrupted, parts, stores
from emrp.local.durability.recorder import Recorder, State
from emrp.local.durability.replay import Replay
from emrp.local.durability.under_way import SERVICE, UnderWay
from emrp.local.patches.anchors import replace

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]
GetStates = Mapping[str, Callable[[], State | None]]
Headers = Mapping[str, str]
Query = Mapping[str, list[str]]

_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_LOOKS = re.compile(r"BatchGet|Describe|Filter|Get|Head|List|Lookup|Query|Scan|Simulate|Validate")
_NOTED_BY_PARTS = re.compile(
    r"(Put|Update|Delete)Item$|(BatchWrite|TransactWrite)Items?$|Publish|Put(Events|LogEvents|MetricData)$"
    r"|(Send|Receive|Delete|ChangeVisibilityOf|ChangeMessage)(Message|Visibility)(Batch)?$|PurgeQueue"
    r"|(Start|Stop)(Sync)?Execution$|SendTask"
)
_NOTE_THEMSELVES = frozenset({"emr_serverless", "sts"})

log = logging.getLogger(__name__)


def install(aws: AsgiApp, folder: Path) -> AsgiApp:
    """Have an application that answers when what it has done would outlive this process."""
    durability = _Durability(folder / "journal")
    durability.install()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_when_kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                durability.recorder.commit()
            elif message["type"] == "lifespan.startup.complete":
                durability.begin()
            await send(message)

        await aws(scope, receive, send_when_kept)

    return answer


class _Durability:
    """The journal of this server and what hangs on it."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder, stores.services(), _deploys)
        self._replay = Replay(self.recorder.changes())
        self._under_way = UnderWay(self.recorder)
        self._running: list[str] = []

    def install(self) -> None:
        """Note every change, and let ministack load what the journal says and save what ends the journal."""
        replace(app, "load_state", "1796603c91a1", self._with_journal)
        replace(app, "save_all", "ea253a04fd05", lambda _save_all: self._save_and_compact)
        replace(app, "_reset_all_state", "e7a4c161847d", self._forgetting)
        parts.install(self.recorder)
        self._under_way.install()
        for name, registered in app.SERVICE_REGISTRY.items():
            key = registered.get("state_key", registered["module"])
            if name in app.SERVICE_HANDLERS and key not in _NOTE_THEMSELVES:
                app.SERVICE_HANDLERS[name] = self._noting(key, app.SERVICE_HANDLERS[name])

    def begin(self) -> None:
        """Go on where the last server has ended, when everything is loaded."""
        interrupted.end_deployments()
        self.recorder.begin(self._go_on)

    def _go_on(self) -> bool:
        self._under_way.do_again(self._replay.onto(SERVICE, {}, {}))
        interrupted.end_executions(self._running)
        return _save(app._build_persistence_save_dict())

    def _with_journal(self, load: Callable[[str], State | None]) -> Callable[[str], State | None]:
        def load_state(service: str) -> State | None:
            state = self._replay.onto(service, load(service) or {}, stores.joins(service))
            if service == "stepfunctions":
                self._running = interrupted.running_executions(state)
            return state or None

        return load_state

    def _save_and_compact(self, services: GetStates) -> None:
        def save() -> bool:
            self._under_way.keep()
            return _save(services)

        self.recorder.compact(save)

    def _forgetting(self, reset: Callable[[], None]) -> Callable[[], None]:
        def reset_all_state() -> None:
            reset()
            self._save_and_compact(app._build_persistence_save_dict())

        return reset_all_state

    def _noting(self, service: str, handler: Handler) -> Handler:
        note = self.recorder.note_all if service == "cloudformation" else partial(self.recorder.note, service)

        async def handle_and_note(method: str, path: str, headers: Headers, body: bytes, query: Query) -> object:
            try:
                return await handler(method, path, headers, body, query)
            finally:
                if _may_change(service, method, path, _action(headers, body, query), body):
                    note()

        return handle_and_note


def _action(headers: Headers, body: bytes, query: Query) -> str:
    """Return the name of an action; empty when the method and the path say what is asked for."""
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if found := _ACTION.search(body[:4096]):
        return found[1].decode()
    return (query.get("Action") or [""])[0]


def _may_change(service: str, method: str, path: str, action: str, body: bytes) -> bool:
    """Tell whether a request may change what is not noted part by part."""
    if service == "s3":  # objects are files
        return method not in {"GET", "HEAD"} and "/" not in path.strip("/")
    if service == "lambda" and path.endswith("/invocations"):
        return False
    if not action:
        return method not in {"GET", "HEAD"}
    if _NOTED_BY_PARTS.match(action):
        return b".fifo" in body  # numbers and duplicates are the queue's
    return not _LOOKS.match(action)


def _save(services: GetStates) -> bool:
    """Save the state of all services as ministack does; False when something is not saved."""
    saved = [_is_saved(name, get_state) for name, get_state in services.items()]  # also what follows a failure
    return all(saved)


def _is_saved(name: str, get_state: Callable[[], State | None]) -> bool:
    try:
        state = get_state()
    except Exception:
        log.exception("The state of %s is not saved", name)
        return False
    if state is None:
        return True
    path = Path(persistence.STATE_DIR, f"{name}.json")
    before = path.stat().st_ino if path.exists() else None
    persistence.save_state(name, state)  # it logs what goes wrong, and leaves the file
    return path.exists() and path.stat().st_ino != before


def _deploys() -> bool:
    """Tell whether a stack is being deployed."""
    cloudformation: Any = sys.modules.get("ministack.services.cloudformation")
    stacks = cloudformation._stacks.all_values() if cloudformation else []
    return any(stack["StackStatus"].endswith("_IN_PROGRESS") for stack in stacks)
