import re
from itertools import pairwise, product
from typing import Any

from emr_pipelines.run import Job
from hypothesis import given
from hypothesis import strategies as st

from emrp.report.graph import HEIGHT, MOST_COLUMNS, WIDTH, Graph, lay_out

POINT = re.compile(r"(-?[\d.]+) (-?[\d.]+)")


def job(name: str, *upstream: str, **more: Any) -> Job:
    values: dict[str, Any] = {"run_id": "graph-1", "pipeline": "graph", "position": 0, "request": {}}
    return Job(name=name, upstream=list(upstream), **{**values, **more})


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    """Jobs in topological order, each after some of those before it."""
    count = draw(st.integers(1, 24))
    jobs = []
    for number in range(count):
        before = st.lists(st.integers(0, number - 1), max_size=5, unique=True) if number else st.just([])
        jobs.append(job(f"j{number}", *(f"j{other}" for other in draw(before))))
    return jobs


def corners(graph: Graph) -> dict[str, tuple[float, float]]:
    return {node.job.name: (node.x, node.y) for node in graph.nodes}


def ways(graph: Graph) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of all edges: a round corner is inside of the corner that its control point is."""
    points = [[(float(x), float(y)) for x, y in POINT.findall(edge.path)] for edge in graph.edges]
    return [piece for way in points for piece in pairwise(way)]


def before(jobs: list[Job]) -> dict[str, set[str]]:
    """All jobs that come before each job, however many edges away."""
    found: dict[str, set[str]] = {}
    for one in jobs:
        found[one.name] = {*one.upstream}.union(*(found[name] for name in one.upstream))
    return found


def drawn_before(graph: Graph, jobs: list[Job]) -> dict[str, set[str]]:
    """The same, as the edges say it."""
    right_before: dict[str, set[str]] = {one.name: set() for one in jobs}
    for edge in graph.edges:
        for below in edge.downstream:
            right_before[below] |= {*edge.upstream}
    return before([job(name, *names) for name, names in right_before.items()])


@given(graphs())
def test_edges_lead_down_and_say_what_comes_before_what_when_a_graph_is_drawn(jobs: list[Job]) -> None:
    graph = lay_out(jobs)

    assert drawn_before(graph, jobs) == before(jobs)
    places = corners(graph)
    for edge in graph.edges:
        for above, below in product(edge.upstream, edge.downstream):
            assert places[above][1] + HEIGHT < places[below][1]


@given(graphs())
def test_nothing_overlaps_and_all_of_it_is_in_the_picture_when_a_graph_is_drawn(jobs: list[Job]) -> None:
    graph = lay_out(jobs)

    places = list(corners(graph).values())
    assert len(places) == len(jobs)
    for number, (x, y) in enumerate(places):
        assert 0 <= x <= graph.width - WIDTH
        assert 0 <= y <= graph.height - HEIGHT
        for other_x, other_y in places[:number]:
            assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT
    for start, end in ways(graph):
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            px, py = (start[axis] + (end[axis] - start[axis]) * share for axis in (0, 1))
            assert 0 <= px <= graph.width
            assert 0 <= py <= graph.height
            assert not any(x < px - 0.5 and px + 0.5 < x + WIDTH and y < py - 0.5 and py + 0.5 < y + HEIGHT
                           for x, y in places)  # fmt: skip


def test_layer_has_several_rows_when_a_hundred_jobs_stand_side_by_side() -> None:
    counts = [job(f"count.{number}", "split") for number in range(100)]
    graph = lay_out([job("split"), *counts, job("merge", *(one.name for one in counts))])

    places = corners(graph)
    assert len({y for name, (_, y) in places.items() if name.startswith("count")}) == 100 / MOST_COLUMNS
    assert graph.width < 1200
    assert places["split"][0] == places["merge"][0]


def test_edges_meet_when_many_jobs_wait_for_the_same_many_jobs() -> None:
    first = [job(f"a{number}") for number in range(30)]
    second = [job(f"b{number}", *(one.name for one in first)) for number in range(30)]

    graph = lay_out([*first, *second])

    assert len(graph.edges) == 60
    assert sum(edge.has_arrow for edge in graph.edges) == 30


def test_edge_is_left_out_when_others_say_the_same() -> None:
    graph = lay_out([job("a"), job("b", "a"), job("c", "a", "b"), job("d", after=["c"])])

    assert [(edge.upstream, edge.downstream) for edge in graph.edges] == [
        (("a",), ("b",)),
        (("b",), ("c",)),
        (("c",), ("d",)),
    ]


def test_picture_is_empty_when_there_are_no_jobs() -> None:
    assert lay_out([]).nodes == ()
