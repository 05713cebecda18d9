"""Starting, finding and stopping the local AWS.

`start()` binds the port, starts `emrp.local.server` as the leader of a process group of its own and waits
until it answers. Unless it is detached the server watches a pipe from this process, so it also ends when this
process is killed. What runs is asked of the server itself (`/_emrp/health`): no pid file can go stale.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from emrp.local import DEFAULT_PORT, REGION

START_SECONDS = 90.0  # a few are enough, unless the machine is busy with something else
STOP_SECONDS = 10.0  # more than the server's own deadline for an orderly stop
_PROJECT_DIR = Path(".local")
_LOCK = "lock"
_LOOPBACK = "127.0.0.1"


class LocalAwsError(Exception):
    """The local AWS cannot be started, reached or stopped; the message says why in one sentence."""


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS. As a context manager it is stopped at the end."""

    port: int
    pid: int
    data_dir: Path
    persistent: bool
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)
    _lifeline: int | None = field(default=None, repr=False, compare=False)

    @property
    def endpoint_url(self) -> str:
        """What AWS_ENDPOINT_URL has to be for clients."""
        return endpoint_url(self.port)

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data_dir / "server.log"

    def environment(self) -> dict[str, str]:
        """Return the environment in which any AWS client (SDK, AWS CLI, SAM CLI) uses this instance only."""
        return client_environment(self.endpoint_url)

    def inbox(self) -> list[dict[str, str]]:
        """Return the e-mails that SNS delivered, oldest first."""
        emails: list[dict[str, str]] = json.loads(_get(f"{self.endpoint_url}/_emrp/inbox"))
        return emails

    def stop(self) -> None:
        """End the server and everything it started, and remove what it does not keep."""
        self.end()
        if not self.persistent:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def end(self) -> None:
        """End the server and everything it started, orderly if possible."""
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has ended by itself, but may have left something
        except PermissionError as error:
            raise LocalAwsError(f"The local AWS on port {self.port} belongs to another user.") from error
        self._wait_for_end()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        if self._lifeline is not None:
            with contextlib.suppress(OSError):
                os.close(self._lifeline)

    def wait(self) -> None:
        """Return when the server has ended."""
        if self._process is None:
            raise LocalAwsError("Only the process that started the local AWS can wait for it.")
        self._process.wait()

    def _wait_for_end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            return
        deadline = time.monotonic() + STOP_SECONDS
        while _is_locked(self.data_dir) and time.monotonic() < deadline:
            time.sleep(0.05)  # the end of a process that is not our child cannot be waited for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def start(
    port: int = DEFAULT_PORT,
    data_dir: Path | None = None,
    *,
    detach: bool = False,
    enforce_iam: bool = False,
    faults: bool = False,
) -> LocalAws:
    """Start the local AWS and wait until it answers.

    Port 0 takes a free one. With `data_dir` the state is kept there for the next start; without, it lives in
    `.local/PORT` of the current folder until the end. A detached server outlives this process. With
    `enforce_iam` functions, state machines and jobs may do what their roles allow; the keys `test` may do all. With
    `faults` tests can make calls and events fail (`emrp.local.faults`).
    """
    if importlib.util.find_spec("ministack") is None:
        raise LocalAwsError("The local AWS is not installed: pip install 'emr-pipelines[local]'.")
    with _bind(port) as listener:
        port = listener.getsockname()[1]
        home = (data_dir or _PROJECT_DIR / str(port)).resolve()
        with _claim(home, persistent=data_dir is not None) as lock:
            options = ["--persistent"] * (data_dir is not None) + ["--enforce-iam"] * enforce_iam
            options += ["--faults"] * faults
            process, lifeline = _spawn(listener, lock, home, options, detach=detach)
    local_aws = LocalAws(port, process.pid, home, data_dir is not None, process, lifeline)
    try:
        _wait_until_healthy(local_aws, process)
    except LocalAwsError:  # which names the log
        local_aws.end()
        raise
    except BaseException:
        local_aws.stop()
        raise
    return local_aws


def find(port: int = DEFAULT_PORT) -> LocalAws | None:
    """Find the local AWS that runs on a port of this machine; None when nothing listens there."""
    try:
        health: dict[str, Any] = json.loads(_get(f"{endpoint_url(port)}/_emrp/health"))
        return LocalAws(health["port"], health["pid"], Path(health["data_dir"]), health["persistent"])
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise _foreign(port) from error
    except ConnectionError:  # it is just going down
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _foreign(port) from error


def endpoint_url(port: int) -> str:
    """Return the address of the local AWS of a port."""
    return f"http://{_LOOPBACK}:{port}"


def client_environment(url: str) -> dict[str, str]:
    """Return the environment of this process with its AWS settings replaced by those for an endpoint."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return inherited | {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), _LOOPBACK, "localhost"])),
    }


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise LocalAwsError(_port_problem(port, error)) from error
    return listener


def _port_problem(port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"Port {port} may not be used by this user: choose one above 1023 with --port."
    owner = "another program"
    with contextlib.suppress(LocalAwsError):
        if running := find(port):
            owner = f"a local AWS (process {running.pid}; `emrp local down --port {port}` stops it)"
    return f"Port {port} is already used by {owner}: free it or choose another port with --port."


def _claim(home: Path, *, persistent: bool) -> IO[bytes]:
    """Make the data folder and lock it; the server inherits the lock and holds it as long as it lives."""
    try:
        if not persistent:
            shutil.rmtree(home, ignore_errors=True)  # of an earlier server on this port that was killed
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / _LOCK).open("ab")
    except OSError as error:
        raise LocalAwsError(f"The data folder {home} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise LocalAwsError(f"The data folder {home} is already used by another local AWS.") from error
    return lock


def _is_locked(home: Path) -> bool:
    try:
        with (home / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _spawn(
    listener: socket.socket, lock: IO[bytes], home: Path, options: Sequence[str], *, detach: bool
) -> tuple[subprocess.Popen[bytes], int | None]:
    command = [sys.executable, "-P", "-m", "emrp.local.server"]
    command += ["--socket-fd", str(listener.fileno()), "--data-dir", str(home), *options]
    inherited = [listener.fileno(), lock.fileno()]
    reader, lifeline = None, None
    if not detach:
        reader, lifeline = os.pipe()
        command += ["--parent-fd", str(reader)]
        inherited.append(reader)
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=client_environment(endpoint_url(listener.getsockname()[1])),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
        )
    if reader is not None:
        os.close(reader)
    return process, lifeline


def _wait_until_healthy(local_aws: LocalAws, process: subprocess.Popen[bytes]) -> None:
    """Ask once: the socket listens already, so a request waits as long as the server takes to start."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            _get(f"{local_aws.endpoint_url}/_emrp/health", timeout=START_SECONDS)
        except OSError:
            if process.poll() is not None:
                raise LocalAwsError(_reason_of_end(local_aws.log)) from None
            time.sleep(0.05)
        else:
            return
    raise LocalAwsError(f"The local AWS was not ready within {START_SECONDS:.0f} s; its log is {local_aws.log}.")


def _reason_of_end(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = lines[-1].removesuffix(".") if lines else "it wrote nothing"
    return f"The local AWS did not start: {why}. Its log is {log}."


def _get(url: str, timeout: float = 5.0) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=timeout) as response:
        body: bytes = response.read()
        return body


def _foreign(port: int) -> LocalAwsError:
    return LocalAwsError(f"Port {port} is used by a program that does not answer as the local AWS.")
