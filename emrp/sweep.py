"""`emrp sweep`: what runs have left behind, found and removed now instead of by the next scheduled sweep."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config
from emr_pipelines.gateways.aws import PATIENT
from emr_pipelines.gateways.cluster_stacks import ClusterStacks
from emr_pipelines.gateways.emr_on_ec2 import EmrOnEc2
from emr_pipelines.gateways.emr_serverless import EmrServerless
from emr_pipelines.gateways.job_gateways import EmrGateways
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.run_slots import RunSlots
from emr_pipelines.inventory import take_inventory
from emr_pipelines.leftovers import find_leftovers

from emrp.command_line import AsJson, Target, print_json
from emrp.errors import EXIT_ENVIRONMENT, CommandError
from emrp.stack import Stack

EXAMPLES = "Examples: emrp sweep --dry-run; emrp sweep; emrp sweep --older-than 0 --json"
_FUNCTION_SECONDS = 900


def sweep_command(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    older_than: Annotated[
        int, typer.Option(metavar="MINUTES", min=0, help="Only what has been left for so long: clean-up takes a while.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Remove what runs have left on EMR and in the run record. What is alive, or somebody else's, is left alone."""
    target: Target = context.obj
    grace = timedelta(minutes=older_than)
    leftovers = _find(target.stack(), grace) if dry_run else _sweep(target.stack(), grace)
    problems = [leftover for leftover in leftovers if "problem" in leftover]
    if as_json:
        print_json({"leftovers": leftovers})
    else:
        _report(leftovers, removed=not dry_run)
    if problems:
        raise typer.Exit(EXIT_ENVIRONMENT)


def _find(stack: Stack, grace: timedelta) -> list[dict[str, str]]:
    inventory = take_inventory(
        stack.name,
        stack.pipeline_state_machine_arn,
        EmrGateways(record=RunRecord(stack.run_table), emr=EmrServerless(PATIENT), clusters=EmrOnEc2(PATIENT)),
        stacks=ClusterStacks(),
        slots=RunSlots(stack.run_table),
    )
    return [leftover.as_json() for leftover in find_leftovers(inventory, datetime.now(UTC), grace)]


def _sweep(stack: Stack, grace: timedelta) -> list[dict[str, str]]:
    patient = Config(read_timeout=_FUNCTION_SECONDS, retries={"total_max_attempts": 1})
    answer = boto3.client("lambda", config=patient).invoke(
        FunctionName=stack.sweep_function, Payload=json.dumps({"graceSeconds": grace.total_seconds()}).encode()
    )
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise CommandError(
            f"The sweep failed: {payload.get('errorType')}: {payload.get('errorMessage')}. "
            "It can be repeated; its log is that of the function sweep."
        )
    leftovers: list[dict[str, str]] = payload["leftovers"]
    return leftovers


def _report(leftovers: list[dict[str, str]], *, removed: bool) -> None:
    if not leftovers:
        typer.echo("Nothing is left over.")
        return
    for leftover in leftovers:
        typer.echo(f"- {leftover['text']}")
        if "problem" in leftover:
            typer.echo(f"  still there: {leftover['problem']}", err=True)
    found = "1 thing" if len(leftovers) == 1 else f"{len(leftovers)} things"
    typer.echo(f"Swept up {found}." if removed else f"A sweep would remove {found}.")
