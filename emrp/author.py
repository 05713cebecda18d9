"""The commands for those who write pipelines: `emrp validate`, `plan` and `schema`. None of them needs AWS."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from emr_pipelines.clock import now
from emr_pipelines.definition import Definition
from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.pipeline_schema import pipeline_schema
from emr_pipelines.plan import plan
from emr_pipelines.run import Job, Run
from emr_pipelines.service_model import operation_of
from emr_pipelines.stack import Stack
from emr_pipelines.state_transitions import planned_transitions
from emr_pipelines.triggers import Upload
from rich.console import Console
from rich.json import JSON
from rich.text import Text

from emrp.command_line import AsJson, Parameters, Target, make_console, pairs, print_json
from emrp.errors import EXIT_RUN_FAILED, UsageError
from emrp.glyphs import glyphs
from emrp.job_tree import rows
from emrp.phrases import value
from emrp.pipelines import check_file, find_files, problems_of, result

VALIDATE_EXAMPLES = "Examples: emrp validate pipelines/; emrp validate pipelines/salaries.yaml --json"
PLAN_EXAMPLES = (
    "Examples: emrp plan pipelines/salaries.yaml -p top=5; "
    "emrp plan pipelines/salaries.yaml --trigger-uri s3://my-bucket/landing/salaries/a.csv; "
    """emrp plan pipelines/daily.yaml --trigger '{"type": "schedule", "scheduledTime": "2026-11-20T14:00:00Z"}'"""
)
SCHEMA_EXAMPLES = (
    "Example: emrp schema > pipeline.schema.json; then begin a file with "
    "# yaml-language-server: $schema=../pipeline.schema.json"
)
_ACCOUNT = "000000000000"
_NO_TRIGGER = "there are: type"  # which is all that the trigger of a run has that is started by hand

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Pipeline files, or folders with some.", exists=True)
]


def validate_command(files: Files, as_json: AsJson = False) -> None:
    """Check pipeline files without AWS: every problem with its file, line and path. Exits with 1 when there are any."""
    results = [(file, problems_of(file)) for file in find_files(files)]
    if as_json:
        print_json([result(str(file.path), problems) for file, problems in results])
    else:
        console = make_console()
        for file, problems in results:
            for problem in problems:
                console.print(_line(file.path, problem), style="red", markup=False, soft_wrap=True)
            if not problems:
                console.print(f"{file.path}: all right", markup=False, soft_wrap=True)
    if any(problems for _, problems in results):
        raise typer.Exit(EXIT_RUN_FAILED)


def schema_command(as_json: AsJson = False) -> None:
    """Print the JSON Schema of pipeline files, by which editors complete and check them; with --json on one line."""
    typer.echo(json.dumps(pipeline_schema(), indent=None if as_json else 2))


def plan_command(
    context: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="A pipeline file.", exists=True, dir_okay=False)],
    parameter: Parameters = None,
    trigger_uri: Annotated[str | None, typer.Option(help="The S3 URI of an upload that would start the run.")] = None,
    trigger: Annotated[str | None, typer.Option(help="What starts the run, as the JSON that templates see.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, without AWS: its jobs, the requests that would be sent, its state transitions."""
    target: Target = context.obj
    found = find_files([file])[0]
    console = make_console(quiet=as_json)
    try:
        definition = check_file(found)
        run, jobs = plan(_run(definition, parameter, _trigger(trigger_uri, trigger)), definition, _stack(target))
    except InvalidPipelineError as error:
        if as_json:
            print_json({"file": error.file, "problems": [asdict(problem) for problem in error.problems]})
        for problem in error.problems:
            console.print(_line(found.path, problem), style="red", markup=False, soft_wrap=True)
        if "trigger." in found.text and any(_NO_TRIGGER in problem.message for problem in error.problems):
            console.print("Templates that need a trigger are given one by --trigger-uri or --trigger.")
        raise typer.Exit(EXIT_RUN_FAILED) from error
    if as_json:
        print_json(_document(run, jobs))
    else:
        _show(console, run, jobs)


def _line(path: Path, problem: Problem) -> str:
    """Write a problem so that editors and terminals find its place."""
    place = f"{path}:{problem.line}" if problem.line else str(path)
    return f"{place}: {replace(problem, line=None)}"


