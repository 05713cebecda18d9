"""How a run that is followed looks: on a terminal its graph, in place; in a log a line for each thing that happens."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from emr_pipelines.clock import duration
from emr_pipelines.run import NOT_SUBMITTED, Job
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from emrp.follow import MAP_STATE, Picture, RunFollower
from emrp.glyphs import Glyphs, glyphs, state_text
from emrp.history import Step
from emrp.job_table import live_jobs
from emrp.phrases import cause_of_run, reason, value
from emrp.timeline import Phase, frame, seconds_by_phase, spans

_REFRESHES_PER_SECOND = 8


def show_run(console: Console, follower: RunFollower, every_seconds: float, hint: str = "") -> Picture:
    """Show a run until it has ended, and return its last picture; `hint` stands below it on a terminal."""
    with RunScreen(console, hint) if console.is_interactive else nullcontext(RunLog(console)) as view:
        for picture in follower.follow(every_seconds):
            view.show(picture)
    return picture


class RunLog:
    """Prints a line for each state of the run that is over and for each new state of a job."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._glyphs = glyphs(console)
        self._printed: set[tuple[int, datetime]] = set()  # steps, by place and start
        self._states: dict[str, str] = {}

    def show(self, picture: Picture) -> None:
        """Print what is new."""
        for line in self._new(picture):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _new(self, picture: Picture) -> Iterator[Text]:
        for place, step in enumerate(picture.steps):
            if step.name == MAP_STATE:  # what the jobs did comes before its end
                yield from (_job_line(self._glyphs, picture, job) for job in picture.jobs if self._is_news(job))
            if step.ended_at and (place, step.started_at) not in self._printed:
                self._printed.add((place, step.started_at))
                yield _step_line(self._glyphs, step, step.ended_at)

    def _is_news(self, job: Job) -> bool:
        before = self._states.get(job.name, NOT_SUBMITTED)
        self._states[job.name] = job.state
        return job.state != before


class RunScreen:
    """Draws the run, which is its `picture`, in place; a context manager."""

    def __init__(self, console: Console, hint: str = "") -> None:
        self._console = console
        self._hint = hint
        self._glyphs = glyphs(console)
        self._spinner = Spinner("dots" if self._glyphs.is_unicode else "line")
        self._live = Live(console=console, refresh_per_second=_REFRESHES_PER_SECOND)
        self.picture: Picture | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, picture: Picture) -> None:
        """Show the run as it now is."""
        self.picture = picture
        self._live.update(self, refresh=True)

    def __rich__(self) -> RenderableType:
        """Render anew at every refresh, so that the times of what is running move."""
        picture = self.picture
        if picture is None:
            return Text()
        parts: list[RenderableType] = [_title(picture), Text(), self._steps(picture)]
        if picture.run and picture.jobs:
            parts += [
                "",
                live_jobs(
                    self._console,
                    self._console.width,
                    picture.run,
                    picture.jobs,
                    usual=picture.usual,
                    progress=picture.progress,
                ),
            ]
        if self._hint and not picture.ended:
            parts += ["", Text(self._hint, style="dim")]
        return Group(*parts)

    def _steps(self, picture: Picture) -> Text:
        """Return the states of the run side by side."""
        now = picture.ended_at or datetime.now(UTC)
        cells = [
            Text.assemble(self._mark(step), " ", step.name, (f" {duration(step.seconds(now))}", "dim"))
            for step in picture.steps
        ]
        return Text("   ").join(cells)

    def _mark(self, step: Step) -> Text:
        if step.ended_at or step.failed:
            return self._glyphs.mark("FAILED" if step.failed else "SUCCEEDED")
        frame = self._spinner.render(time.monotonic())
        return frame if isinstance(frame, Text) else Text(self._glyphs.active)


def _title(picture: Picture) -> Text:
    seconds = ((picture.ended_at or datetime.now(UTC)) - picture.started_at).total_seconds()
    state = picture.run.state if picture.run and picture.run.ended else picture.status
    title = Text.assemble((picture.run_id, "bold"), "  ", state_text(state), f"  {duration(seconds)}")
    if picture.usual.run is not None:
        title.append(f" of usually {duration(picture.usual.run)}", "dim")
    if picture.run:
        given = ", ".join(f"{name} = {value(of)}" for name, of in picture.run.parameters.items())
        started = cause_of_run(picture.run.trigger, picture.run.repair_of)
        title.append(f"\n{reason(f'{started}; {given}' if given else started)}", "dim")
    return title


def _step_line(signs: Glyphs, step: Step, ended_at: datetime) -> Text:
    line = Text.assemble(signs.mark("FAILED" if step.failed else "SUCCEEDED"), f" {step.name}")
    line.append(f"  {duration(step.seconds(ended_at))}", "dim")
    return line.append(f"  {step.detail}") if step.detail else line


def _job_line(signs: Glyphs, picture: Picture, job: Job) -> Text:
    line = Text.assemble(signs.mark(job.state), f" {MAP_STATE} > {job.name}  ", state_text(job.state))
    if job.reused_from:
        return line.append(f"  done by {job.reused_from}")
    phases = spans(job, *frame(picture.run)) if picture.run else []
    attempt = max((span.attempt for span in phases), default=1)
    if attempt > 1:
        line.append(f" in attempt {attempt}")
    took = seconds_by_phase([span for span in phases if span.attempt == attempt and span.phase is not Phase.WAITING])
    if took:
        line.append(f"  {', '.join(f'{phase.name.lower()} {duration(seconds)}' for phase, seconds in took.items())}")
    if job.succeeded and job.name in picture.usual.jobs:
        line.append(f", usually {duration(picture.usual.jobs[job.name])}")
    return line.append(f": {reason(job.state_details)}") if job.ended and not job.succeeded else line
