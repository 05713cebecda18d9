"""The jobs of a run in a table: where each stands in the graph, its state, its time, and its bar in the timeline."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from types import MappingProxyType

from emr_pipelines.clock import duration
from emr_pipelines.job_state import JobState
from emr_pipelines.run import NOT_SUBMITTED, Job, Run
from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.text import Text

from emrp.glyphs import Glyphs, glyphs, state_text
from emrp.job_tree import Row, is_noteworthy, rows, summary
from emrp.phrases import listing, reason
from emrp.spark_ui import SparkProgress
from emrp.timeline import Phase, Span, bar, frame, spans
from emrp.usual import NOTHING_USUAL, Usual

_GAP = 2  # between columns
_LONG = 1.5  # times what is usual
_NARROWEST_BAR = 12
_OTHER_LINES = 10  # of a screen that shows a run
_COLUMNS, _TIME_COLUMN = 4, 2
_PROGRESS_CELLS = 20


def job_tree(
    console: Console,
    width: int,
    run: Run,
    jobs: Sequence[Job],
    *,
    usual: Usual = NOTHING_USUAL,
    progress: Mapping[str, SparkProgress] = MappingProxyType({}),
) -> RenderableType:
    """Return all jobs as a tree, and below it what the bars mean and how many jobs are in which state."""
    signs = glyphs(console)
    legend = "  ".join(f"{signs.bar[phase]} {phase.name.lower()}" for phase in Phase)
    table = _lines(signs, width, run, list(rows(jobs, signs)), usual=usual, progress=progress)
    return Group(table, Text(legend, style="dim"), *([_counts(jobs)] if len(jobs) > 1 else []))


def live_jobs(
    console: Console, width: int, run: Run, jobs: Sequence[Job], *, usual: Usual, progress: Mapping[str, SparkProgress]
) -> RenderableType:
    """Return the jobs as a tree if the screen has room for it, else those that are under way or have gone wrong."""
    room = max(console.height - _OTHER_LINES, 1)
    if len(jobs) + len(progress) <= room:
        return job_tree(console, width, run, jobs, usual=usual, progress=progress)
    noteworthy = [job for job in jobs if is_noteworthy(job)]
    shown = sorted(noteworthy, key=lambda job: not job.unsuccessful)[:room]
    lines = [Row("", job.name, "", job) for job in shown]
    fits = len(shown) + len(progress) <= room
    table = _lines(glyphs(console), width, run, lines, usual=usual, progress=progress if fits else {})
    hidden = len(noteworthy) - len(shown)
    return Group(table, *([Text(f"... and {hidden} more", style="dim")] if hidden else []), _counts(jobs))


def _counts(jobs: Sequence[Job]) -> Text:
    return Text(f"{len(jobs)} jobs: {summary(jobs)}", style="dim")


def _lines(
    signs: Glyphs, width: int, run: Run, shown: Sequence[Row], *, usual: Usual, progress: Mapping[str, SparkProgress]
) -> Group:
    """Return a line for each row in columns; what stands for several jobs has no cells, and all the room."""
    started, ended = frame(run)
    phases = {row.job.name: spans(row.job, started, ended) for row in shown if row.job}
    cells = [
        _cells(row, row.job, signs, phases[row.job.name], usual) if row.job else [_name(row, signs)] for row in shown
    ]
    widths = [
        max((row[column].cell_len for row in cells if len(row) > column), default=0) for column in range(_COLUMNS)
    ]
    widths[0] = min(max((row[0].cell_len for row in cells if len(row) > 1), default=1), width * 2 // 5)
    room = max(width - sum(widths) - _GAP * sum(map(bool, widths)), 0)
    cut: OverflowMethod = "ellipsis" if signs.is_unicode else "crop"
    lines: list[Text] = []
    for row, columns in zip(shown, cells, strict=True):
        line = Text(no_wrap=True, overflow=cut)
        if row.job is None:
            lines.append(line.append_text(columns[0]))
            continue
        for column, (cell, column_width) in enumerate(zip(columns, widths, strict=True)):
            cell.truncate(column_width, overflow=cut)
            cell.align("right" if column == _TIME_COLUMN else "left", column_width)
            line.append_text(cell).append(" " * _GAP if column_width else "")
        line.append_text(_rest(signs, row.job, phases[row.job.name], (started, ended), room))
        lines.append(line)
        if row.job.name in progress:
            below = row.guides.replace(signs.last_branch, "  ").replace(signs.branch, signs.trunk)
            lines.append(
                Text(no_wrap=True, overflow=cut)
                .append(f"{below}  ", "dim")
                .append_text(_progress(signs, progress[row.job.name]))
            )
    return Group(*lines)


def _cells(row: Row, job: Job, signs: Glyphs, phases: Sequence[Span], usual: Usual) -> list[Text]:
    worked = [span.seconds for span in phases if span.phase is not Phase.WAITING]
    took = Text(duration(sum(worked)) if worked else "", "yellow" if sum(worked) > _slow(job, usual) else "")
    return [_name(row, signs), _state(job, phases), took, Text(_usually(job, usual), "dim")]


def _rest(signs: Glyphs, job: Job, phases: Sequence[Span], during: tuple[datetime, datetime], room: int) -> Text:
    """Return the bar of a job, or why it has none."""
    if instead := _instead_of_bar(job):
        return Text(instead, "dim")
    if not phases or room < _NARROWEST_BAR:
        return Text()
    return bar(phases, *during, room, signs.bar, failed=job.unsuccessful)


def _progress(signs: Glyphs, of: SparkProgress) -> Text:
    done = round(of.share * _PROGRESS_CELLS)
    rest = signs.progress[1] * (_PROGRESS_CELLS - done)
    return Text.assemble((signs.progress[0] * done, "cyan"), (rest, "dim"), f" {of}")


def _slow(job: Job, usual: Usual) -> float:
    """Return the seconds from which a job takes long."""
    return _LONG * usual.jobs.get(job.name, inf)


def _usually(job: Job, usual: Usual) -> str:
    known = job.name in usual.jobs and not job.reused_from and job.state != JobState.SKIPPED
    return f"of {duration(usual.jobs[job.name])}" if known else ""


def _state(job: Job, phases: Sequence[Span]) -> Text:
    if job.state == NOT_SUBMITTED:
        return Text()  # what it waits for says more
    attempt = max((span.attempt for span in phases), default=1)
    return state_text(job.state).append(f" attempt {attempt}" if attempt > 1 else "", "dim")


def _name(row: Row, signs: Glyphs) -> Text:
    cell = Text(row.guides, "dim")
    if row.job:
        cell.append_text(signs.mark(row.job.state)).append(" ")
    cell.append(row.name, "not dim")
    return cell.append(f"  {row.note}", "dim") if row.note else cell


def _instead_of_bar(job: Job) -> str:
    if job.reused_from:
        return f"done by {job.reused_from}"
    if job.state == JobState.SKIPPED:
        return reason(job.state_details)
    if job.state == NOT_SUBMITTED:
        return f"waits for {listing(job.waiting_for) or 'the application'}"
    return ""
