"""The order of jobs: who depends on whom, what is wrong with it, and which order follows from it.

A graph is a mapping from each name to the names that it depends on.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from emr_pipelines.errors import Problem
from emr_pipelines.hints import did_you_mean

Graph = Mapping[str, Sequence[str]]


def check_graph(graph: Graph, paths: Mapping[str, str], where: str) -> Iterator[Problem]:
    """Yield what is wrong with the dependencies; `paths` tells where each job stands, `where` in what they are."""
    for name, upstream in graph.items():
        for index, other in enumerate(upstream):
            path = f"{paths[name]}.dependsOn[{index}]"
            if other == name:
                yield Problem(path, f'"{name}" cannot depend on itself; remove it')
            elif other not in graph:
                yield Problem(path, f'there is no job "{other}" {where}; {did_you_mean(other, graph)}')
            elif other in upstream[:index]:
                yield Problem(path, f'"{other}" is named twice; once is enough')
    for cycle in _cycles(graph):
        path = f"{paths[cycle[0]]}.dependsOn"
        yield Problem(
            path, f"goes round in a circle, so nothing could start: {' -> '.join(cycle)}; remove one of these"
        )


def in_order(graph: Graph) -> list[str]:
    """Return the names so that each comes after those that it depends on, and otherwise in the order of the file."""
    position = {name: index for index, name in enumerate(graph)}
    names = list(graph)
    open_upstream = {name: len(set(upstream)) for name, upstream in graph.items()}
    dependents = reversed_graph(graph)
    ready = [position[name] for name, count in open_upstream.items() if count == 0]
    heapify(ready)
    order = []
    while ready:
        name = names[heappop(ready)]
        order.append(name)
        for dependent in dependents[name]:
            open_upstream[dependent] -= 1
            if open_upstream[dependent] == 0:
                heappush(ready, position[dependent])
    return order


def reversed_graph(graph: Graph) -> dict[str, list[str]]:
    """Return which names depend on each name, in the order of the graph."""
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    for name, upstream in graph.items():
        for other in dict.fromkeys(upstream):
            dependents[other].append(name)
    return dependents


def ancestors(graph: Graph) -> dict[str, set[str]]:
    """Return everything that comes before each name, however far."""
    found: dict[str, set[str]] = {}
    for name in in_order(graph):
        found[name] = set(graph[name]).union(*(found[other] for other in graph[name]))
    return found


def _cycles(graph: Graph) -> Iterator[list[str]]:
    """Yield the circles, in which each depends on the next: one is broken up before another is looked for."""
    rest = {name: [other for other in dict.fromkeys(upstream) if other in graph and other != name]
            for name, upstream in graph.items()}  # fmt: skip
    position = {name: index for index, name in enumerate(graph)}
    while True:
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            circle = error.args[1][:0:-1]
            start = circle.index(min(circle, key=position.__getitem__))
            cycle = [*circle[start:], *circle[: start + 1]]
            yield cycle
            rest[cycle[0]].remove(cycle[1])
        else:
            return
