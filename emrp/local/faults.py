"""Faults on purpose, for tests: what calls of functions and events do on a server that was started with `--faults`.

`POST /_faults {"seed": 1, "calls": [...], "events": [...]}` replaces all faults, with the fields of `CallFault` and
`EventFault`; `GET /_faults` tells how often each has struck. Only calls that functions make are disturbed, never
those of a test that looks. Which of the calls that a fault is for it strikes follows from the seed alone.
"""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count
from threading import Lock, Timer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs
from weakref import WeakValueDictionary

from ministack.core import iam_actions, lambda_runtime, router
from ministack.services import eventbridge

from emrp.local.emr_serverless import protocol
from emrp.local.emr_serverless.errors import ApiError
from emrp.local.patches.anchors import edit, replace

PATH = "/_faults"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

_APP_ID = re.compile(r"\bapp/(\S+)")
_SPAWN = "    self._proc = subprocess.Popen(\n        [binary, worker_path],\n"

_workers: WeakValueDictionary[str, lambda_runtime.Worker] = WeakValueDictionary()
_worker_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """Passes over the first `skip` that it is for, then strikes at most `times`, each with a probability."""

    probability: float = 1.0
    skip: int = 0
    times: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CallFault(_Fault):
    """What a call does: `kill` ends the function that makes it; with `after`, once the call has taken effect.

    `operation` (as in "dynamodb:UpdateItem") and `function` are patterns.
    """

    effect: Literal["throttle", "error", "kill", "delay"]
    operation: str = "*"
    function: str = "*"
    after: bool = False


@dataclass(frozen=True, kw_only=True)
class EventFault(_Fault):
    """What becomes of an event; `shuffle` delays it by any time up to `seconds`. The others are patterns.

    Without any it is an event of EMR Serverless or of EMR on EC2.
    """

    effect: Literal["drop", "repeat", "delay", "shuffle"]
    source: str = "aws.emr*"
    detail_type: str = "*"
    state: str = "*"


class Faults:
    """The faults that are in force."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seed = 0
        self._calls: list[CallFault] = []
        self._events: list[EventFault] = []
        self._seen: dict[_Fault, int] = {}
        self._struck: dict[_Fault, int] = {}

    def replace(self, request: Mapping[str, Any]) -> None:
        """Put other faults in force."""
        calls = [CallFault(**fields) for fields in request.get("calls", [])]
        events = [EventFault(**fields) for fields in request.get("events", [])]
        with self._lock:
            self._seed, self._calls, self._events = int(request.get("seed", 0)), calls, events
            self._seen, self._struck = {}, {}

    def struck(self) -> dict[str, list[int]]:
        """Return how often each fault has struck."""
        with self._lock:
            lists: dict[str, Sequence[_Fault]] = {"calls": self._calls, "events": self._events}
            return {kind: [self._struck.get(fault, 0) for fault in faults] for kind, faults in lists.items()}

    def of_call(self, operation: str, function: str) -> CallFault | None:
        """Return the fault that strikes a call, if any."""
        for fault in self._calls:
            known = fnmatchcase(operation, fault.operation) and fnmatchcase(function, fault.function)
            if known and self._strikes(fault):
                return fault
        return None

    def of_event(self, event: Mapping[str, Any]) -> EventFault | None:
        """Return the fault that strikes an event, if any."""
        for fault in self._events:
            known = fnmatchcase(event["Source"], fault.source) and fnmatchcase(event["DetailType"], fault.detail_type)
            if known and fnmatchcase(_state_in(event), fault.state) and self._strikes(fault):
                return fault
        return None

    def seconds_of(self, fault: EventFault) -> float:
        """Return by how much a fault delays an event."""
        return fault.seconds * (self._chance(fault, "delay") if fault.effect == "shuffle" else 1.0)

    def _strikes(self, fault: _Fault) -> bool:
        with self._lock:
            number = self._seen[fault] = self._seen.get(fault, 0) + 1
            struck = self._struck.get(fault, 0)
            if number <= fault.skip or (fault.times is not None and struck >= fault.times):
                return False
            if self._chance(fault, str(number)) >= fault.probability:
                return False
            self._struck[fault] = struck + 1
            return True

    def _chance(self, fault: _Fault, purpose: str) -> float:
        text = f"{self._seed} {fault} {self._seen.get(fault)} {purpose}"
        return random.Random(text).random()  # noqa: S311 -- protects nothing


class _Call(NamedTuple):
    operation: str
    worker: lambda_runtime.Worker


class FaultyAws:
    """Stands before ministack's application and does to calls what the faults say."""

    def __init__(self, aws: AsgiApp, faults: Faults) -> None:
        self._aws = aws
        self._faults = faults

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._aws(scope, receive, send)
            return
        if scope["path"] == PATH:
            await self._configure(scope, receive, send)
            return
        worker = _caller(scope)
        if worker is None:
            await self._aws(scope, receive, send)
            return
        body = await _body(receive)
        call = _Call(_operation(scope, body), worker)
        fault = self._faults.of_call(call.operation, worker.func_name)
        if fault is None:
            await self._aws(scope, _again(body), send)
        elif fault.effect == "delay":
            await self._delay(scope, body, send, fault)
        else:
            if fault.after:
                await self._aws(scope, _again(body), _nowhere)
            await _fail(call, fault, send)

    async def _delay(self, scope: Message, body: bytes, send: Send, fault: CallFault) -> None:
        """Let a call wait before it takes effect, or its answer."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        if not fault.after:
            await asyncio.sleep(fault.seconds)
        await self._aws(scope, _again(body), keep)
        if fault.after:
            await asyncio.sleep(fault.seconds)
        for message in answer:
            await send(message)

    async def _configure(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self._faults.replace(json.loads(await _body(receive)))
        await _respond(send, 200, "application/json", json.dumps(self._faults.struck()))


def install(aws: AsgiApp) -> AsgiApp:
    """Make events and calls fail as they are told to; return the application to serve."""
    faults = Faults()
    edit(
        lambda_runtime,
        "Worker._spawn",
        (_SPAWN, '    spawn_env["AWS_SDK_UA_APP_ID"] = _number_worker(self)\n' + _SPAWN),
        _number_worker=_number_worker,
    )
    replace(eventbridge, "_dispatch_event", "d1bfe064f602", lambda dispatch: _faulty_dispatch(dispatch, faults))
    return FaultyAws(aws, faults)


def _number_worker(worker: lambda_runtime.Worker) -> str:
    """Return what a worker's clients are to call themselves in their requests."""
    number = f"worker-{next(_worker_numbers)}"
    _workers[number] = worker
    return number


