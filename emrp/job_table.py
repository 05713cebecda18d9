"""The jobs of a run in a table: where each stands in the graph, its state, its time, and its bar in the timeline."""

from collections.abc import Sequence

from emr_pipelines.clock import duration
from emr_pipelines.job_state import JobState
from emr_pipelines.run import NOT_SUBMITTED, Job, Run
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from emrp.glyphs import Glyphs, glyphs, state_text
from emrp.job_tree import Row, is_noteworthy, rows, summary
from emrp.phrases import listing, reason
from emrp.timeline import Phase, bar, frame, spans

_GAP = 2  # between columns
_NARROWEST_BAR = 12
_OTHER_LINES = 10  # of a screen that shows a run
_LONGEST_TIME = len("59 min 59 s")


def job_tree(console: Console, width: int, run: Run, jobs: Sequence[Job]) -> RenderableType:
    """Return all jobs as a tree, and below it what the bars mean and how many jobs are in which state."""
    signs = glyphs(console)
    legend = "  ".join(f"{signs.bar[phase]} {phase.name.lower()}" for phase in Phase)
    table = _table(signs, width, run, list(rows(jobs, signs)))
    return Group(table, Text(legend, style="dim"), *([_counts(jobs)] if len(jobs) > 1 else []))


def live_jobs(console: Console, width: int, run: Run, jobs: Sequence[Job]) -> RenderableType:
    """Return the jobs as a tree if the screen has room for it, else those that are under way or have gone wrong."""
    room = max(console.height - _OTHER_LINES, 1)
    if len(jobs) <= room:
        return job_tree(console, width, run, jobs)
    noteworthy = [job for job in jobs if is_noteworthy(job)]
    shown = sorted(noteworthy, key=lambda job: not job.unsuccessful)[:room]
    table = _table(glyphs(console), width, run, [Row("", job.name, "", job) for job in shown])
    hidden = len(noteworthy) - len(shown)
    return Group(table, *([Text(f"... and {hidden} more", style="dim")] if hidden else []), _counts(jobs))


def _counts(jobs: Sequence[Job]) -> Text:
    return Text(f"{len(jobs)} jobs: {summary(jobs)}", style="dim")


def _table(signs: Glyphs, width: int, run: Run, lines: Sequence[Row]) -> Table:
    started, ended = frame(run)
    cells = [_name(row, signs) for row in lines]
    name_width = min(max((cell.cell_len for cell in cells), default=1), width * 2 // 5)
    state_width = max((len(row.job.state) for row in lines if row.job), default=1)
    widths = [name_width, state_width, _LONGEST_TIME]
    bar_width = width - sum(widths) - _GAP * (len(widths) + 1)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for column_width in widths:
        table.add_column(width=column_width, no_wrap=True, overflow="ellipsis" if signs.is_unicode else "crop")
    table.columns[-1].justify = "right"
    table.add_column(width=max(bar_width, 1), no_wrap=True, overflow="crop")
    for row, cell in zip(lines, cells, strict=True):
        if row.job is None:
            table.add_row(cell)
            continue
        job = row.job
        phases = spans(job, started, ended)
        worked = [span.seconds for span in phases if span.phase is not Phase.WAITING]
        drawn = Text(_instead_of_bar(job), "dim")
        if phases and not drawn and bar_width >= _NARROWEST_BAR:
            drawn = bar(phases, started, ended, bar_width, signs.bar, failed=job.unsuccessful)
        table.add_row(cell, state_text(job.state), duration(sum(worked)) if worked else "", drawn)
    return table


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
    if job.state == NOT_SUBMITTED and job.waiting_for:
        return f"waits for {listing(job.waiting_for)}"
    return ""
