"""`emrp` alone: what is running, what failed last, and how to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from emr_pipelines.clock import duration, now, seconds_between
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job
from rich.console import Console
from rich.text import Text

from emrp.command_line import Target, make_page, print_json
from emrp.errors import CommandError, sentence
from emrp.find_runs import FoundRun, RunState, list_runs
from emrp.glyphs import glyphs
from emrp.job_tree import is_noteworthy
from emrp.local import DEFAULT_PORT, lifecycle
from emrp.phrases import cause_of_run, listing, reason
from emrp.run_document import run_document
from emrp.usual import usual_run_duration

_RUNNING = 10
_FAILED = 3


@dataclass(frozen=True)
class Going:
    """A run that is under way."""

    found: FoundRun
    jobs: Sequence[Job]
    usual_seconds: float | None


def overview(target: Target, *, as_json: bool) -> None:
    """Show what runs and what failed last; raises CommandError, with what to do, when there is no stack to ask."""
    try:
        stack = target.stack()
    except (CommandError, BotoCoreError, ClientError, lifecycle.LocalAwsError) as error:
        raise CommandError(f"{sentence(error)}\n{_ways_on(target)}") from error
    record = RunRecord(stack.run_table)
    running = [
        Going(found, record.list_jobs(found.run.run_id), usual_run_duration(record, found.run))
        for found in list_runs(stack, RunState.RUNNING, limit=_RUNNING)
    ]
    failed = list_runs(stack, RunState.FAILED, RunState.TIMED_OUT, limit=_FAILED)
    if as_json:
        documents = {"running": [going.found for going in running], "failed": failed}
        print_json({name: [run_document(found.run) for found in runs] for name, runs in documents.items()})
    else:
        console = make_page()
        for line in _lines(console, target, running, failed):
            console.print(line, soft_wrap=True)


def _lines(console: Console, target: Target, running: Sequence[Going], failed: Sequence[FoundRun]) -> list[Text]:
    lines = [Text("Running", "bold") if running else Text("Nothing is running.", "bold")]
    for going in running:
        lines += _going(console, going)
    lines += [Text(), Text("Failed last" if failed else "No run has failed.", "bold")]
    for found in failed:
        lines += _failure(console, found, target.command)
    ways = [f"{target.command} {word}" for word in ("watch", "list", "--help")]
    return [*lines, Text(), Text(f"Follow a run: {ways[0]}. All runs: {ways[1]}. All commands: {ways[2]}.", "dim")]


def _going(console: Console, going: Going) -> list[Text]:
    run = going.found.run
    usually = f" of usually {duration(going.usual_seconds)}" if going.usual_seconds is not None else ""
    done = sum(job.ended for job in going.jobs)
    active = [f"{job.name} {job.state}" for job in going.jobs if is_noteworthy(job)]
    doing = f"; {listing(active)}" if active else ""
    jobs = f"{done} of {len(going.jobs)} jobs done{doing}" if going.jobs else "is being planned"
    what = cause_of_run(run.trigger, run.repair_of)
    return [
        Text.assemble("  ", glyphs(console).mark("RUNNING"), f" {run.run_id}", f"  {duration(going.found.seconds)}")
        .append(usually, "dim")
        .append(f"  {reason(what, 48)}", "dim"),
        Text(f"    {jobs}"),
    ]


def _failure(console: Console, found: FoundRun, command: str) -> list[Text]:
    run = found.run
    ago = duration(seconds_between(run.ended_at, now())) if run.ended_at else "-"
    if run.repaired_by:
        way_on = f"Repaired by {run.repaired_by}"
    elif run.lifecycle is None:  # known from the plan on; before, there are no jobs
        way_on = "It ended before it was planned."
    else:
        way_on = f"{command} logs {run.run_id}; {command} repair {run.run_id}"
    why = reason(run.cause or run.error or run.state, max(console.width - 4, 40))
    return [
        Text.assemble("  ", glyphs(console).mark(run.state), f" {run.run_id}", (f"  {ago} ago", "dim")),
        Text(f"    {why}", "red"),
        Text(f"    {way_on}", "dim"),
    ]


def _ways_on(target: Target) -> str:
    """Say what somebody can do who has no stack yet, or has not said which."""
    ways = {
        "emrp demo": "runs everything on this machine, without an account",
        f"{target.command} deploy": "deploys the stack",
        "emrp --help": "lists all commands",
    }
    if not target.local and lifecycle.find(DEFAULT_PORT):
        ways = {"emrp --local": "shows the local AWS, which runs on this machine", **ways}
    width = max(map(len, ways))
    return "\n".join(f"  {command:<{width}}  {what}" for command, what in ways.items())
