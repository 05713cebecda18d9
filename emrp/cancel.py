"""`emrp cancel`: stops the execution of a run, and waits until EMR has ended its job runs."""

import getpass
import time
from collections.abc import Sequence
from typing import Annotated

import boto3
import typer
from emr_pipelines.errors import RunCancelledError
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, execution_arn
from rich.status import Status

from emrp.command_line import AsJson, RunId, Target, Yes, confirm, make_console, print_json
from emrp.errors import CommandError
from emrp.find_runs import FoundRun, find_run
from emrp.phrases import listing
from emrp.progress import Stages
from emrp.run_document import job_documents, run_document
from emrp.stack import Stack

EXAMPLES = 'Examples: emrp cancel salaries-1b2c3d4e5f6a; emrp cancel salaries-1b2c3d4e5f6a --yes --reason "wrong file"'
_SECONDS = 600.0  # EMR may take minutes to end a job run


def cancel_command(
    context: typer.Context,
    run_id: RunId,
    reason: Annotated[str | None, typer.Option(help="Why; the notification says it.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel a run with its job runs, and wait until all of them have ended."""
    target: Target = context.obj
    stack = target.stack()
    console = make_console(quiet=as_json)
    found, jobs = _look(stack, run_id)
    over = _is_over(found, jobs)
    if not found.run.ended:
        active = listing([job.name for job in jobs if not job.ended]) or "none are planned yet"
        if not yes:
            confirm(f"Cancel the run {run_id} (jobs that have not ended: {active})?")
        boto3.client("stepfunctions").stop_execution(
            executionArn=execution_arn(stack.pipeline_state_machine_arn, run_id),
            error=RunCancelledError.__name__,
            cause=_cause(reason),
        )
    if not over:
        with Stages(console).stage(f"Cancel {run_id}") as status:
            found, jobs = _wait(stack, run_id, target.follow_seconds, status)
    if as_json:
        print_json({**run_document(found.run), "jobs": job_documents(found.run, jobs)})
    else:
        console.print(
            f"The run {run_id} {'had ended before: it is' if over else 'is'} {found.run.state}.", markup=False
        )


def _look(stack: Stack, run_id: str) -> tuple[FoundRun, list[Job]]:
    return find_run(stack, run_id), RunRecord(stack.run_table).list_jobs(run_id)


def _is_over(found: FoundRun, jobs: Sequence[Job]) -> bool:
    return found.recorded and found.run.ended and all(job.ended for job in jobs)


def _wait(stack: Stack, run_id: str, every_seconds: float, status: Status | None) -> tuple[FoundRun, list[Job]]:
    """Wait until the record says that the run and all of its jobs have ended."""
    deadline = time.monotonic() + _SECONDS
    title = status.status if status else ""
    while True:
        found, jobs = _look(stack, run_id)
        if _is_over(found, jobs):
            return found, jobs
        active = [f"{job.name} ({job.state})" for job in jobs if not job.ended]
        if time.monotonic() > deadline:
            still_open = listing(active) or "the run itself"
            raise CommandError(
                f"{run_id} is {found.run.state} after {_SECONDS:.0f} seconds; still open: {still_open}. "
                f"Run `{stack.command} cancel {run_id}` again; if nothing changes, see the log of the function "
                f"clean_up and `{stack.command} dlq list`."
            )
        if status and active:
            status.update(f"{title}  [dim]{listing(active)}[/dim]")
        time.sleep(every_seconds)


def _cause(reason: str | None) -> str:
    """Name who cancels: the person as this machine knows them, and the identity that AWS vouches for."""
    try:
        person = f"{getpass.getuser()} "
    except (KeyError, OSError):  # a container may have no name for its user
        person = ""
    identity = boto3.client("sts").get_caller_identity()["Arn"]
    return f"Cancelled by {person}({identity}){f': {reason}' if reason else '.'}"
