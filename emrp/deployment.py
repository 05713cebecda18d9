"""`sam build` and `sam deploy`, run as anybody would run them, with their output kept in a file.

What the user's samconfig.toml says stays in force: parameters given on SAM's command line would replace all of its
`parameter_overrides`, so they are read from there and passed on.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from emr_pipelines.hints import did_you_mean
from rich.markup import escape
from rich.status import Status

from emrp.errors import CommandError, UsageError
from emrp.progress import Stages
from emrp.project import Project, this_architecture, this_runtime

_SHOWN_LINES = 15


@dataclass(frozen=True)
class Deployment:
    """How a stack is deployed: with which environment of samconfig.toml and which template parameters."""

    project: Project
    stack: str
    local: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_env(self) -> str:
        """The environment of samconfig.toml."""
        return "local" if self.local else "default"

    def check_parameters(self) -> None:
        """Raise UsageError when the template has no parameter of a given name; SAM passes over such a parameter."""
        text = (self.project.folder / "template.yaml").read_text(encoding="utf-8")
        template: Any = yaml.compose(text, yaml.SafeLoader)  # its tags, like !Sub, stay unread
        sections = {key.value: section for key, section in template.value}
        known = [key.value for key, _ in sections["Parameters"].value]
        for name in self.all_parameters():
            if name not in known:
                raise UsageError(f'The template has no parameter "{name}"; {did_you_mean(name, known, "it has")}')

    def run(self, stages: Stages) -> None:
        """Build and deploy; raises CommandError with the end of SAM's output."""
        overrides = [
            "--parameter-overrides",
            *(f"{name}={json.dumps(value)}" for name, value in self.all_parameters().items()),
        ]
        names = ["--stack-name", self.stack, "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
        with self._alone():
            with stages.stage("Build the functions (sam build)") as status:
                self._sam(["build", "--cached", "--parallel", *overrides], status)
            with stages.stage("Deploy the stack (sam deploy)") as status:
                self._sam(["deploy", *names, *overrides], status)

    def delete(self) -> None:
        """Delete the stack and what SAM uploaded for it."""
        self._sam(["delete", "--stack-name", self.stack, "--no-prompts"], None)

    def all_parameters(self) -> dict[str, str]:
        """Return the template parameters: those of samconfig.toml, this machine's and the given ones."""
        configured = configured_parameters(self.project.folder / "samconfig.toml", self.config_env)
        if self.local:  # here the functions run on this machine, so it decides
            machine = {"PythonRuntime": this_runtime(), "Architecture": this_architecture()}
            return {**configured, **machine, **self.parameters}
        return {"PythonRuntime": this_runtime(), **configured, **self.parameters}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another deployment from this folder: a build replaces what a deployment uploads."""
        self._logs.mkdir(exist_ok=True)
        with (self._logs / "sam.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _logs(self) -> Path:
        return self.project.folder / ".local"

    def _sam(self, arguments: Sequence[str], status: Status | None) -> None:
        command = [self.project.sam, arguments[0], "--config-env", self.config_env, *arguments[1:]]
        log = self._logs / f"sam-{arguments[0]}.log"
        title = status.status if status else ""
        with (
            TemporaryDirectory(prefix="emrp-sam-") as temporary,
            log.open("w", encoding="utf-8") as file,
            subprocess.Popen(
                command,
                cwd=self.project.folder,
                env=self._environment(temporary),
                text=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # so that SAM's own children (pip) end with it
            ) as process,
        ):
            try:
                for line in process.stdout or ():
                    file.write(line)
                    if status and any(character.isalpha() for character in line):
                        status.update(f"{title}  [dim]{escape(line.strip()[:80])}[/dim]")
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
        if process.returncode:
            raise CommandError(_failure(shlex.join(["sam", *command[1:2]]), log))

    def _environment(self, temporary: str) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(self.project.tools), os.environ.get("PATH", os.defpath)]),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5" if self.local else "3",
            "TMPDIR": temporary,  # SAM leaves folders behind
            "PYTHONUNBUFFERED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }


def configured_parameters(samconfig: Path, config_env: str) -> dict[str, str]:
    """Return the parameter overrides that samconfig.toml has for `sam deploy`, in either of SAM's notations."""
    if not samconfig.is_file():
        return {}
    try:
        config = tomllib.loads(samconfig.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{samconfig} is not valid TOML: {error}.") from error
    overrides = config.get(config_env, {}).get("deploy", {}).get("parameters", {}).get("parameter_overrides", [])
    words = shlex.split(overrides) if isinstance(overrides, str) else overrides
    return dict(word.split("=", 1) for word in words if "=" in word)


def _failure(command: str, log: Path) -> str:
    output = log.read_text(encoding="utf-8")
    if unresolved := re.search(r"Could not satisfy the requirement: (\S+)", output):
        return (
            f"`{command}` could not download {unresolved.group(1)}: check the network and the proxy settings "
            f"(HTTPS_PROXY, PIP_INDEX_URL). The whole output is in {log}."
        )
    lines = [line for line in output.splitlines() if line.strip()][-_SHOWN_LINES:]
    errors = [position for position, line in enumerate(lines) if line.startswith("Error:")]
    shown = lines[errors[-1] :] if errors else lines
    return "\n  ".join([f"`{command}` failed. The whole output is in {log}; it ends with:", *shown])
