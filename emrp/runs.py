"""The commands that tell about runs: `emrp list` and `emrp show`."""

from typing import Annotated, NoReturn

import typer
from emr_pipelines.gateways.run_record import RunRecord
from rich.table import Table

from emrp.command_line import AsJson, RunId, Target, make_page, print_json
from emrp.errors import UsageError
from emrp.find_runs import FoundRun, RunState, find_run, list_runs
from emrp.glyphs import state_text
from emrp.phrases import cause_of_run, duration, listing, moment, reason
from emrp.run_document import job_documents, run_document
from emrp.run_report import job_details, report

LIST_EXAMPLES = "Examples: emrp list --pipeline salaries --state failed; emrp list --limit 100 --json"
SHOW_EXAMPLES = "Examples: emrp show salaries-1b2c3d4e5f6a; emrp show salaries-1b2c3d4e5f6a process --json"
_REASON_WIDTH = 60


def list_command(
    context: typer.Context,
    pipeline: Annotated[str | None, typer.Option(help="Only the runs of this pipeline.")] = None,
    state: Annotated[RunState | None, typer.Option(case_sensitive=False, help="Only the runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first, and why they failed."""
    target: Target = context.obj
    runs = list_runs(target.stack(), pipeline=pipeline, state=state, limit=limit)
    if as_json:
        print_json({"runs": [{**run_document(found.run), "recorded": found.recorded} for found in runs]})
    elif runs:
        make_page().print(_as_table(runs))
    else:
        typer.echo("There are no such runs. Start one with: emrp run PIPELINE")


def show_command(
    context: typer.Context,
    run_id: RunId,
    job_name: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: what started it, its jobs as a tree with a timeline, and each job in detail."""
    target: Target = context.obj
    stack = target.stack()
    found = find_run(stack, run_id)
    jobs = RunRecord(stack.run_table).list_jobs(run_id)
    if job_name:
        jobs = [job for job in jobs if job.name == job_name] or _no_such_job(job_name, [job.name for job in jobs])
    if as_json:
        print_json({**run_document(found.run), "recorded": found.recorded, "jobs": job_documents(found.run, jobs)})
    elif job_name:
        make_page().print(job_details(found.run, jobs[0]), crop=False)
    else:
        console = make_page()
        console.print(report(console, found, jobs), crop=False)


def _no_such_job(name: str, names: list[str]) -> NoReturn:
    raise UsageError(f'The run has no job "{name}"; it has {listing(names, 20) or "no jobs"}.')


def _as_table(runs: list[FoundRun]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("RUN", "PIPELINE", "STATE", "TRIGGER", "STARTED", "DURATION", "WHY"):
        table.add_column(title, justify="right" if title == "DURATION" else "left", no_wrap=title != "WHY")
    for found in runs:
        run = found.run
        table.add_row(
            run.run_id,
            run.pipeline or "-",
            state_text(run.state),
            reason(cause_of_run(run.trigger, run.repair_of), 40),
            moment(run.started_at),
            duration(found.seconds),
            reason(run.cause or run.error, _REASON_WIDTH),
        )
    return table
