"""First step of every `make` target: the two environments of the project, from PyPI and nothing else.

`.venv-sam` holds uv and the AWS SAM CLI, which pins its libraries so strictly that it needs an environment of its
own; `.venv` is the project as uv.lock describes it. Only the standard library is used, in the syntax of Python 3.8,
so that an old interpreter says what it lacks instead of failing on a line of code.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parent
SUPPORTED = ("3.13", "3.12", "3.11")
UV = "uv==0.13.9"
FREE_GIGABYTES = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130


_DISK_FULL = re.compile(r"No space left on device|os error 28\b|Disk quota exceeded")
_UNREACHABLE = re.compile(
    r"Failed to (?:fetch|download)|error sending request|NewConnectionError|Failed to establish|"
    r"Max retries exceeded|Temporary failure in name resolution|timed out|from versions: none"
)


class BootstrapError(Exception):
    """One sentence: what is missing and what to do about it."""


class Progress:
    """What is being done and for how long: a spinner on a terminal, plain lines elsewhere."""

    def __init__(self, live: bool) -> None:
        encoding = (sys.stdout.encoding or "").lower()
        self._frames, self._done = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "✓") if encoding.startswith("utf") else ("|/-\\", "+")
        self._live = live
        self.detail = ""

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` while the block runs, and how long it took once it succeeded."""
        self.detail = ""
        started, finished = time.monotonic(), threading.Event()
        spinner = threading.Thread(target=self._spin, args=(title, started, finished), daemon=True)
        if self._live:
            spinner.start()
        else:
            print(f"{title} ...", flush=True)
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            finished.set()
            if self._live:
                spinner.join()
                self._rewrite("")
            if succeeded:
                print(f"{self._done} {title}  {time.monotonic() - started:.1f} s", flush=True)

    def _spin(self, title: str, started: float, finished: threading.Event) -> None:
        tick = 0
        while not finished.wait(0.1):
            tick += 1
            seconds = int(time.monotonic() - started)
            self._rewrite(f"{self._frames[tick % len(self._frames)]} {title}  {seconds} s  {self.detail}")

    @staticmethod
    def _rewrite(text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{text[:width]}", end="", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environments, or return at once when they already fit the lock files."""
    parser = argparse.ArgumentParser(description="Set up .venv and .venv-sam for EMR Pipelines.")
    parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        require_supported_python()
        set_up(PROJECT, Progress(live=sys.stdout.isatty() and os.environ.get("TERM") != "dumb"))
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ENVIRONMENT
    except KeyboardInterrupt:
        print("Interrupted; run the same command again to continue.", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def version_name() -> str:
    """Return the version of this interpreter as commands and packages spell it."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def require_supported_python() -> None:
    """Continue under a supported Python: this one, else the newest of those on PATH (which replaces this process)."""
    if version_name() in SUPPORTED:
        return
    for version in SUPPORTED:
        candidate = shutil.which(f"python{version}")
        # A version manager's shim may exist for a version that is not active, so it is asked to run.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            os.execv(candidate, [candidate, *sys.argv])  # noqa: S606 - a program and its arguments, no shell
    raise BootstrapError(
        f"Python 3.11, 3.12 or 3.13 is needed and this is {sys.version.split()[0]} ({sys.executable}): "
        "install one of them, or name it with `make run PYTHON=/path/to/python3.12`."
    )


def set_up(project: Path, progress: Progress) -> None:
    """Bring both environments of `project` to what the lock files say."""
    environment, tools = project / ".venv", project / ".venv-sam"
    stamp, wanted = environment / ".bootstrap-stamp", fingerprint(project)
    # `sam build` takes its interpreter from the tools' environment, so its version has to be this one.
    python = tools / "bin" / f"python{version_name()}"
    complete = all(file.exists() for file in (environment / "bin" / "emrp", tools / "bin" / "sam", python))
    if complete and stamp.is_file() and stamp.read_text() == wanted:
        return
    require_venv_module()
    require_disk_space(project)
    log = project / ".local" / "bootstrap.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    stamp.unlink(missing_ok=True)
    uv = str(tools / "bin" / "uv")
    if not python.exists() or not usable(uv):
        install_uv(tools, progress, log)
    with progress.step("Installing EMR Pipelines and what it needs (PySpark is 300 MB)"):
        run([uv, "sync", "--frozen", "--all-extras", "--python", sys.executable], progress, log, project)
    with progress.step("Installing the AWS SAM CLI"):
        run([uv, "pip", "install", "--require-hashes", "--python", str(python), "-r", "requirements-sam.txt"],
            progress, log, project)  # fmt: skip
    stamp.write_text(wanted)


def fingerprint(project: Path) -> str:
    """Digest of everything that decides what the environments contain."""
    digest = hashlib.sha256(f"{UV} {sys.version} {project}".encode())
    for name in ("pyproject.toml", "uv.lock", "requirements-sam.txt"):
        digest.update((project / name).read_bytes())
    return digest.hexdigest()


def require_venv_module() -> None:
    """Refuse a Python without the parts that make environments, as some distributions ship it."""
    try:
        import ensurepip  # noqa: F401, PLC0415 - only its presence matters
        import venv  # noqa: F401, PLC0415
    except ImportError:
        version = version_name()
        raise BootstrapError(
            f"This Python {version} cannot make virtual environments: install its venv module "
            f"(on Debian and Ubuntu: sudo apt install python{version}-venv), then run the same command again."
        ) from None


def require_disk_space(project: Path) -> None:
    """Refuse to start an installation that the disk cannot hold."""
    free = shutil.disk_usage(str(project)).free / 1e9
    if free < FREE_GIGABYTES:
        raise BootstrapError(
            f"About {FREE_GIGABYTES} GB of disk space are needed in {project} and {free:.1f} GB are free: "
            "make room, then run the same command again."
        )


def usable(uv: str) -> bool:
    """Tell whether `uv` is there, runs and has the pinned version."""
    try:
        output = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return False
    return output.split()[1:2] == [UV.partition("==")[2]]


def install_uv(tools: Path, progress: Progress, log: Path) -> None:
    """Make `.venv-sam` with uv in it; a half-made one is removed."""
    try:
        with progress.step("Creating the tools' environment"):
            run([sys.executable, "-m", "venv", "--clear", str(tools)], progress, log, tools.parent)
            run([str(tools / "bin" / "python"), "-m", "pip", "install", "--retries", "2", "--timeout", "20", UV],
                progress, log, tools.parent)  # fmt: skip
    except BaseException:
        shutil.rmtree(str(tools), ignore_errors=True)
        raise


def run(command: Sequence[str], progress: Progress, log: Path, folder: Path) -> None:
    """Run one installer, show its latest line, keep its output in `log`, and end it when we are interrupted."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
    }
    output = []
    with log.open("a", encoding="utf-8") as file, subprocess.Popen(
        list(command), cwd=str(folder), env=environment, text=True, encoding="utf-8", errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                file.write(line)
                output.append(line)
                progress.detail = line.strip()
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise BootstrapError(explain("".join(output), Path(command[0]).name, log))


def explain(output: str, program: str, log: Path) -> str:
    """Say in one sentence why an installer failed."""
    if _DISK_FULL.search(output):
        return f"The disk is full: free about {FREE_GIGABYTES} GB, then run the same command again."
    if _UNREACHABLE.search(output):
        found = re.search(r"https?://(?:[^/@\s]*@)?([^/\s)>'\"]+)", output)
        return (
            f"The package index {found.group(1) if found else 'PyPI'} cannot be reached: check the network "
            "and the proxy settings (HTTPS_PROXY, PIP_INDEX_URL), then run the same command again."
        )
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
    return f"{program} failed ({last}): the whole output is in {log}."


if __name__ == "__main__":
    sys.exit(main())
