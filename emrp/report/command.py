"""`emrp report`: reads all that is known of a run and writes the page."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from emr_pipelines.gateways.run_record import RunRecord

from emrp.command_line import AsJson, RunId, Target, print_json
from emrp.errors import UsageError
from emrp.find_runs import find_run
from emrp.report.log_tails import read_log_tails
from emrp.report.page import GENERATOR, Report, render
from emrp.stack import Stack
from emrp.usual import usual_durations

EXAMPLES = (
    "Examples: emrp report salaries-1b2c3d4e5f6a; emrp report salaries-1b2c3d4e5f6a --out report.html; "
    "emrp report salaries-1b2c3d4e5f6a --out - > report.html"
)
_STDOUT = Path("-")
_HEAD = 1000  # characters of a page in which its generator is named


def report_command(  # noqa: PLR0917 - these are the command's options
    context: typer.Context,
    run_id: RunId,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; - is the standard output. Without: RUN.html.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs/--no-logs", help="With the last lines of the logs.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write all about a run to one HTML page, which needs no network: graph, timeline, cost, logs, results."""
    target: Target = context.obj
    out = out or Path(f"{run_id}.html")
    if as_json and out == _STDOUT:
        raise UsageError("--json and --out - both print: choose one.")
    if not force and not _may_be_replaced(out):
        raise UsageError(f"{out} is there and is no report: name another file with --out, or replace it with --force.")
    page = render(read_report(target.stack(), run_id, logs=logs))
    if out == _STDOUT:
        sys.stdout.write(page)
        return
    out.write_text(page, encoding="utf-8")
    if as_json:
        print_json({"runId": run_id, "file": str(out)})
    else:
        typer.echo(f"Wrote {out} ({len(page.encode()) / 1024:.0f} KB). Open it with a browser.")


def read_report(stack: Stack, run_id: str, *, logs: bool) -> Report:
    """Read what there is to report about a run; raises UsageError when there is no such run."""
    found = find_run(stack, run_id)
    record = RunRecord(stack.run_table)
    jobs = record.list_jobs(run_id)
    return Report(found, jobs, usual_durations(record, found.run), read_log_tails(jobs) if logs else None)


def _may_be_replaced(file: Path) -> bool:
    """Tell whether a file is not there yet, or is a report."""
    if file == _STDOUT or not file.exists():
        return True
    with file.open(encoding="utf-8", errors="replace") as content:
        return f'content="{GENERATOR}' in content.read(_HEAD)
