"""Loops become jobs: `model` over two values is `model.1` and `model.2`, and dependencies are drawn between these."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emr_pipelines.graph import in_order, reversed_graph


@dataclass(frozen=True, kw_only=True)
class Node:
    """A job of a run before its request is rendered.

    `path` tells where its definition stands in the file. A node that is `skipped` is known not to run.
    """

    name: str
    definition: Mapping[str, Any]
    path: str
    position: int = 0
    loop: str | None = None
    item: dict[str, Any] = field(default_factory=dict)
    run_if: str = "ALL_SUCCESS"
    upstream: Sequence[str] = ()
    after: Sequence[str] = ()
    skipped: str | None = None


def expand(jobs: Sequence[Mapping[str, Any]], loops: Mapping[str, Sequence[Any]]) -> list[Node]:
    """Return the jobs of a run in an order in which each comes after those that it waits for.

    `loops` has the values of each forEach, by the name of its job or group. What depends on a loop without values
    depends on what the loop depends on instead.
    """
    by_name = {job["name"]: (index, job) for index, job in enumerate(jobs)}
    nodes: list[Node] = []
    stands_for: dict[str, list[str]] = {}
    for name in in_order({name: job["dependsOn"] for name, (_, job) in by_name.items()}):
        index, job = by_name[name]
        upstream = list(dict.fromkeys(end for other in job["dependsOn"] for end in stands_for[other]))
        if job["runIf"] == "ANY_FAILED" and not upstream:
            why = "runIf: ANY_FAILED, and no job came before this one that could have failed."
            new, stands_for[name] = [Node(name=name, definition=job, path=f"jobs[{index}]", skipped=why)], [name]
        elif name not in loops:
            node = Node(
                name=name, definition=job, path=f"jobs[{index}]", run_if=_run_if(job, upstream), upstream=upstream
            )
            new, stands_for[name] = [node], [name]
        elif loops[name]:
            new = list(_iterations(job, f"jobs[{index}]", loops[name], upstream))
            leaves = set(_leaves(job))
            stands_for[name] = [node.name for node in new if node.definition["name"] in leaves]
        else:
            (variable,) = job["forEach"]
            why = f"forEach: {variable} is an empty list."
            new, stands_for[name] = [Node(name=name, definition=job, path=f"jobs[{index}]", skipped=why)], upstream
        nodes += new
    return [replace(node, position=position) for position, node in enumerate(nodes)]


def repeated(job: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what a loop repeats: the jobs of a group, or the job itself."""
    jobs: Sequence[Mapping[str, Any]] = job.get("jobs") or [job]
    return jobs


def _iterations(loop: Mapping[str, Any], path: str, values: Sequence[Any], upstream: list[str]) -> Iterator[Node]:
    members = {job["name"]: job for job in repeated(loop)}
    inner = _inner_graph(loop)
    order, leaves = in_order(inner), _leaves(loop)
    paths = {name: f"{path}.jobs[{index}]" if "jobs" in loop else path for index, name in enumerate(members)}
    (variable,) = loop["forEach"]
    width = loop["maxConcurrency"]
    for number, value in enumerate(values, start=1):
        before = [f"{leaf}.{number - width}" for leaf in leaves] if number > width else []
        roots_upstream = [*upstream, *before] if width == 1 else upstream
        for name in order:
            is_root = not inner[name]
            yield Node(
                name=f"{name}.{number}",
                definition=members[name],
                path=paths[name],
                loop=loop["name"],
                item={variable: value},
                run_if=_run_if(loop, roots_upstream) if is_root else members[name]["runIf"],
                upstream=roots_upstream if is_root else [f"{other}.{number}" for other in inner[name]],
                after=before if is_root and width > 1 else (),
            )


def _inner_graph(loop: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    return {job["name"]: job["dependsOn"] if "jobs" in loop else () for job in repeated(loop)}


def _leaves(loop: Mapping[str, Any]) -> list[str]:
    return [name for name, dependents in reversed_graph(_inner_graph(loop)).items() if not dependents]


def _run_if(job: Mapping[str, Any], upstream: Sequence[str]) -> str:
    """Return what decides; where loops over nothing have left no upstream job, nothing is in the way."""
    return job["runIf"] if upstream else "ALL_SUCCESS"
