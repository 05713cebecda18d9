"""`emrp backfill`: starts the runs that the schedules of a pipeline would have started in a period of the past.

Each run gets the name and the input that its tick would have given it (`start_pipeline` reads the same message), so
what a tick has started before is left alone, and a backfill that was interrupted goes on when it is given again.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from time import sleep
from typing import Annotated, Any, cast
from zoneinfo import ZoneInfo

import boto3
import typer
from emr_pipelines.gateways.pipeline_registry import PipelineRegistry
from emr_pipelines.gateways.schedules import schedule_name
from emr_pipelines.gateways.step_functions import StepFunctions
from emr_pipelines.run import execution_arn
from emr_pipelines.schedule_expression import parse
from emr_pipelines.trigger_messages import schedule_message
from emr_pipelines.triggers import Request, parse_message
from rich.console import Console

from emrp.command_line import AsJson, PipelineName, Target, Yes, confirm, make_console, print_json
from emrp.errors import EXIT_RUN_FAILED, UsageError
from emrp.phrases import listing
from emrp.pipelines import no_such_pipeline
from emrp.stack import Stack

EXAMPLES = (
    "Examples: emrp backfill ml-training --schedule 0 --from 2026-11-01 --to 2026-11-15 --dry-run; "
    "emrp backfill ml-training --schedule 0 --from 2026-11-01T06:00 --to 2026-11-21 --max-concurrent 4 --yes"
)
_SHOWN = 5
PLANNED, PRESENT, RUNNING = "PLANNED", "PRESENT", "RUNNING"


@dataclass(frozen=True)
class Tick:
    """A time at which a schedule would have started a run; `state` is that of the run's execution."""

    time: datetime
    schedule: int
    request: Request
    state: str = PLANNED

    @property
    def run_id(self) -> str:
        """The name of the run's execution."""
        return self.request.run_name

    def as_json(self) -> dict[str, object]:
        """Return what a script may want to know."""
        time = self.request.trigger["scheduledTime"]
        return {"runId": self.run_id, "scheduledTime": time, "schedule": self.schedule, "state": self.state}


def _moment(name: str, text: str) -> Any:  # noqa: ANN401 -- typer's
    return typer.Option(name, metavar="TIME", parser=_time, help=text)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f'"{text}" is no time: write 2026-11-01 or 2026-11-01T12:00.') from None


