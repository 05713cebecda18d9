"""The order of jobs follows from their dependencies, and what is wrong with these is spelled out."""

from itertools import pairwise

from emr_pipelines.graph import ancestors, check_graph, in_order, reversed_graph
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Return a graph without circles, in any order of its names."""
    size = draw(st.integers(0, 12))
    edges = {
        f"j{index}": sorted(draw(st.sets(st.sampled_from([f"j{other}" for other in range(index)])))) if index else []
        for index in range(size)
    }
    return {name: edges[name] for name in draw(st.permutations(list(edges)))}


@given(graph=graphs())
def test_order_has_each_job_once_and_after_its_upstream_when_there_are_no_circles(graph: dict[str, list[str]]) -> None:
    order = in_order(graph)

    assert sorted(order) == sorted(graph)
    assert all(order.index(other) < order.index(name) for name, upstream in graph.items() for other in upstream)
    assert list(check_graph(graph, dict.fromkeys(graph, "jobs[0]"), "here")) == []


@given(graph=graphs())
def test_order_stays_that_of_the_file_when_nothing_is_in_the_way(graph: dict[str, list[str]]) -> None:
    sorted_graph = {name: graph[name] for name in in_order(graph)}

    assert in_order(sorted_graph) == list(sorted_graph)


@given(graph=graphs())
def test_ancestors_are_upstream_of_upstream_when_jobs_are_chained(graph: dict[str, list[str]]) -> None:
    found = ancestors(graph)

    for name, upstream in graph.items():
        assert found[name] == set(upstream).union(*(found[other] for other in upstream))


@given(graph=graphs())
def test_dependents_are_the_opposite_of_dependencies_when_a_graph_is_reversed(graph: dict[str, list[str]]) -> None:
    dependents = reversed_graph(graph)

    assert {(a, b) for a, others in dependents.items() for b in others} == {
        (b, a) for a, others in graph.items() for b in others
    }


@given(graph=graphs(), data=st.data())
def test_circle_is_found_when_one_edge_closes_it(graph: dict[str, list[str]], data: st.DataObject) -> None:
    edges = [(name, other) for name, upstream in ancestors(graph).items() for other in upstream]
    if not edges:
        return
    last, first = data.draw(st.sampled_from(sorted(edges)))
    closed = {name: [*upstream, last] if name == first else upstream for name, upstream in graph.items()}

    circles = [problem.message for problem in check_graph(closed, dict.fromkeys(closed, "x"), "here")]

    assert circles
    for message in circles:
        names = message.partition("start: ")[2].partition(";")[0].split(" -> ")
        assert names[0] == names[-1]
        assert all(after in closed[before] for before, after in pairwise(names))


def test_every_circle_is_told_when_there_are_several() -> None:
    graph = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["e"], "e": ["c"], "f": ["a", "c"]}

    problems = [problem.message for problem in check_graph(graph, dict.fromkeys(graph, "x"), "here")]

    assert [text.partition("start: ")[2] for text in problems] == [
        "a -> b -> a; remove one of these",
        "c -> d -> e -> c; remove one of these",
    ]


def test_order_is_found_when_a_chain_is_very_long() -> None:
    chain = {f"j{index}": [f"j{index - 1}"] if index else [] for index in reversed(range(5000))}

    assert in_order(chain) == [f"j{index}" for index in range(5000)]