def _trigger(uri: str | None, text: str | None) -> dict[str, Any]:
    if uri and text:
        raise UsageError("--trigger-uri and --trigger are two ways to say the same: give one of them.")
    if uri:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not key:
            raise UsageError(f"{uri!r} is no S3 URI like s3://my-bucket/landing/file.csv.")
        return Upload(bucket, key, size=0, version_id="", sequencer="", time=now()).as_trigger()
    try:
        trigger = json.loads(text) if text else {}
    except ValueError as error:
        raise UsageError(f"--trigger is no JSON: {error}") from error
    if not isinstance(trigger, dict):
        raise UsageError('--trigger must be a JSON object like {"type": "schedule"}.')
    return trigger


def _run(definition: Definition, parameter: list[str] | None, trigger: Mapping[str, Any]) -> Run:
    run_input = {"pipeline": definition.name, "parameters": pairs(parameter), "trigger": trigger}
    return Run.begin(f"{definition.name}-planned", "", run_input)


def _stack(target: Target) -> Stack:
    """Return a stack that could be the one of this name: nobody is asked for its real bucket and role."""
    name = target.stack_name
    return Stack(name, f"{name}-{_ACCOUNT}", f"arn:aws:iam::{_ACCOUNT}:role/{name}-JobRole")


def _document(run: Run, jobs: Sequence[Job]) -> dict[str, Any]:
    shown = ("name", "definition", "item", "runIf", "upstream", "after", "state", "deferred", "outputUri", "request")
    fields = [{**asdict(job), "runIf": job.run_if, "outputUri": job.output_uri} for job in jobs]
    return {
        "pipeline": run.pipeline,
        "parameters": run.parameters,
        "trigger": run.trigger,
        "deadline": run.deadline,
        "lifecycle": run.lifecycle,
        **({"cluster": run.cluster} if run.on_cluster else {"application": _application(run)}),
        "jobs": [{name: job[name] for name in shown} for job in fields],
        "stateTransitions": planned_transitions(jobs),
    }


def _application(run: Run) -> dict[str, Any]:
    return run.application or {"applicationId": run.application_id}


def _place(run: Run) -> str:
    """Name the first request of a run."""
    if run.on_cluster and run.lifecycle == "existing":
        return "DescribeCluster"
    if run.on_cluster:
        return f"{'CreateStack' if 'template' in run.cluster else 'RunJobFlow'}, lifecycle {run.lifecycle}"
    return f"CreateApplication, lifecycle {run.lifecycle}" if run.application else "StartApplication"


def _show(console: Console, run: Run, jobs: Sequence[Job]) -> None:
    parameters = ", ".join(f"{name} = {value(given)}" for name, given in run.parameters.items()) or "no parameters"
    console.print(f"A run of {run.pipeline} with {parameters}", markup=False, soft_wrap=True)
    for row in rows(jobs, glyphs(console)):
        skipped = f"{row.job.state}: {row.job.state_details}" if row.job and row.job.ended else ""
        note = f"  ({row.note or skipped})" if row.note or skipped else ""
        console.print(Text.assemble(row.guides, (row.name, "bold"), (note, "dim")), soft_wrap=True)
    _show_request(console, _place(run), run.cluster or _application(run))
    iterations = Counter(job.definition for job in jobs)
    for job in jobs:
        more = iterations.pop(job.definition, 0) - 1
        if job.request and more >= 0:  # the first iteration of a loop shows what the others are like
            like_it = f" ({more} more like it, which --json shows)" if more else ""
            operation = operation_of(job.request).name
            _show_request(console, f"{job.name}: {operation}{like_it}", job.request, job.deferred)
    cost = f"{planned_transitions(jobs)} state transitions"
    console.print(
        f"\n{cost}, and one more for each job that runs longer than the heartbeat.", markup=False, soft_wrap=True
    )


def _show_request(console: Console, title: str, request: Mapping[str, Any], deferred: Sequence[str] = ()) -> None:
    console.print()
    console.print(title, style="bold", markup=False)
    if deferred:
        later = f"Once its upstream jobs have ended: {', '.join(deferred)}"
        console.print(later, style="dim", markup=False, soft_wrap=True)
    console.print(JSON(json.dumps(request)), soft_wrap=True)
