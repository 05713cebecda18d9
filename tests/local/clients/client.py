"""A client of EMR Serverless as its users have it: installed from PyPI, told nothing but endpoint and credentials.

Each gets an environment of its own with the versions that requirements-clients pins; it is kept in .local/clients.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Timer
from typing import IO

PROJECT = Path(__file__).parents[3]
_UV = PROJECT / ".venv-sam" / "bin" / "uv"
_DEADLINE_SECONDS = 300


@dataclass(frozen=True)
class Client:
    """An installed client, the environment variables that it sees, and the folder that it works in."""

    programs: Path
    environment: dict[str, str]
    folder: Path

    def run(self, program: str, *arguments: str, exit_code: int = 0) -> str:
        """Run a program of the client to its end; returns what it wrote to standard output."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout if exit_code == 0 else done.stdout + done.stderr

    @contextmanager
    def started(self, program: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
        """Start a program of the client; gives the process and all that it writes."""
        command = [str(self.programs / program), *arguments]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            deadline = Timer(_DEADLINE_SECONDS, process.kill)
            deadline.start()
            try:
                yield process, process.stdout
            finally:
                deadline.cancel()
                process.kill()


def installed(name: str, environment: dict[str, str], folder: Path) -> Client:
    """Return a client; it is installed when it is missing or when its pinned versions have changed."""
    requirements = PROJECT / "requirements-clients" / f"{name}.txt"
    home = PROJECT / ".local" / "clients" / name
    marker = home / "installed"
    expected = sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not marker.exists() or marker.read_text() != expected:
        _uv("venv", "--clear", "--python", sys.executable, str(home))
        _uv("pip", "install", "--require-hashes", "--python", str(home), "-r", str(requirements))
        marker.write_text(expected)
    programs = home / "bin"
    own = {"HOME": str(folder), "PATH": f"{programs}{os.pathsep}{environment['PATH']}"}
    return Client(programs, environment | own, folder)


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [str(_UV), "--quiet", *arguments], capture_output=True, text=True, timeout=_DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
