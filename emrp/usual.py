"""How long a run and its jobs usually take: the median of the pipeline's latest runs that succeeded."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import SUCCEEDED, Job, Run

_RUNS = 5  # each is a query, and its jobs are read


@dataclass(frozen=True)
class Usual:
    """Seconds that a run of a pipeline, and each job by its name, usually takes; empty when nobody knows."""

    run: float | None = None
    jobs: dict[str, float] = field(default_factory=dict)


NOTHING_USUAL = Usual()


def usual_durations(record: RunRecord, run: Run) -> Usual:
    """Return what is usual for the pipeline of a run and its jobs."""
    earlier = _earlier(record, run)
    return medians(earlier, [job for other in earlier for job in record.list_jobs(other.run_id)])


def usual_run_duration(record: RunRecord, run: Run) -> float | None:
    """Return what is usual for the pipeline of a run, without a look at its jobs."""
    return medians(_earlier(record, run), []).run


def _earlier(record: RunRecord, run: Run) -> list[Run]:
    """Return the runs that count. Repairs do not: they leave jobs out."""
    if not run.pipeline:
        return []
    found = record.list_runs(run.pipeline, _RUNS + 1, SUCCEEDED)  # one may be the run itself
    return [other for other in found if other.run_id != run.run_id and not other.repair_of][:_RUNS]


def medians(runs: Iterable[Run], jobs: Sequence[Job]) -> Usual:
    """Return the medians of how long runs and jobs took."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.succeeded and not job.reused_from and job.duration_seconds is not None:
            by_name[job.name].append(job.duration_seconds)
    took = [run.duration_seconds for run in runs if run.duration_seconds is not None]
    return Usual(median(took) if took else None, {name: median(seconds) for name, seconds in by_name.items()})
