"""`emrp local`: start, look at and stop the AWS on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from emrp.local import DEFAULT_PORT, REGION, lifecycle
from emrp.local.lifecycle import LocalAws, LocalAwsError

local_app = typer.Typer(help="The AWS on this machine: no account, no Docker.", no_args_is_help=True)

Port = Annotated[int, typer.Option(help="The port on 127.0.0.1.", min=0, max=65535)]
Data = Annotated[
    Path | None,
    typer.Option(help="Keep the state in this folder for the next start; without, it ends with the server."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


@local_app.command()
def up(
    port: Port = DEFAULT_PORT,
    data: Data = None,
    enforce_iam: Annotated[
        bool, typer.Option("--enforce-iam", help="Functions, state machines and jobs may do what their roles allow.")
    ] = False,
    foreground: Annotated[bool, typer.Option(help="Stay until Ctrl-C instead of running behind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the local AWS and print how to use it."""
    local_aws = lifecycle.start(port, data, detach=not foreground, enforce_iam=enforce_iam)
    if as_json:
        typer.echo(json.dumps(_describe(local_aws)))
    else:
        _console.print(_how_to_use(local_aws))
    if foreground:
        with local_aws:
            try:
                local_aws.wait()
            except KeyboardInterrupt:
                _console.print("Stopping.")


@local_app.command()
def down(port: Port = DEFAULT_PORT, as_json: AsJson = False) -> None:
    """Stop the local AWS and everything that runs in it."""
    local_aws = lifecycle.find(port)
    if local_aws is not None:
        _errors.print(f"Stopping the local AWS on port {port} ...")
        local_aws.stop()
    if as_json:
        typer.echo(json.dumps({"port": port, "stopped": local_aws is not None}))
    elif local_aws is None:
        _console.print(f"No local AWS runs on port {port}.")
    else:
        _console.print(f"Stopped the local AWS on port {port}.")


@local_app.command()
def status(port: Port = DEFAULT_PORT, as_json: AsJson = False) -> None:
    """Say whether the local AWS runs; exit code 1 when it does not."""
    local_aws = lifecycle.find(port)
    if as_json:
        typer.echo(json.dumps({"running": False, "port": port} if local_aws is None else _describe(local_aws)))
    elif local_aws is None:
        _console.print(_not_running(port))
    else:
        _console.print(_how_to_use(local_aws))
    if local_aws is None:
        raise typer.Exit(1)


@local_app.command()
def inbox(port: Port = DEFAULT_PORT, as_json: AsJson = False) -> None:
    """Print the e-mails that SNS delivered."""
    local_aws = lifecycle.find(port)
    if local_aws is None:
        raise LocalAwsError(_not_running(port))
    emails = local_aws.inbox()
    if as_json:
        typer.echo(json.dumps(emails))
    elif not emails:
        _console.print("No messages yet.")
    else:
        for email in emails:
            headers = "\n".join(f"{name.capitalize()}: {email[name]}" for name in ("date", "from", "to", "subject"))
            _console.print(f"{headers}\n\n{email['body']}\n", markup=False)


def _not_running(port: int) -> str:
    return f"No local AWS runs on port {port}: start it with `emrp local up --port {port}`."


def _describe(local_aws: LocalAws) -> dict[str, object]:
    return {
        "running": True,
        "port": local_aws.port,
        "pid": local_aws.pid,
        "endpointUrl": local_aws.endpoint_url,
        "dataDir": str(local_aws.data_dir),
        "persistent": local_aws.persistent,
        "log": str(local_aws.log),
    }


def _how_to_use(local_aws: LocalAws) -> str:
    kept = "kept" if local_aws.persistent else "removed at the end"
    return f"""AWS on this machine: [bold]{local_aws.endpoint_url}[/bold] (process {local_aws.pid})
  data   {local_aws.data_dir} ({kept})
  inbox  {local_aws.endpoint_url}/_emrp/inbox, or: emrp local inbox --port {local_aws.port}
  stop   emrp local down --port {local_aws.port}

AWS CLI, boto3 and any other SDK use it in a shell with:
  export AWS_ENDPOINT_URL={local_aws.endpoint_url} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  aws s3 ls
  python -c "import boto3; print(boto3.client('s3').list_buckets()['Buckets'])\""""
