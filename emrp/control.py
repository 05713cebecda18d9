"""The commands that move runs: `emrp run` and `emrp watch`."""

import json
from collections.abc import Mapping
from typing import Annotated
from uuid import uuid4

import boto3
import typer

from emrp.command_line import (
    AsJson,
    Follow,
    Parameters,
    RunId,
    Target,
    make_console,
    parameter_values,
    print_json,
)
from emrp.errors import EXIT_RUN_FAILED
from emrp.follow import Picture, RunFollower, execution_arn
from emrp.progress import show_run
from emrp.stack import Stack


def run(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The name of the pipeline.")],
    parameter: Parameters = None,
    follow: Follow = True,
    as_json: AsJson = False,
) -> None:
    """Start a run of a pipeline."""
    target: Target = context.obj
    run_input = {"pipeline": pipeline, "parameters": parameter_values(parameter)}
    _start(target, f"{pipeline}-{uuid4().hex[:12]}", run_input, follow=follow, as_json=as_json)


def watch(context: typer.Context, run_id: RunId, as_json: AsJson = False) -> None:
    """Show a run until it has ended; also one that ended before."""
    target: Target = context.obj
    _follow(target, target.stack(), run_id, as_json=as_json)


def _start(target: Target, run_id: str, run_input: Mapping[str, object], *, follow: bool, as_json: bool) -> None:
    stack = target.stack()
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.pipeline_state_machine_arn, name=run_id, input=json.dumps(run_input)
    )
    if follow:
        _follow(target, stack, run_id, as_json=as_json)
    elif as_json:
        print_json({"runId": run_id, "executionArn": execution_arn(stack, run_id)})
    else:
        typer.echo(f"Started {run_id}. Follow it with: emrp watch {run_id}")


def _follow(target: Target, stack: Stack, run_id: str, *, as_json: bool) -> None:
    console = make_console(quiet=as_json)
    picture = show_run(console, RunFollower(stack, run_id), target.follow_seconds)
    if as_json:
        print_json(picture.as_json())
    else:
        console.print(_verdict(picture), markup=False, soft_wrap=True)
    if not picture.succeeded:
        raise typer.Exit(EXIT_RUN_FAILED)


def _verdict(picture: Picture) -> str:
    if picture.succeeded:
        return f"The run succeeded. Result: {picture.run.output if picture.run else 'none'}"
    lines = [f"The run {picture.status.lower()}: {picture.error or 'no error given'}", picture.cause or ""]
    lines += [
        f"Logs of {job.name}: {job.log_location}" for job in picture.jobs if job.log_location and not job.succeeded
    ]
    return "\n".join(line for line in lines if line)
