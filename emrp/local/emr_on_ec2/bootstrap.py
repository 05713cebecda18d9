"""Bootstrap actions: scripts from S3 that on EMR prepare every node as root before the cluster takes steps.

Here there are no nodes, and nobody wants his machine changed. A script runs once, with bash, in a folder of its own
that is also its HOME. `sudo` runs what follows it without further rights, and the commands that would change the
machine (package managers, services, users) do nothing but say so in the script's stderr.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emrp.local.emr_on_ec2.execution import ScriptRequest, Surroundings
from emrp.local.emr_on_ec2.logs import Logs
from emrp.local.emr_on_ec2.records import Record
from emrp.local.emr_on_ec2.step_command import InvalidStep, location

_LEFT_OUT = (
    *("yum", "dnf", "apt", "apt-get", "rpm", "amazon-linux-extras", "pip", "pip3", "easy_install"),
    *("systemctl", "service", "initctl", "chkconfig", "useradd", "usermod", "groupadd", "mount", "sysctl", "puppet"),
)
_SUDO = """#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -u|-g) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
exec env "$@"
"""
_NOTHING = '#!/bin/sh\necho "$(basename "$0") $* is left out on this machine" >&2\n'
_INSTANCE = "i-local"


class BootstrapFailure(Exception):  # noqa: N818 -- EMR's word
    """A bootstrap action that did not succeed; the message is EMR's."""


async def run_bootstrap_actions(cluster: Record, around: Surroundings) -> None:
    """Run the bootstrap actions of a cluster in their order. Raises BootstrapFailure."""
    for number, action in enumerate(cluster["BootstrapActions"], 1):
        script: dict[str, Any] = action["ScriptBootstrapAction"]
        folder = f"node/{_INSTANCE}/bootstrap-actions/{number}"
        role_arn = around.role_of(cluster)
        logs = Logs(cluster, folder, around.put_object, role_arn)
        try:
            content = await around.get_object(*location(script["Path"]), role_arn)
        except (OSError, InvalidStep) as error:
            await logs.deliver_text(str(error))
            raise BootstrapFailure(
                f"Master instance ({_INSTANCE}) failed attempting to download bootstrap action {number} file from S3"
            ) from error
        work_dir = around.work_dir / cluster["Id"] / f"bootstrap-action-{number}"
        environment = around.environment(cluster, role_arn, cluster["Id"])
        request = ScriptRequest(content, script.get("Args", []), work_dir, environment)
        exit_code = await around.run_script(request)
        logs.note(f"Bootstrap action {number} ended with exitCode {exit_code}")
        await logs.deliver({name: work_dir / name for name in ("stdout", "stderr")})
        await asyncio.to_thread(shutil.rmtree, work_dir, ignore_errors=True)
        if exit_code:
            raise BootstrapFailure(
                f"On the master instance ({_INSTANCE}), bootstrap action {number} returned a non-zero return code"
            )


async def run_script(request: ScriptRequest) -> int:
    """Run a script; returns its exit code when it and all that it started have ended."""
    commands = await asyncio.to_thread(_prepare, request)
    environment = {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(request.work_dir),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        **request.environment,
    }
    with (request.work_dir / "stdout").open("wb") as stdout, (request.work_dir / "stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "script",
            *request.arguments,
            cwd=request.work_dir,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        return await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def simulated_scripts() -> Callable[[ScriptRequest], Any]:
    """Return what succeeds in the place of scripts, or fails where an argument says `exit=1`."""

    async def run(request: ScriptRequest) -> int:
        wishes = dict(argument.split("=", 1) for argument in request.arguments if "=" in argument)
        return int(wishes.get("exit", 0))

    return run


def _prepare(request: ScriptRequest) -> Path:
    """Write the script and the commands that take the place of others; returns the folder of these."""
    commands = request.work_dir / "bin"
    commands.mkdir(parents=True)
    (request.work_dir / "script").write_bytes(request.script)
    for name, text in {"sudo": _SUDO, **dict.fromkeys(_LEFT_OUT, _NOTHING)}.items():
        command = commands / name
        command.write_text(text, encoding="utf-8")
        command.chmod(0o700)
    return commands
