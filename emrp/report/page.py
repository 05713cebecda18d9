"""The report as HTML: what the run record tells becomes what the template shows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from emr_pipelines.clock import duration
from emr_pipelines.cost import billed, cost_of_job, prices_of_run, run_cost, usd
from emr_pipelines.job_state import JobState
from emr_pipelines.run import NOT_SUBMITTED, SUCCEEDED, Job, Run
from jinja2 import Environment, PackageLoader, StrictUndefined

from emrp.find_runs import FoundRun
from emrp.glyphs import style_of
from emrp.phrases import cause_of_run, listing, moment, reason, value
from emrp.report import graph
from emrp.report.log_tails import LogTail
from emrp.report.time_axis import Row, Tick, rows, ticks
from emrp.timeline import frame
from emrp.usual import Usual

GENERATOR = "emrp report"  # by which a page is known as one of these

_KINDS = {"green": "good", "red": "bad", "dim": "idle", "cyan": "active"}
_SIGNS = {"good": "✓", "bad": "✗", "idle": "○", "active": "▶"}
_LONGEST_NAME, _KEPT_START, _KEPT_END = 19, 9, 9
_RESOURCES = ("vCPUHour", "memoryGBHour", "storageGBHour")


@dataclass(frozen=True)
class Report:
    """A run and what the page tells about it; `logs` is None when nobody wanted them."""

    found: FoundRun
    jobs: Sequence[Job]
    usual: Usual
    logs: Sequence[LogTail] | None

    @property
    def run(self) -> Run:
        """The run itself."""
        return self.found.run

    @property
    def failed_jobs(self) -> list[Job]:
        """The jobs that ended badly."""
        return [job for job in self.jobs if job.unsuccessful]

    @property
    def logs_of_failed(self) -> list[LogTail]:
        """Where to look first."""
        failed = {job.name for job in self.failed_jobs}
        logs = [tail for tail in self.logs or () if tail.job in failed]
        return sorted(logs, key=lambda tail: -(tail.attempt or 0))

    @property
    def other_logs(self) -> list[LogTail]:
        """The logs of jobs with which nothing is wrong."""
        failed = {job.name for job in self.failed_jobs}
        return [tail for tail in self.logs or () if tail.job not in failed]

    @property
    def states(self) -> str:
        """How many jobs are in which state."""
        counts = Counter(job.state for job in self.jobs).most_common()
        return ", ".join(f"{count} {_words(state)}" for state, count in counts) or "none"

    @property
    def graph(self) -> graph.Graph:
        """The jobs as a picture."""
        return graph.lay_out(self.jobs)

    @property
    def timeline(self) -> list[Row]:
        """When each job did what."""
        return rows(self.run, self.jobs)

    @property
    def ticks(self) -> list[Tick]:
        """The lines of the timeline."""
        start, end = frame(self.run)
        return ticks((end - start).total_seconds())

    @property
    def costs(self) -> list[tuple[Job, list[str]]]:
        """What each job used and what that costs, in the order of the columns."""
        prices = prices_of_run(self.run)
        return [(job, [*_amounts(job.resources), usd(cost_of_job(job, prices))]) for job in self.jobs]

    @property
    def total(self) -> list[str]:
        """The sum of `costs`."""
        return [*_amounts(billed(self.jobs)), usd(run_cost(self.run, self.jobs).emr)]

    @property
    def cost_note(self) -> str:
        """Where the prices come from, and what else a run costs."""
        prices, cost = prices_of_run(self.run), run_cost(self.run, self.jobs)
        if prices is None:
            return "The prices of this region and architecture are not known, so there is no cost."
        more = f"Step Functions adds {usd(cost.step_functions)}, Lambda about {usd(cost.functions)}."
        return f"An estimate at list prices: {prices.region}, {prices.architecture}, {prices.dated}. {more}"

    @property
    def cost(self) -> str:
        """What the whole run costs."""
        return usd(run_cost(self.run, self.jobs).total)

    @property
    def vcpu_hours(self) -> str:
        """What EMR bills most of."""
        return _amounts(billed(self.jobs))[0]

    @property
    def versions(self) -> list[tuple[str, str]]:
        """What exactly ran."""
        run = self.run
        application = f"{run.application_id} ({run.lifecycle})" if run.application_id else None
        facts = [
            ("Pipeline file", run.pipeline_file),
            ("Version of the file", run.pipeline_version),
            ("EMR release", run.application.get("releaseLabel") or run.cluster.get("ReleaseLabel")),
            ("Type", run.application.get("type")),
            ("Architecture", run.application.get("architecture")),
            (run.place, application),
            ("Execution", run.execution_arn),
            ("Repair of", run.repair_of),
            ("Repaired by", run.repaired_by),
        ]
        return [(name, text) for name, text in facts if text]

    @property
    def trigger(self) -> list[tuple[str, str]]:
        """What started the run."""
        details = {name: detail for name, detail in self.run.trigger.items() if detail is not None}
        return [(str(name), value(detail)) for name, detail in details.items()]

    @property
    def results(self) -> list[tuple[str, str]]:
        """Where what the run has made lies."""
        run = [("The run", f"{self.run.output}/")] if self.run.output else []
        return run + [(job.name, job.output_uri) for job in self.jobs if job.succeeded and job.output_uri]

    @property
    def log_locations(self) -> list[tuple[str, str]]:
        """Where the whole logs lie."""
        return [(job.name, job.log_location) for job in self.jobs if job.log_location]

    @property
    def advice(self) -> list[tuple[str, str]]:
        """What to do now, as commands."""
        run = self.run
        if not run.ended:
            return [("Follow it", f"emrp watch {run.run_id}"), ("Stop it", f"emrp cancel {run.run_id}")]
        if run.state == SUCCEEDED or run.repaired_by or not self.jobs:
            return []
        logs = [
            (f"All that {job.name} has printed", f"emrp logs {run.run_id} {job.name}") for job in self._first_failed
        ]
        return [*logs, ("Go on where it failed", f"emrp repair {run.run_id}")]

    @property
    def _first_failed(self) -> Iterator[Job]:
        yield from (job for job in self.failed_jobs[:1] if job.job_run_id)


def render(report: Report) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("emrp.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "kind": kind,
        "listing": listing,
        "moment": moment,
        "reason": reason,
        "short": short,
        "value": value,
        "words": _words,
    }
    page = environment.get_template("report.html.j2")
    return page.render(
        report=report,
        run=report.run,
        jobs=report.jobs,
        numbers={job.name: number for number, job in enumerate(report.jobs, start=1)},
        cause=cause_of_run(report.run.trigger, report.run.repair_of),
        made_at=datetime.now(UTC),
        generator=GENERATOR,
        version=version("emr-pipelines"),
        signs=_SIGNS,
        second_line=second_line,
        box=(graph.WIDTH, graph.HEIGHT),
    )


def kind(state: str) -> str:
    """Return what there is to see of a state: good, bad, idle or active."""
    return _KINDS[style_of(state)]


def short(name: str) -> str:
    """Return what a box has room for of a name: iterations differ at the end."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_KEPT_START]}…{name[-_KEPT_END:]}"


def second_line(job: Job) -> str:
    """Return what stands below the name of a job in its box."""
    if job.reused_from:
        return "done by an earlier run"
    if job.state == NOT_SUBMITTED and job.waiting_for:
        return f"waits for {len(job.waiting_for)} more" if len(job.waiting_for) > 1 else "waits for another"
    took = "" if job.state == JobState.SKIPPED or job.duration_seconds is None else f" {duration(job.duration_seconds)}"
    return f"{_words(job.state)}{took}"


def _words(state: str) -> str:
    return state.replace("_", " ").lower()


def _amounts(resources: dict[str, float]) -> list[str]:
    return [f"{resources[name]:.3f}" if name in resources else "-" for name in _RESOURCES]
