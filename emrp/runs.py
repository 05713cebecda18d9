"""The commands that tell about runs: `emrp list` and `emrp show`."""

from typing import Annotated, NoReturn

import typer
from emr_pipelines.clock import duration
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.reason import on_one_line
from rich.text import Text

from emrp import completion
from emrp.command_line import AsJson, RunId, Target, make_console, make_page, print_json
from emrp.errors import UsageError
from emrp.find_runs import FoundRun, RunState, find_run, list_runs, list_runs_of
from emrp.glyphs import style_of
from emrp.lines import Line, print_lines
from emrp.phrases import cause_of_run, listing, moment
from emrp.pipelines import no_such_pipeline
from emrp.run_document import job_documents, run_document
from emrp.run_report import job_details, report
from emrp.usual import usual_durations

LIST_EXAMPLES = "Examples: emrp list --pipeline salaries --state failed; emrp list --limit 100 --json"
SHOW_EXAMPLES = "Examples: emrp show salaries-1b2c3d4e5f6a; emrp show salaries-1b2c3d4e5f6a process --json"
_HEADINGS = ("RUN", "STATE", "STARTED", "DURATION", "PIPELINE", "TRIGGER")


def list_command(
    context: typer.Context,
    pipeline: Annotated[
        str | None, typer.Option(help="Only the runs of this pipeline.", autocompletion=completion.pipelines)
    ] = None,
    state: Annotated[RunState | None, typer.Option(case_sensitive=False, help="Only the runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first, and why they failed."""
    target: Target = context.obj
    stack = target.stack()
    wanted = [state] if state else []
    runs = list_runs_of(stack, pipeline, state, limit) if pipeline else list_runs(stack, *wanted, limit=limit)
    if pipeline and not runs and not PipelineRegistry(stack.run_table).find(pipeline):
        raise no_such_pipeline(stack, pipeline)
    if as_json:
        print_json({"runs": [{**run_document(found.run), "recorded": found.recorded} for found in runs]})
    elif runs:
        print_lines(make_console(), _HEADINGS, [_line(found) for found in runs])
    else:
        typer.echo(f"There are no such runs. Start one with: {stack.command} run {pipeline or 'PIPELINE'}")


def show_command(
    context: typer.Context,
    run_id: RunId,
    job_name: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="Only this job.", autocompletion=completion.job_names, show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: what started it, its jobs as a tree with a timeline, and each job in detail."""
    target: Target = context.obj
    stack = target.stack()
    found = find_run(stack, run_id)
    record = RunRecord(stack.run_table)
    jobs = record.list_jobs(run_id)
    if job_name:
        jobs = [job for job in jobs if job.name == job_name] or _no_such_job(job_name, [job.name for job in jobs])
    if as_json:
        print_json({**run_document(found.run), "recorded": found.recorded, "jobs": job_documents(found.run, jobs)})
    elif job_name:
        make_page().print(job_details(found.run, jobs[0]), crop=False)
    else:
        console = make_page()
        more = f"More about a job: {stack.command} show {run_id} JOB"
        console.print(report(console, found, jobs, usual_durations(record, found.run), more), crop=False)


def _no_such_job(name: str, names: list[str]) -> NoReturn:
    raise UsageError(f'The run has no job "{name}"; it has {listing(names, 20) or "no jobs"}.')


def _line(found: FoundRun) -> Line:
    run = found.run
    state = Text(run.state, style_of(run.state))
    what = on_one_line(cause_of_run(run.trigger, run.repair_of))
    cells = (run.run_id, state, moment(run.started_at), duration(found.seconds), run.pipeline or "-", what)
    return Line(cells, on_one_line(run.cause or run.error or ""))
