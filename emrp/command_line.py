"""What the commands share: global options, common arguments, confirmation, and how results are printed."""

import json
import os
from typing import Annotated

import boto3
import typer
from rich.console import Console

from emrp import completion, environment
from emrp.errors import UsageError
from emrp.local import DEFAULT_PORT
from emrp.stack import Stack

_FOLLOW_SECONDS = {True: 0.3, False: 2.0}  # on this machine, in the cloud

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for a script, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show the run until it has ended.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", help="A parameter of the pipeline, as name=value; repeatable."),
]
_RUN_HELP = "The run id, which is the name of its execution; the execution's ARN will do, too."


def _run_id(text: str | None) -> str | None:
    return text.rsplit(":", 1)[-1] if text else None


RunId = Annotated[
    str, typer.Argument(metavar="RUN", help=_RUN_HELP, callback=_run_id, autocompletion=completion.run_ids)
]
MaybeRunId = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help=_RUN_HELP, callback=_run_id, autocompletion=completion.run_ids, show_default=False
    ),
]
PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="The name of the pipeline.", autocompletion=completion.pipelines)
]


class Target:
    """What the global options say: which stack, and whether it is on this machine. It is the `obj` of the context."""

    def __init__(self, stack_name: str, *, local: bool, port: int) -> None:
        self.stack_name = stack_name
        self.local = local
        self._port = port

    @property
    def command(self) -> str:
        """How the program was called, for the commands that it suggests."""
        port = f" --port {self._port}" if self._port != DEFAULT_PORT else ""
        return f"emrp --local{port}" if self.local else "emrp"

    @property
    def follow_seconds(self) -> float:
        """How often a run is looked at."""
        return _FOLLOW_SECONDS[self.local]

    def connect(self) -> None:
        """Make sure that there is an AWS to talk to; commands that need none may be used without the local one."""
        if self.local:
            environment.check_local(self._port)

    def stack(self) -> Stack:
        """Describe the stack."""
        self.connect()
        return Stack.describe(self.stack_name, self.command)


def pairs(words: list[str] | None) -> dict[str, str]:
    """Read name=value arguments."""
    for word in words or []:
        if not word.partition("=")[0] or "=" not in word:
            raise UsageError(f'"{word}" is not of the form name=value.')
    return dict(word.split("=", 1) for word in words or [])


def make_console(*, quiet: bool = False) -> Console:
    """Return where people read; `quiet` with --json."""
    return Console(highlight=False, quiet=quiet)


def make_page() -> Console:
    """Return a console that cuts nothing off in a file or a pipe."""
    console = make_console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 160
    return console


def print_json(document: object) -> None:
    """Print the one document that --json promises."""
    typer.echo(json.dumps(document))


def confirm(question: str) -> None:
    """Ask; raises UsageError unless somebody says yes."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # there is nobody to ask
        agreed = False
    if not agreed:
        raise UsageError("Not confirmed, so nothing was done; the option --yes answers for you.")


def account() -> str:
    """Name the account and the region that the commands talk to."""
    sts = boto3.client("sts")
    return f"account {sts.get_caller_identity()['Account']}, region {sts.meta.region_name}"