def _faulty_dispatch(dispatch: Callable[..., None], faults: Faults) -> Callable[..., None]:
    def dispatch_event(event: dict[str, Any], view: object = None) -> None:
        fault = faults.of_event(event)
        if fault is None:
            dispatch(event, view)
        elif fault.effect == "repeat":
            dispatch(event, view)
            dispatch(event, view)
        elif fault.effect in {"delay", "shuffle"}:
            later = Timer(faults.seconds_of(fault), copy_context().run, (dispatch, event, view))
            later.daemon = True
            later.start()

    return dispatch_event


def _state_in(event: Mapping[str, Any]) -> str:
    detail = json.loads(event["Detail"]) if isinstance(event["Detail"], str) else event["Detail"]
    return str(detail.get("state") or detail.get("status") or "")


def _caller(scope: Message) -> lambda_runtime.Worker | None:
    agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
    found = _APP_ID.search(agent)
    return _workers.get(found[1]) if found else None


def _operation(scope: Message, body: bytes) -> str:
    """Return what a request asks for, as an IAM action says it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    method, path = scope["method"], scope["path"]
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    service = router.detect_service(method, path, headers, query)
    if service == "emr-serverless":
        try:
            return f"{service}:{protocol.parse(method, path, query, body)[0]}"
        except ApiError:
            return str(service)
    if service == "elasticmapreduce":  # of which ministack's IAM knows nothing here
        return f"{service}:{headers.get('x-amz-target', '').rpartition('.')[2]}"
    return str(iam_actions.extract_iam_action(service, method, path, headers, body, query) or service)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes) -> Receive:
    """Return what hands over a body that was read before."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return receive


async def _nowhere(_message: Message) -> None:
    """Take an answer that nobody gets."""


async def _fail(call: _Call, fault: CallFault, send: Send) -> None:
    if fault.effect == "kill" and (process := call.worker._proc) is not None:
        process.kill()
    code, status = ("ThrottlingException", 400) if fault.effect == "throttle" else ("InternalServerError", 500)
    message = f"A fault was injected into {call.operation}."
    if call.operation.startswith("s3:"):
        code, status = ("SlowDown", 503) if fault.effect == "throttle" else ("InternalError", 500)
        await _respond(
            send, status, "application/xml", f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    elif call.operation.startswith(("sns:", "cloudformation:")):
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        await _respond(send, status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>")
    else:
        await _respond(send, status, "application/json", json.dumps({"__type": code, "message": message}), code)


async def _respond(send: Send, status: int, content_type: str, text: str, error: str = "") -> None:
    body = text.encode()
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(b"x-amzn-errortype", error.encode())] if error else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
