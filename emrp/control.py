"""The commands that move runs: `emrp run`, `watch` and `repair`."""

import json
from collections.abc import Mapping
from typing import Annotated
from uuid import uuid4

import boto3
import typer
from emr_pipelines.errors import Problem, RepairRefusedError, TransientError
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.parameters import parameters_of, resolve
from emr_pipelines.repair import same_plan, take_over
from emr_pipelines.run import SKIPPED, Run, execution_arn
from emr_pipelines.stack import Stack as PlannedStack

from emrp.command_line import (
    AsJson,
    Follow,
    MaybeRunId,
    Parameters,
    PipelineName,
    RunId,
    Target,
    make_console,
    pairs,
    print_json,
)
from emrp.errors import EXIT_INTERRUPTED, EXIT_RUN_FAILED, UsageError
from emrp.find_runs import RunState, find_run, list_runs
from emrp.follow import Picture, RunFollower
from emrp.phrases import listing
from emrp.pipelines import no_such_pipeline
from emrp.stack import Stack
from emrp.watch import show_run

RUN_EXAMPLES = "Examples: emrp run salaries -p top=5; emrp run salaries --no-follow --json"
WATCH_EXAMPLES = "Examples: emrp watch; emrp watch salaries-1b2c3d4e5f6a; emrp watch salaries-1b2c3d4e5f6a --json"
REPAIR_EXAMPLES = (
    "Examples: emrp repair salaries-1b2c3d4e5f6a; emrp repair salaries-1b2c3d4e5f6a --from process; "
    "emrp repair salaries-1b2c3d4e5f6a --latest --no-follow"
)
_SHOWN_JOBS = 12


def run_command(
    context: typer.Context,
    pipeline: PipelineName,
    parameter: Parameters = None,
    follow: Follow = True,
    as_json: AsJson = False,
) -> None:
    """Start a run of a pipeline."""
    target: Target = context.obj
    parameters = pairs(parameter)
    stack = target.stack()
    _check_start(stack, pipeline, parameters)
    run_id = f"{pipeline}-{uuid4().hex[:12]}"
    run_input = {"pipeline": pipeline, "parameters": parameters}
    _start(target, stack, run_id, run_input, follow=follow, as_json=as_json)


def _check_start(stack: Stack, pipeline: str, parameters: Mapping[str, str]) -> None:
    """Raise UsageError for what would fail the run as soon as it is planned, and send a mail: a wrong name or value."""
    definition = PipelineRegistry(stack.run_table).get(pipeline)
    if definition is None:
        raise no_such_pipeline(stack, pipeline)
    problems: list[Problem] = []
    resolve(parameters_of(definition.data), parameters, problems)
    if problems:
        raise UsageError("\n".join(map(str, problems)))


def watch_command(context: typer.Context, run_id: MaybeRunId = None, as_json: AsJson = False) -> None:
    """Show a run until it has ended, with its exit code; without RUN the one that started last of those that run."""
    target: Target = context.obj
    stack = target.stack()
    _follow(target, stack, run_id or _latest_running(stack), as_json=as_json)


def repair_command(  # noqa: PLR0917 - these are the command's options
    context: typer.Context,
    run_id: RunId,
    from_job: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="JOB", help="Run this job and all that depends on it again, even if it succeeded."
        ),
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Use the pipeline's latest file instead of the one of the failed run.")
    ] = False,
    follow: Follow = True,
    as_json: AsJson = False,
) -> None:
    """Run again what failed, was skipped or cancelled, in a new run; what succeeded is taken over."""
    target: Target = context.obj
    stack = target.stack()
    old = find_run(stack, run_id).run
    repair_id = f"{old.pipeline or 'run'}-repair-{uuid4().hex[:12]}"
    if not old.ended:
        raise UsageError(f"The run {run_id} is still running: wait for its end, or `{target.command} cancel {run_id}`.")
    if old.repaired_by:
        raise UsageError(f"The run {run_id} has been repaired by {old.repaired_by}: repair that one.")
    if not latest:
        again, kept = _repaired_jobs(stack, old, repair_id, from_job)
        if not as_json:
            typer.echo(
                f"Runs again: {listing(again, _SHOWN_JOBS)}. Taken over: {listing(kept, _SHOWN_JOBS) or 'nothing'}."
            )
    options = {**({"from": from_job} if from_job else {}), **({"latest": True} if latest else {})}
    run_input = {"pipeline": old.pipeline, "repair": run_id, **options}
    _start(target, stack, repair_id, run_input, follow=follow, as_json=as_json)