def backfill_command(  # noqa: PLR0917 -- these are the command's options
    context: typer.Context,
    pipeline: PipelineName,
    start: Annotated[
        datetime, _moment("--from", "The first moment of the period; without a time zone, one of the schedule's own.")
    ],
    end: Annotated[datetime, _moment("--to", "The end of the period, which does not belong to it.")],
    max_concurrent: Annotated[int, typer.Option(min=1, help="How many of the runs may run at a time.")] = 1,
    schedule: Annotated[
        int | None,
        typer.Option(
            min=0, help="Only this one of the pipeline's schedules, also when it is disabled; 0 is the first."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start the runs that the schedules of a pipeline would have started in a period."""
    target: Target = context.obj
    stack = target.stack()
    console = make_console(quiet=as_json)
    ticks = [_looked_up(stack, tick) for tick in find_ticks(stack, pipeline, Period(start, end), schedule)]
    missing = [tick for tick in ticks if tick.state == PLANNED]
    console.print(_summary(ticks), markup=False, soft_wrap=True)
    if dry_run:
        for tick in ticks:
            console.print(f"{tick.state:>9}  {_label(tick)}", markup=False, soft_wrap=True)
    elif missing:
        if not yes:
            confirm(f"Start {_runs(len(missing))} of {pipeline}, {max_concurrent} at a time?")
        ticks = _Backfill(stack, console, target.follow_seconds, max_concurrent).run(ticks)
    if as_json:
        print_json({"pipeline": pipeline, "runs": [tick.as_json() for tick in ticks]})
    started = {tick.run_id for tick in missing}
    failed = [tick for tick in ticks if tick.run_id in started and tick.state not in {PLANNED, PRESENT, "SUCCEEDED"}]
    if failed and not dry_run:
        names = listing([tick.run_id for tick in failed], _SHOWN)
        console.print(
            f"{_runs(len(failed))} did not succeed: {names}. Go on with: {stack.command} repair RUN", soft_wrap=True
        )
        raise typer.Exit(EXIT_RUN_FAILED)


@dataclass(frozen=True)
class Period:
    """A period of the past; without a time zone it is one of each schedule's own zone."""

    start: datetime
    end: datetime

    def within(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Return its first moment, and the one that does not belong to it any more: that is not in the future."""
        start, end = (time if time.tzinfo else time.replace(tzinfo=zone) for time in (self.start, self.end))
        if start >= end:
            raise UsageError(f"The period from {self.start} to {self.end} is empty: --to must be later than --from.")
        return start, min(end, datetime.now(UTC))


def find_ticks(stack: Stack, pipeline: str, period: Period, only: int | None = None) -> list[Tick]:
    """Return the ticks of a pipeline's schedules in a period, in their order.

    Without `only` they are those of all schedules that are enabled.
    """
    registered = PipelineRegistry(stack.run_table).find(pipeline)
    if registered is None:
        raise no_such_pipeline(stack, pipeline)
    entries = dict(enumerate(registered.triggers.get("schedules", [])))
    if only is not None and only not in entries:
        have = f"has {len(entries)}, and 0 is the first" if entries else "has none"
        raise UsageError(f"The pipeline {pipeline} has no schedule {only}: it {have}.")
    chosen = [only] if only is not None else [index for index, entry in entries.items() if entry["enabled"]]
    if not chosen:
        raise UsageError(f"The pipeline {pipeline} has no schedule that is enabled: name one with --schedule.")
    ticks = [tick for index in chosen for tick in _ticks(stack, pipeline, index, entries[index], period)]
    return sorted(ticks, key=lambda tick: (tick.time, tick.schedule))


def _ticks(stack: Stack, pipeline: str, index: int, entry: dict[str, Any], period: Period) -> Iterator[Tick]:
    start, end = period.within(ZoneInfo(entry["timezone"]))
    anchor = _created(stack, pipeline, entry) if entry["expression"].startswith("rate(") else start
    times = parse(entry["expression"], entry["timezone"]).occurrences(start - datetime.resolution, anchor)
    for time in takewhile(lambda time: time < end, times):
        message = schedule_message(pipeline, index, entry, time.isoformat())
        yield Tick(time, index, cast("Request", parse_message(json.dumps(message))))


def _created(stack: Stack, pipeline: str, entry: dict[str, Any]) -> datetime:
    """Return when a schedule was created, from which rate() counts."""
    scheduler = boto3.client("scheduler")
    try:
        found = scheduler.get_schedule(GroupName=stack.name, Name=schedule_name(pipeline, entry))
    except scheduler.exceptions.ResourceNotFoundException as error:
        raise UsageError(
            f"The schedule {entry['expression']} of {pipeline} does not exist in EventBridge Scheduler, so nobody "
            "knows from when it counts: deploy the pipeline again."
        ) from error
    created: datetime = found["CreationDate"]
    return created


def _looked_up(stack: Stack, tick: Tick) -> Tick:
    execution = StepFunctions().describe_execution(execution_arn(stack.pipeline_state_machine_arn, tick.run_id))
    return replace(tick, state=PRESENT) if execution else tick


class _Backfill:
    """Starts runs and waits for them, so many at a time."""

    def __init__(self, stack: Stack, console: Console, every_seconds: float, max_concurrent: int) -> None:
        self._stack = stack
        self._console = console
        self._every_seconds = every_seconds
        self._max_concurrent = max_concurrent
        self._gateway = StepFunctions()
        self._states = boto3.client("stepfunctions")

    def run(self, ticks: Sequence[Tick]) -> list[Tick]:
        """Return the ticks as they are when all of their runs have ended."""
        known = {tick.run_id: tick for tick in ticks}
        try:
            self._run(known)
        except KeyboardInterrupt:
            waiting = Counter(tick.state for tick in known.values())
            self._console.print(
                f"Interrupted: {_runs(waiting[RUNNING])} on the way will go on, {_runs(waiting[PLANNED])} did not "
                "start. The same command starts those."
            )
            raise
        return list(known.values())

    def _run(self, known: dict[str, Tick]) -> None:
        waiting = [tick for tick in known.values() if tick.state == PLANNED]
        while True:
            running = [tick for tick in known.values() if tick.state == RUNNING]
            for tick in running:
                known[tick.run_id] = self._looked_at(tick)
            busy = sum(tick.state == RUNNING for tick in known.values())
            while waiting and busy < self._max_concurrent:
                tick = self._started(waiting.pop(0))
                known[tick.run_id] = tick
                busy += tick.state == RUNNING
            if not busy:
                return
            sleep(self._every_seconds)

    def _started(self, tick: Tick) -> Tick:
        is_new = self._gateway.start_execution(
            self._stack.pipeline_state_machine_arn, tick.run_id, tick.request.run_input
        )
        return self._shown(replace(tick, state=RUNNING if is_new else PRESENT))

    def _looked_at(self, tick: Tick) -> Tick:
        arn = execution_arn(self._stack.pipeline_state_machine_arn, tick.run_id)
        state = self._states.describe_execution(executionArn=arn)["status"]
        return tick if state == tick.state else self._shown(replace(tick, state=state))

    def _shown(self, tick: Tick) -> Tick:
        self._console.print(f"{tick.state:>9}  {_label(tick)}", markup=False, soft_wrap=True)
        return tick


def _summary(ticks: Sequence[Tick]) -> str:
    present = sum(tick.state == PRESENT for tick in ticks)
    if not ticks:
        return "The schedules have no ticks in this period that have passed."
    return f"{_runs(len(ticks))} in this period, {present} of them there already."


def _label(tick: Tick) -> str:
    return f"{tick.request.trigger['scheduledTime']}  {tick.run_id}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
