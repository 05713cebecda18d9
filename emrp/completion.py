"""What the shell completes: pipelines, runs and jobs, as the stack knows them.

The shell waits, so each is one or two requests, and what cannot be had quickly is not completed. Typer calls these
before it has run the callback of the global options, so those are read from the command line here.
"""

from collections.abc import Callable, Iterable

import boto3
import botocore.session
import typer
from botocore.config import Config
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord

from emrp import environment
from emrp.stack import Stack

_QUICK = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
_RUNS = 100
_Completion = Callable[[typer.Context, str], list[str]]


def _completing(known: Callable[[typer.Context, Stack], Iterable[str]]) -> _Completion:
    """Let a function that lists names complete a word; whatever goes wrong, the shell is not disturbed."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            return [name for name in known(context, _stack(context)) if name.startswith(incomplete)]
        except Exception:  # there is no place for a complaint in the middle of a command line
            return []

    return complete


def _stack(context: typer.Context) -> Stack:
    options = context.find_root().params
    if options["local"]:
        environment.use_local(options["port"])
    else:
        environment.use_account(options["profile"], options["region"])
    session = botocore.session.get_session()
    session.set_default_client_config(_QUICK)
    boto3.setup_default_session(botocore_session=session)
    return Stack.describe(options["stack"])


@_completing
def run_ids(_: typer.Context, stack: Stack) -> Iterable[str]:
    """Return the latest runs."""
    answer = boto3.client("stepfunctions").list_executions(
        stateMachineArn=stack.pipeline_state_machine_arn, maxResults=_RUNS
    )
    return [execution["name"] for execution in answer["executions"]]


@_completing
def job_names(context: typer.Context, stack: Stack) -> Iterable[str]:
    """Return the jobs of the run that the command line names."""
    return [job.name for job in RunRecord(stack.run_table).list_jobs(context.params["run_id"])]


@_completing
def pipelines(_: typer.Context, stack: Stack) -> Iterable[str]:
    """Return the pipelines that are registered."""
    return [pipeline.name for pipeline in PipelineRegistry(stack.run_table).list()]
