"""`emrp logs`: what the drivers of a run have printed, at once or as it comes."""

import time
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Annotated

import typer
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job

from emrp import completion
from emrp.command_line import AsJson, RunId, Target, print_json
from emrp.driver_logs import Chunk, DriverLogs, driver_logs
from emrp.errors import CommandError, UsageError
from emrp.find_runs import FoundRun, find_run
from emrp.phrases import listing, reason
from emrp.stack import Stack

EXAMPLES = (
    "Examples: emrp logs salaries-1b2c3d4e5f6a; emrp logs salaries-1b2c3d4e5f6a process --stderr; "
    "emrp logs salaries-1b2c3d4e5f6a --follow"
)
_STREAMS = {None: ("stdout", "stderr"), True: ("stdout",), False: ("stderr",)}
_SHOWN_JOBS = 10
_PACE_SECONDS = {True: 1.0, False: 5.0}  # on this machine, in the cloud; EMR writes its files every 15 seconds


def logs_command(  # noqa: PLR0917 - these are the command's options
    context: typer.Context,
    run_id: RunId,
    job_name: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]",
            help="A job, or a loop. Without: the jobs that failed, else all.",
            autocompletion=completion.job_names,
            show_default=False,
        ),
    ] = None,
    stdout: Annotated[
        bool | None, typer.Option("--stdout/--stderr", help="Only this stream.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the jobs have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what the drivers of a run have printed."""
    target: Target = context.obj
    stack = target.stack()
    if follow and as_json:
        raise UsageError("--follow goes without --json: a document has an end.")
    streams = _STREAMS[stdout]
    found = find_run(stack, run_id)
    if follow:
        _follow(target, stack, run_id, job_name, streams)
        return
    jobs = _jobs(stack, run_id, job_name)
    if not job_name:
        jobs = [job for job in jobs if job.unsuccessful] or jobs
    chunks = (chunk for job in jobs if (logs := driver_logs(job, streams, follow=False)) for chunk in logs.read())
    if as_json:
        print_json({"runId": run_id, "logs": _documents(chunks)})
    elif not _print(chunks):
        raise CommandError(_why_nothing(target, found, jobs))


def _follow(target: Target, stack: Stack, run_id: str, job_name: str | None, streams: Collection[str]) -> None:
    logs: dict[str, DriverLogs] = {}
    titles: list[str] = []
    waits = over = False
    while True:
        found, jobs = find_run(stack, run_id), _jobs(stack, run_id, job_name)
        for job in jobs:
            if source := logs.get(job.name) or driver_logs(job, streams, follow=True):
                logs[job.name] = source
                titles = _print(source.read(), titles)
        if over:
            break
        over = (
            all(job.ended for job in jobs) if jobs else found.run.ended
        )  # one more look: the last output comes with the end
        if not (titles or over or waits):
            typer.echo(f"{_why_nothing(target, found, jobs)}\nWaiting for them; Ctrl-C ends it.", err=True)
            waits = True
        time.sleep(_PACE_SECONDS[target.local])
    if not titles:
        raise CommandError(_why_nothing(target, found, jobs))
    for job in jobs:
        if not job.succeeded:
            typer.echo(f"{job.name} {job.state}: {reason(job.state_details)}", err=True)


def _jobs(stack: Stack, run_id: str, name: str | None) -> list[Job]:
    """Return the jobs of a run, or those that a name means: a job, or the iterations of a loop."""
    jobs = RunRecord(stack.run_table).list_jobs(run_id)
    named = [job for job in jobs if name in {None, job.name, job.definition, job.loop}]
    if jobs and not named:
        raise UsageError(f'The run has no job "{name}"; it has {listing([job.name for job in jobs], 20)}.')
    return named


def _print(chunks: Iterable[Chunk], printed: Sequence[str] = ()) -> list[str]:
    """Print output as it is, with a title on stderr where another stream begins; return the titles so far."""
    titles = list(printed)
    for chunk in chunks:
        if titles[-1:] != [chunk.title]:
            typer.echo(f"==> {chunk.title} <==", err=True)
            titles.append(chunk.title)
        typer.echo(chunk.content, nl=False)
    return titles


def _documents(chunks: Iterable[Chunk]) -> list[dict[str, str | int | None]]:
    documents = []
    for (job, attempt, stream), parts in groupby(chunks, lambda chunk: chunk[:3]):
        text = b"".join(part.content for part in parts).decode(errors="replace")
        documents.append({"job": job, "attempt": attempt, "stream": stream, "text": text})
    return documents


def _why_nothing(target: Target, found: FoundRun, jobs: Sequence[Job]) -> str:
    """Say why there is no output of any of these jobs."""
    run_id, show = found.run.run_id, f"`{target.command} show {found.run.run_id}`"
    if not jobs and found.run.ended:
        return f"The run {run_id} ended before it was planned, so it has no logs; {show} tells why."
    if not jobs:
        return f"The run {run_id} has no jobs yet, so it has no logs; {show} tells how far it is."
    return "\n".join(f"{job.name} has no logs: {_why_no_logs(job)}" for job in jobs[:_SHOWN_JOBS])


def _why_no_logs(job: Job) -> str:
    if job.job_run_id is None:
        if job.ended:
            return f"it was never submitted ({job.state}: {reason(job.state_details)})."
        waits = f"it waits for {listing(job.waiting_for)}" if job.waiting_for else "its application is being started"
        return f"it has not been submitted yet; {waits}."
    if not job.log_uri:
        if job.on_cluster:
            return f"its cluster has no LogUri; they are on {job.application_id} itself, as long as there is one."
        return (
            "its pipeline keeps them in EMR's managed storage only; open its Spark UI with `aws emr-serverless "
            f"get-dashboard-for-job-run --application-id {job.application_id} --job-run-id {job.job_run_id}`."
        )
    if job.ended:
        return f"nothing is in {job.log_location}; {job.state}: {reason(job.state_details)}"
    period = "five minutes" if job.on_cluster else "15 seconds"
    return f"it is {job.state}; EMR writes them to {job.log_location} once the driver runs, every {period}."
