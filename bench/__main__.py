"""Deploys the stack on a local AWS of its own, measures, and prints what holds and what does not."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench import burst, capacity, handlers, scale
from bench.measure import Measure, resident, spread
from bench.runs import Runs
from emrp import environment
from emrp.deployment import Deployment
from emrp.local import lifecycle
from emrp.pipelines import deploy_project
from emrp.progress import Stages
from emrp.project import Project
from emrp.stack import Stack

_STARTS = 5


def main() -> int:
    """Measure everything, or the parts that are named; return 1 when a promise is not kept."""
    console = Console()
    stages = Stages(console)
    parts = {"runs": _runs_part, "queue": _queue_part, "burst": _burst_part}
    chosen = sys.argv[1:] or list(parts)
    if unknown := set(chosen) - set(parts):
        raise SystemExit(f"There is no part {', '.join(sorted(unknown))}: name some of {', '.join(parts)}, or none.")
    kept = [measure for name in chosen for measure in parts[name](stages)]
    console.print(_table(kept))
    return 0 if all(measure.holds for measure in kept) else 1


def _runs_part(stages: Stages) -> Iterator[Measure]:
    with stages.stage("Import the handlers"):
        yield handlers.measure()
    with stages.stage("Start the local AWS a few times"):
        starts = [_start_seconds() for _ in range(_STARTS)]
    yield Measure("local AWS answers after, median", 2, median(starts), "s", spread(starts))
    with lifecycle.start(port=0) as local_aws, TemporaryDirectory(prefix="emrp-bench-") as folder:
        environment.use(local_aws.environment())
        project = Project.find()
        Deployment(project, "emr-pipelines", local=True).run(stages)
        stack = Stack.describe("emr-pipelines")
        deploy_project(stages, stack, project)
        yield from _run_measures(Runs(stack), stages, Path(folder))
        with stages.stage("Run the salaries job with and without initial capacity"):
            yield capacity.measure(stack, Path(folder))
        yield Measure("local AWS has in memory after all that", 200, resident(local_aws.pid), "MiB")


def _queue_part(stages: Stages) -> Iterator[Measure]:
    with stages.stage("Work off a long queue of job runs"):
        yield from scale.measures()


def _burst_part(stages: Stages) -> Iterator[Measure]:
    with stages.stage("Upload bursts of files"):
        yield from burst.measures()


def _start_seconds() -> float:
    started = time.perf_counter()
    with lifecycle.start(port=0):
        return time.perf_counter() - started


def _run_measures(runs: Runs, stages: Stages, folder: Path) -> Iterator[Measure]:
    with stages.stage("Run small jobs, one after the other"):
        yield from runs.measures()
    with stages.stage("Run the salaries job, in turn with spark-submit"):
        yield runs.overhead(folder)


def _table(kept: list[Measure]) -> Table:
    table = Table(title="What this project promises", title_justify="left")
    for name, justify in (("measure", "left"), ("bar", "right"), ("seen", "right"), ("", "left"), ("", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for measure in kept:
        verdict = "[green]holds[/green]" if measure.holds else "[red]does not hold[/red]"
        bar, seen = (f"{value:.2f} {measure.unit}".strip() for value in (measure.bar, measure.seen))
        table.add_row(measure.name, bar, seen, verdict, measure.note)
    return table


if __name__ == "__main__":
    sys.exit(main())
