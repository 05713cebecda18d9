"""The jobs of a run as a tree: each below the last of its upstream jobs, the iterations of a loop together.

A graph is not a tree: a job with several upstream jobs stands once and says which ones they are. A loop is one node,
whatever order its iterations have among themselves.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from emr_pipelines.run import NOT_SUBMITTED, Job

from emrp.glyphs import Glyphs
from emrp.phrases import listing, value

_SHOWN_ITERATIONS = 20
_DEEPEST = 24  # characters of guides; what is deeper is not indented further


@dataclass(frozen=True)
class Row:
    """A line of the tree: a job, or what stands for several; `note` is what there is to know of it."""

    guides: str
    name: str
    note: str
    job: Job | None


@dataclass(frozen=True)
class _Twig:
    name: str
    note: str
    job: Job | None
    children: Callable[[], "list[_Twig]"]


def rows(jobs: Sequence[Job], glyphs: Glyphs) -> Iterator[Row]:
    """Yield the lines of the tree of jobs that are in topological order."""
    # Not recursive: a thousand jobs may be one chain.
    stack = [(twig, "", "") for twig in reversed(_forest(jobs, lambda job: job.loop or job.name))]
    while stack:
        twig, own, below = stack.pop()
        yield Row(own[-_DEEPEST:], twig.name, twig.note, twig.job)
        last = True
        for child in reversed(twig.children()):
            sign, guide = (glyphs.last_branch, "  ") if last else (glyphs.branch, glyphs.trunk)
            stack.append((child, below + sign, below + guide))
            last = False


def summary(jobs: Iterable[Job]) -> str:
    """Count jobs by their states."""
    return ", ".join(f"{count} {state}" for state, count in Counter(job.state for job in jobs).most_common())


def _forest(jobs: Iterable[Job], node_of: Callable[[Job], str]) -> list[_Twig]:
    """Return the roots of the graph whose nodes are named by `node_of`, in the order of the jobs."""
    nodes: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        nodes[node_of(job)].append(job)
    nodes_of_jobs = {job.name: node for node, members in nodes.items() for job in members}
    children: dict[str | None, list[str]] = defaultdict(list)
    upstream: dict[str, list[str]] = {}
    for node, members in nodes.items():
        above = {nodes_of_jobs[name] for job in members for name in job.upstream if name in nodes_of_jobs} - {node}
        upstream[node] = [name for name in nodes if name in above] if above else []
        children[upstream[node][-1] if above else None].append(node)

    def twig(node: str) -> _Twig:
        return _twig(node, nodes[node], upstream[node], lambda: [twig(child) for child in children[node]])

    return [twig(node) for node in children[None]]


def _twig(node: str, jobs: list[Job], upstream: list[str], children: Callable[[], list[_Twig]]) -> _Twig:
    notes = [f"after {listing(upstream)}"] if len(upstream) > 1 else []
    if jobs[0].loop != node:
        return _Twig(node, "; ".join([*notes, *_notes(jobs[0])]), jobs[0], children)
    variables = ", ".join(jobs[0].item)
    note = "; ".join([f"for each {variables}: {_how_many(jobs)}", *notes])
    return _Twig(node, note, None, lambda: [*_iterations(node, jobs), *children()])


def _iterations(loop: str, jobs: list[Job]) -> list[_Twig]:
    """Return one twig for each iteration; of many only those in which something happens or went wrong."""
    iterations = [list(members) for _, members in groupby(sorted(jobs, key=_iteration), _iteration)]
    shown = iterations
    if len(iterations) > _SHOWN_ITERATIONS:
        shown = [members for members in iterations if any(map(is_noteworthy, members))][:_SHOWN_ITERATIONS]
    twigs = [_iteration_twig(loop, members) for members in shown]
    shown_jobs = {job.name for members in shown for job in members}
    if hidden := [job for job in jobs if job.name not in shown_jobs]:
        twigs.append(_Twig("...", f"and {_how_many(hidden)}", None, list))
    return twigs


def _iteration_twig(loop: str, jobs: list[Job]) -> _Twig:
    item = ", ".join(f"{name} = {value(bound)}" for name, bound in jobs[0].item.items())
    if jobs[0].definition == loop:
        return _Twig(jobs[0].name, "; ".join([item, *_notes(jobs[0])]), jobs[0], list)
    return _Twig(f"{loop}.{_iteration(jobs[0])}", item, None, lambda: _forest(jobs, lambda job: job.name))


def _notes(job: Job) -> list[str]:
    return [f"runs if {job.run_if}"] if job.run_if != "ALL_SUCCESS" else []


def _how_many(jobs: Sequence[Job]) -> str:
    """Count jobs by their states; in a plan, and until the first of them is submitted, they are just jobs."""
    if all(job.state == NOT_SUBMITTED for job in jobs):
        return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    return summary(jobs)


def _iteration(job: Job) -> int:
    return int(job.name.removeprefix(f"{job.definition}."))


def is_noteworthy(job: Job) -> bool:
    """Tell whether a job is under way or has gone wrong, and so is to be seen among many."""
    return job.unsuccessful or not (job.ended or job.state == NOT_SUBMITTED)
