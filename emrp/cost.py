"""`emrp cost`: what the runs of a period have cost, from the run record; by pipeline, day, job or run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import boto3
import typer
from emr_pipelines.clock import iso_time
from emr_pipelines.cost import cost_of_job, prices_of_run, run_cost, usd
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from emrp.command_line import AsJson, Target, make_console, print_json
from emrp.errors import UsageError
from emrp.executions import listed_at
from emrp.phrases import moment
from emrp.stack import Stack

EXAMPLES = (
    "Examples: emrp cost; emrp cost --since 2026-11-01 --until 2026-12-01 --by day; emrp cost --since 7d --by job"
)
_AGO = re.compile(r"(\d+)([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_BATCH = 100  # what one page of ListExecutions and one BatchGetItem hold
_ENDLESS = 100_000  # characters, more than any line has
_AROUND_JOBS = "Step Functions and Lambda"


class By(StrEnum):
    """What a line of the table is."""

    PIPELINE = "pipeline"
    DAY = "day"
    JOB = "job"
    RUN = "run"


@dataclass
class Line:
    """What the runs of one pipeline, day, job, or one run alone, have used and cost."""

    runs: set[str] = field(default_factory=set)
    job_runs: int = 0
    vcpu_hours: float = 0.0
    memory_gb_hours: float = 0.0
    storage_gb_hours: float = 0.0
    usd: float | None = None
    unpriced: set[str] = field(default_factory=set)

    def add_job(self, run: Run, job: Job) -> None:
        """Add a job that became a job run."""
        self.runs.add(run.run_id)
        self.job_runs += 1
        self.vcpu_hours += job.resources.get("vCPUHour", 0)
        self.memory_gb_hours += job.resources.get("memoryGBHour", 0)
        self.storage_gb_hours += job.resources.get("storageGBHour", 0)
        self.add(run, cost_of_job(job, prices_of_run(run)))

    def add(self, run: Run, amount: float | None) -> None:
        """Add a part of what a run costs; one that nobody knows makes it a run without a price."""
        self.runs.add(run.run_id)
        if amount is None:
            self.unpriced.add(run.run_id)
        else:
            self.usd = (self.usd or 0.0) + amount

    def as_json(self) -> dict[str, Any]:
        """Return the line for a script."""
        return {
            "runs": len(self.runs),
            "jobRuns": self.job_runs,
            "vCpuHours": round(self.vcpu_hours, 3),
            "memoryGbHours": round(self.memory_gb_hours, 3),
            "storageGbHours": round(self.storage_gb_hours, 3),
            "costUsd": None if self.usd is None else round(self.usd, 6),
            "runsWithoutPrice": len(self.unpriced),
        }

    def cells(self, *, hours: bool) -> tuple[str, ...]:
        """Return the line for people."""
        used = (self.vcpu_hours, self.memory_gb_hours, self.storage_gb_hours) if hours else ()
        amount = f"{usd(self.usd)} + ?" if self.unpriced and self.usd is not None else usd(self.usd)
        return str(len(self.runs)), str(self.job_runs), *(f"{number:,.3f}" for number in used), amount


def cost_command(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From when: 30d, 12h, 2w, or a date or time in UTC.")
    ] = "30d",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when; the same. Now, unless given.")] = None,
    by: Annotated[By, typer.Option(case_sensitive=False, help="What a line of the table is.")] = By.PIPELINE,
    as_json: AsJson = False,
) -> None:
    """Show what the runs of a period have cost: EMR Serverless at list prices, Step Functions and Lambda.

    It is an estimate: docs/cost.md says what is in it, and how to use prices of your own.
    """
    target: Target = context.obj
    now = datetime.now(UTC)
    start, end = _moment(since, now), _moment(until, now) if until else now
    if start >= end:
        raise UsageError(f"--since ({moment(start)}) must come before --until ({moment(end)}).")
    lines, total = _add_up(_runs(target.stack(), start, end), by)
    if as_json:
        rows = [{by.value: name, **line.as_json()} for name, line in lines.items()]
        print_json({"since": iso_time(start), "until": iso_time(end), "rows": rows, "total": total.as_json()})
    elif lines:
        _show(lines, total, by, f"{moment(start)} to {moment(end)}")
    else:
        typer.echo(f"No run has started from {moment(start)} to {moment(end)}.")


def _moment(text: str, now: datetime) -> datetime:
    try:
        if ago := _AGO.fullmatch(text):
            return now - int(ago[1]) * _UNITS[ago[2]]
        time = datetime.fromisoformat(text)
    except (OverflowError, ValueError):
        raise UsageError(f'"{text}" is no time: write 30d, 12h, 2w, 2026-11-01 or 2026-11-01T12:00.') from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _runs(stack: Stack, since: datetime, until: datetime) -> Iterator[tuple[Run, list[Job]]]:
    """Yield the recorded runs that have started in a period, newest first, with their jobs."""
    record = RunRecord(stack.run_table)
    names = _executions(stack.pipeline_state_machine_arn, since, until)
    while batch := list(islice(names, _BATCH)):
        for run in record.get_runs(batch).values():
            yield run, record.list_jobs(run.run_id)


def _executions(state_machine_arn: str, since: datetime, until: datetime) -> Iterator[str]:
    pages = boto3.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=state_machine_arn)
    for page in pages:
        for execution in page["executions"]:
            if listed_at(execution) < since:
                return
            if since <= execution["startDate"] < until:
                yield execution["name"]


def _add_up(runs: Iterator[tuple[Run, list[Job]]], by: By) -> tuple[dict[str, Line], Line]:
    lines: dict[str, Line] = {}
    total = Line()
    for run, jobs in runs:
        for job in jobs:
            if job.job_run_id and not job.reused_from:
                for line in (lines.setdefault(_name(by, run, job), Line()), total):
                    line.add_job(run, job)
        told = run_cost(run, jobs)
        around = None if told.step_functions is None else told.step_functions + told.functions
        for line in (lines.setdefault(_name(by, run, None), Line()), total):
            line.add(run, around)
    return dict(sorted(lines.items(), key=lambda item: _order(by, *item))), total


def _name(by: By, run: Run, job: Job | None) -> str:
    match by:
        case By.DAY:
            return run.started_at[:10]
        case By.RUN:
            return run.run_id
        case By.JOB:
            return f"{run.pipeline}: {job.definition or job.name}" if job else _AROUND_JOBS
        case By.PIPELINE:
            return run.pipeline or "-"


def _order(by: By, name: str, line: Line) -> tuple[float, str]:
    """Days in their order, all others by what they cost."""
    return (0.0 if by is By.DAY else -(line.usd or 0.0), name)


def _show(lines: dict[str, Line], total: Line, by: By, period: str) -> None:
    """Print the table: a terminal that is too narrow for it gets it without the hours, a pipe gets all of it."""
    console = make_console()
    table = _table(lines, total, by, hours=True)
    width = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    if not console.is_terminal:
        console.width = width
    elif width > console.width:
        table = _table(lines, total, by, hours=False)
    console.print(f"Runs started {period}, estimated at list prices (docs/cost.md)\n", markup=False, soft_wrap=True)
    console.print(table)
    if total.unpriced:
        runs = "1 run" if len(total.unpriced) == 1 else f"{len(total.unpriced)} runs"
        console.print(
            f"\n{runs} cannot be priced in full: a job has not ended, it was on a cluster of EMR on EC2, or the prices "
            "of the region and architecture are not known; the parameter EmrServerlessPrices of the stack takes them.",
            markup=False,
            soft_wrap=True,
        )


def _table(lines: dict[str, Line], total: Line, by: By, *, hours: bool) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_footer=True, footer_style="bold"
    )
    amounts = ("VCPU HOURS", "GB HOURS", "STORAGE GB HOURS") if hours else ()
    headings = (by.value.upper(), "RUNS", "JOB RUNS", *amounts, "USD")
    for number, (heading, footer) in enumerate(zip(headings, ("total", *total.cells(hours=hours)), strict=True)):
        table.add_column(heading, footer, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    for name, line in lines.items():
        table.add_row(Text(name), *line.cells(hours=hours))
    return table