def _repaired_jobs(stack: Stack, old: Run, repair_id: str, from_job: str | None) -> tuple[list[str], list[str]]:
    """Return the names of the jobs that a repair runs again, and of those that it takes over.

    Planned here as the functions will plan it, so that what they would refuse is said before anything starts.
    """
    old_jobs = RunRecord(stack.run_table).list_jobs(old.run_id)
    try:
        planned = Run.begin(
            repair_id, execution_arn(stack.pipeline_state_machine_arn, repair_id), {"pipeline": old.pipeline}
        )
        _, jobs = same_plan(planned, old, old_jobs, PlannedStack(stack.name, stack.bucket, job_role_arn=""))
        jobs = take_over(jobs, old, old_jobs, from_job)
    except RepairRefusedError as error:
        way_on = "" if old_jobs else f" That is: {stack.command} repair {old.run_id} --latest"
        raise UsageError(f"{error}{way_on}") from error
    except TransientError as error:
        raise UsageError(f"{error} Repair the run when they have, or cancel it again.") from error
    return [job.name for job in jobs if not job.ended], [job.name for job in jobs if job.reused_from]


def _start(
    target: Target, stack: Stack, run_id: str, run_input: Mapping[str, object], *, follow: bool, as_json: bool
) -> None:
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=stack.pipeline_state_machine_arn, name=run_id, input=json.dumps(run_input)
    )
    if follow:
        _follow(target, stack, run_id, as_json=as_json)
    elif as_json:
        print_json({"runId": run_id, "executionArn": execution_arn(stack.pipeline_state_machine_arn, run_id)})
    else:
        typer.echo(f"Started {run_id}. Follow it with: {target.command} watch {run_id}")


def _latest_running(stack: Stack) -> str:
    running = list_runs(stack, RunState.RUNNING, limit=1)
    if not running:
        list_, watch = f"`{stack.command} list`", f"`{stack.command} watch RUN`"
        raise UsageError(f"Nothing is running. {list_} shows the latest runs; {watch} also an ended one.")
    return running[0].run.run_id


def _follow(target: Target, stack: Stack, run_id: str, *, as_json: bool) -> None:
    console = make_console(quiet=as_json)
    try:
        picture = show_run(console, RunFollower(stack, run_id), target.follow_seconds, "Ctrl-C leaves the run running.")
    except KeyboardInterrupt:
        command = target.command
        again = f"Watch it with: {command} watch {run_id}; stop it with: {command} cancel {run_id}"
        typer.echo(f"The run goes on. {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(picture.as_json())
    else:
        console.print(_verdict(picture, target.command), markup=False, soft_wrap=True)
    if not picture.succeeded:
        raise typer.Exit(EXIT_RUN_FAILED)


def _verdict(picture: Picture, command: str) -> str:
    if picture.succeeded and picture.run and picture.run.state == SKIPPED:
        return f"The run was skipped: {picture.run.cause}"
    if picture.succeeded:
        return f"The run succeeded. Result: {picture.run.output if picture.run else 'none'}"
    lines = [f"The run {picture.status.lower()}: {picture.error or 'no error given'}", picture.cause or ""]
    failed = [job for job in picture.jobs if job.log_location and job.unsuccessful]
    lines += [f"Logs of {job.name}: {job.log_location}" for job in failed[:_SHOWN_JOBS]]
    if picture.run:
        on = (
            f"go on where it failed: {command} repair {picture.run_id}"
            if picture.jobs
            else "it ended before it was planned, so mend the cause and start a new one"
        )
        lines.append(f"More: {command} show {picture.run_id}; {on}")
    return "\n".join(line for line in lines if line)
