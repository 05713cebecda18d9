"""The server process of the local AWS: ministack, our services and patches, behind the guard.

Started by `emrp.local.lifecycle`, which binds the socket and hands it over, so there is no race for the port.
The process ends when it is told to (SIGTERM) or when the program that started it is gone.
"""

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any, NoReturn

from hypercorn.asyncio import serve
from hypercorn.config import Config

from emrp.local import guard
from emrp.local.inbox import Inbox, as_page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SHUTDOWN_SECONDS = 8.0  # an orderly stop that takes longer ends in SIGKILL

log = logging.getLogger("emrp.local")


class LocalAwsApp:
    """ministack's application behind the guard, plus this package's own pages below `/_emrp/`."""

    def __init__(self, aws: AsgiApp, inbox: Inbox, description: dict[str, Any]) -> None:
        self._aws = aws
        self._inbox = inbox
        self._description = description

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on to AWS."""
        if scope["type"] == "lifespan":
            await self._aws(scope, receive, send)
        elif refused := guard.refusal(scope["headers"]):
            await _refuse(scope, send, refused)
        elif scope["type"] == "http" and scope["path"].startswith("/_emrp/"):
            await self._answer(scope, send)
        else:
            await self._aws(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        accept = dict(scope["headers"]).get(b"accept", b"")
        if scope["path"] == "/_emrp/health":
            await _respond(send, 200, "application/json", json.dumps(self._description))
        elif scope["path"] != "/_emrp/inbox":
            await _respond(send, 404, "text/plain", f"There is nothing at {scope['path']}.\n")
        elif b"text/html" in accept:
            await _respond(send, 200, "text/html", as_page(self._inbox.emails()))
        else:
            emails = [email.as_json() for email in self._inbox.emails()]
            await _respond(send, 200, "application/json", json.dumps(emails))


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    else:
        await _respond(send, 403, "text/plain", reason + "\n")


async def _respond(send: Send, status: int, content_type: str, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", f"{content_type}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until told to stop, then leave nothing behind."""
    arguments = _parse_arguments()
    data_dir: Path = arguments.data_dir
    listener = socket.socket(fileno=arguments.socket_fd)
    port: int = listener.getsockname()[1]
    _configure_ministack(port, data_dir, arguments)
    try:
        asyncio.run(_serve(listener, port, arguments))
    except Exception:
        log.exception("The server has failed")
        _end_process_group(1)  # what is left tells why
    _remove_files(arguments)
    _end_process_group(0)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket-fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--persistent", action="store_true", help="keep the data folder for the next start")
    parser.add_argument("--enforce-iam", action="store_true", help="roles may do only what their policies allow")
    parser.add_argument("--faults", action="store_true", help="let tests make calls and events fail")
    parser.add_argument("--parent-fd", type=int, help="a pipe that closes when the starting program ends")
    return parser.parse_args()


def _configure_ministack(port: int, data_dir: Path, arguments: argparse.Namespace) -> None:
    """Put in place the settings that ministack reads from the environment while it is imported."""
    temporary = data_dir / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        MINISTACK_HOST="localhost",
        AUTH=str(arguments.enforce_iam).lower(),
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        LAMBDA_ACCOUNT_CONCURRENCY="0",  # invocations wait their turn instead of being throttled
        DOCKER_HOST=f"unix://{temporary}/no-docker",  # else it reaps containers of others at start-up
        TMPDIR=str(temporary),  # ministack leaks temporary folders: they go when this one goes
        PERSIST_STATE=str(int(arguments.persistent)),
        STATE_DIR=str(data_dir / "state"),
        S3_PERSIST=str(int(arguments.persistent)),
        S3_DATA_DIR=str(data_dir / "s3"),
    )


async def _serve(listener: socket.socket, port: int, arguments: argparse.Namespace) -> None:
    data_dir: Path = arguments.data_dir
    inbox = Inbox(data_dir / "inbox.jsonl")
    app = LocalAwsApp(
        _assemble(inbox, enforce_iam=arguments.enforce_iam, inject_faults=arguments.faults),
        inbox,
        {
            "pid": os.getpid(),
            "port": port,
            "data_dir": str(data_dir),
            "persistent": arguments.persistent,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = 75
    stop = _stop_signal(arguments.parent_fd)

    async def until_stopped() -> None:
        await stop.wait()
        watchdog = Timer(SHUTDOWN_SECONDS, _kill_process_group, (arguments,))
        watchdog.daemon = True
        watchdog.start()
        await _end_services()

    await serve(app, config, shutdown_trigger=until_stopped)


def _assemble(inbox: Inbox, *, enforce_iam: bool, inject_faults: bool) -> AsgiApp:
    """Import ministack (its settings are in place by now) and put our parts into it."""
    import ministack.app  # noqa: PLC0415

    from emrp.local import emr_on_ec2, emr_serverless, iam, patches  # noqa: PLC0415

    patches.install(inbox)
    if enforce_iam:
        iam.install()
    emr_serverless.install()
    emr_on_ec2.install()
    app: AsgiApp = ministack.app.app
    if os.environ["PERSIST_STATE"] == "1":
        from emrp.local import durability  # noqa: PLC0415

        app = durability.install(app, Path(os.environ["STATE_DIR"]))
    if inject_faults:
        from emrp.local import faults  # noqa: PLC0415

        app = faults.install(app)
    return app


async def _end_services() -> None:
    """Stop what our services run, before the server saves their state."""
    from emrp.local import emr_on_ec2, emr_serverless  # noqa: PLC0415

    for service in (emr_serverless, emr_on_ec2):
        try:
            await service.shutdown()
        except Exception:
            log.exception("%s did not shut down cleanly", service.__name__)


def _stop_signal(parent_fd: int | None) -> asyncio.Event:
    """Return an event that is set by SIGTERM, SIGINT or the end of the program that started this one."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if parent_fd is not None:

        def parent_is_gone() -> None:
            loop.remove_reader(parent_fd)
            stop.set()

        loop.add_reader(parent_fd, parent_is_gone)
    return stop


def _remove_files(arguments: argparse.Namespace) -> None:
    data_dir: Path = arguments.data_dir
    shutil.rmtree(data_dir / "tmp" if arguments.persistent else data_dir, ignore_errors=True)


def _kill_process_group(arguments: argparse.Namespace) -> None:
    _remove_files(arguments)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_process_group(exit_code: int) -> NoReturn:
    """End this process with the Lambda workers and whatever else it started in its group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    logging.shutdown()
    os._exit(exit_code)  # ministack's worker threads may still wait for an answer that nobody needs


if __name__ == "__main__":
    main()
