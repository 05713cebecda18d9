"""What `emrp show` tells about a run: the facts, the jobs as a tree beside their timeline, and each job in detail."""

from collections.abc import Sequence
from typing import Any

from emr_pipelines.clock import duration
from emr_pipelines.cost import billed, run_cost, usd
from emr_pipelines.run import Job, Run
from rich.console import Console, Group, RenderableType
from rich.text import Text

from emrp.find_runs import FoundRun
from emrp.glyphs import state_text
from emrp.job_table import job_tree
from emrp.phrases import listing, moment, reason, value
from emrp.timeline import frame, seconds_by_phase, spans
from emrp.usual import Usual

_DETAILED_JOBS = 10
_RESOURCES = {"vCPUHour": "vCPU h", "memoryGBHour": "GB h memory", "storageGBHour": "GB h storage"}
_ATTEMPT_FIELDS = {"vCPUHour": "vCpuHours", "memoryGBHour": "memoryGbHours", "storageGBHour": "storageGbHours"}


def report(console: Console, found: FoundRun, jobs: Sequence[Job], usual: Usual, more: str) -> RenderableType:
    """Return everything about a run, for the width and the signs of a console; `more` stands below jobs left out."""
    parts: list[RenderableType] = [_lines(_run_facts(found, jobs, usual))]
    if jobs:
        parts += ["", job_tree(console, console.width, found.run, jobs, usual=usual)]
    detailed = jobs if len(jobs) <= _DETAILED_JOBS else [job for job in jobs if job.unsuccessful][:_DETAILED_JOBS]
    for job in detailed:
        parts += ["", job_details(found.run, job)]
    if len(detailed) < len(jobs):
        parts += ["", Text(more, style="dim")]
    return Group(*parts)


def job_details(run: Run, job: Job) -> RenderableType:
    """Return everything about a job."""
    return Group(Text.assemble((job.name, "bold"), "  ", state_text(job.state)), _lines(_job_facts(run, job)))


Facts = list[tuple[str, str | None]]


def _lines(facts: Facts) -> RenderableType:
    """Return a line for each fact that there is; long ones are not broken, so that they can be copied whole."""
    known = [(name, text) for name, text in facts if text]
    width = max(len(name) for name, _ in known) + 2
    lines = Text(no_wrap=True, overflow="ignore")
    for name, text in known:
        indented = text.strip().replace("\n", f"\n{' ' * width}")
        lines.append(f"{name:<{width}}", "dim").append(f"{indented}\n")
    lines.right_crop()
    return lines


def _run_facts(found: FoundRun, jobs: Sequence[Job], usual: Usual) -> Facts:
    run = found.run
    cost = run_cost(run, jobs).total
    usually = f", usually {duration(usual.run)}" if usual.run is not None else ""
    trigger = {name: detail for name, detail in run.trigger.items() if name != "type" and detail is not None}
    return [
        ("Run", run.run_id),
        ("Pipeline", run.pipeline or "(none named)"),
        ("File", run.pipeline_file),
        ("Version", run.pipeline_version),
        ("State", _state_of(found)),
        ("Why", ": ".join(filter(None, [run.error, run.cause]))),
        ("Stopping", run.stopping if run.stopping != run.cause else None),
        ("Started", moment(run.started_at)),
        ("Ended", moment(run.ended_at) if run.ended_at else None),
        ("Duration", f"{duration(found.seconds)}{usually}"),
        ("Deadline", moment(run.deadline) if run.deadline else None),
        ("Trigger", str(run.trigger.get("type", "execution"))),
        *((f"  {name}", value(detail)) for name, detail in trigger.items()),
        *((f"Parameter {name}", value(detail)) for name, detail in run.parameters.items()),
        ("Repair of", run.repair_of),
        ("Repaired by", run.repaired_by),
        (run.place, f"{run.application_id} ({run.lifecycle})" if run.application_id else None),
        ("Output", f"{run.output}/" if run.output else None),
        ("Resources", _resources(billed(jobs), "billed, all jobs")),
        ("Cost", f"{usd(cost)} (an estimate at list prices)" if cost is not None else None),
        ("Execution", run.execution_arn),
    ]


def _state_of(found: FoundRun) -> str:
    state = found.run.state
    if not found.recorded:
        return f"{state} as Step Functions says; the run record does not know this run"
    if not found.run.ended and found.execution_status not in {None, "RUNNING"}:
        return f"{state}; its execution is {found.execution_status}, clean_up has not recorded the end yet"
    return state


def _job_run(job: Job) -> tuple[str, str | None]:
    what, place = ("Step", "cluster") if job.on_cluster else ("Job run", "application")
    return what, f"{job.job_run_id} of {place} {job.application_id}" if job.job_run_id else None


def _job_facts(run: Run, job: Job) -> Facts:
    phases = seconds_by_phase(spans(job, *frame(run)))
    upstream = listing(sorted({*job.upstream, *job.after}))
    return [
        ("Why", job.state_details if not job.succeeded else None),
        ("For", ", ".join(f"{name} = {value(bound)}" for name, bound in job.item.items())),
        ("Done by", job.reused_from),
        ("Waits for", listing(job.waiting_for) if not job.ended else None),
        ("After", upstream if job.run_if == "ALL_SUCCESS" else f"{upstream} (runs if {job.run_if})"),
        ("Times", ", ".join(f"{phase.name.lower()} {duration(seconds)}" for phase, seconds in phases.items())),
        *((f"Attempt {attempt['attempt']}", _attempt(attempt)) for attempt in _several(job.attempt_history)),
        ("Resources", _resources(job.resources, "billed")),
        _job_run(job),
        ("Logs", job.log_location),
        ("Output URI", job.output_uri if job.succeeded else None),
    ]


def _several(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return attempts if len(attempts) > 1 else []


def _attempt(attempt: dict[str, Any]) -> str:
    billed = {name: attempt[field] for name, field in _ATTEMPT_FIELDS.items() if attempt.get(field)}
    times = f"{moment(attempt.get('startedAt'))} to {moment(attempt.get('endedAt'))}"
    facts = [str(attempt.get("state")), times, _resources(billed, "billed"), reason(attempt.get("reason"))]
    return ", ".join(fact for fact in facts if fact)


def _resources(used: dict[str, float], note: str) -> str:
    amounts = ", ".join(f"{used[name]:.3g} {unit}" for name, unit in _RESOURCES.items() if name in used)
    return f"{amounts} ({note})" if amounts else ""
