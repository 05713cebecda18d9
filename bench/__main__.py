"""Deploys the stack on a local AWS of its own, measures, and prints what holds and what does not."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench import capacity, handlers, scale
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
    """Measure everything; return 1 when a promise is not kept."""
    console = Console()
    stages = Stages(console)
    kept: list[Measure] = []
    with stages.stage("Import the handlers"):
        kept.append(handlers.measure())
    with stages.stage("Start the local AWS a few times"):
        starts = [_start_seconds() for _ in range(_STARTS)]
    kept.append(Measure("local AWS answers after, median", 2, median(starts), "s", spread(starts)))
    with lifecycle.start(port=0) as local_aws, TemporaryDirectory(prefix="emrp-bench-") as folder:
        environment.use(local_aws.environment())
        project = Project.find()
        Deployment(project, "emr-pipelines", local=True).run(stages)
        stack = Stack.describe("emr-pipelines")
        deploy_project(stages, stack, project)
        kept += _run_measures(Runs(stack), stages, Path(folder))
        with stages.stage("Run the salaries job with and without initial capacity"):
            kept.append(capacity.measure(stack, Path(folder)))
        kept.append(Measure("local AWS has in memory after all that", 200, resident(local_aws.pid), "MiB"))
    with stages.stage("Work off a long queue of job runs"):
        kept += scale.measures()
    console.print(_table(kept))
    return 0 if all(measure.holds for measure in kept) else 1


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
    table = Table(title="What DESIGN.md promises", title_justify="left")
    for name, justify in (("measure", "left"), ("bar", "right"), ("seen", "right"), ("", "left"), ("", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for measure in kept:
        verdict = "[green]holds[/green]" if measure.holds else "[red]does not hold[/red]"
        bar, seen = (f"{value:.2f} {measure.unit}".strip() for value in (measure.bar, measure.seen))
        table.add_row(measure.name, bar, seen, verdict, measure.note)
    return table


if __name__ == "__main__":
    sys.exit(main())
