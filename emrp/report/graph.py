"""Where the jobs of a run stand in a picture of their graph, and on which ways its edges go. Nothing here draws.

Each job stands in the layer below the last of its upstream jobs. A layer with more jobs than fit side by side is
several rows; edges go between its columns, and along the margin where they pass a layer, so they never cross a job.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emr_pipelines.run import Job

WIDTH, HEIGHT = 184, 46  # of a job
COLUMN_GAP, ROW_GAP, LAYER_GAP = 34, 16, 56
MOST_COLUMNS = 5
_MARGIN = 40  # left and right of the jobs, for the edges that pass a layer
_LANES, _FIRST_LANE, _BETWEEN_LANES, _ASIDE = 4, 15, 7, 5  # in a margin
_SWEEPS = 4
_RADIUS = 9.0
_BESIDE = COLUMN_GAP * 0.3  # from a job to the way down beside it; those that come go left, those that leave right


@dataclass(frozen=True)
class Node:
    """A job and its upper left corner."""

    job: Job
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """A way from jobs to jobs, with what SVG calls its path. Several jobs that all wait for the same ones share one."""

    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    path: str
    has_arrow: bool


@dataclass(frozen=True)
class Graph:
    """A picture and its size."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


@dataclass(frozen=True)
class _Place:
    """Where a job stands: its layer, its corner, and in which row of its layer it is."""

    layer: int
    x: float
    y: float
    is_first_row: bool
    is_last_row: bool

    @property
    def middle(self) -> float:
        return self.x + WIDTH / 2


_Point = tuple[float, float]
_Upstream = Mapping[str, tuple[str, ...]]


def lay_out(jobs: Sequence[Job]) -> Graph:
    """Return the picture of jobs that are in topological order."""
    upstream = _upstream(jobs)
    layers = _ordered(_layers(upstream), upstream)
    columns = min(max((len(layer) for layer in layers), default=1), MOST_COLUMNS)
    inner = columns * (WIDTH + COLUMN_GAP) - COLUMN_GAP
    places, tops, height = _places(layers, inner)
    router = _Router(places, tops, 2 * _MARGIN + inner)
    by_name = {job.name: job for job in jobs}
    nodes = tuple(Node(by_name[name], place.x, place.y) for name, place in places.items())
    return Graph(nodes, tuple(_edges(upstream, router)), 2 * _MARGIN + inner, height)


def _upstream(jobs: Sequence[Job]) -> dict[str, tuple[str, ...]]:
    """Return which jobs come right before each job: not those that come before one of these anyway."""
    numbers = {job.name: number for number, job in enumerate(jobs)}
    before: list[int] = []  # of each job all that come before it, as bits: a graph may have a million edges
    right_before: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        own = sorted(numbers[name] for name in {*job.upstream, *job.after} & numbers.keys())
        implied = 0
        for number in own:
            implied |= before[number]
        before.append(implied | sum(1 << number for number in own))
        right_before[job.name] = tuple(jobs[number].name for number in own if not implied >> number & 1)
    return right_before


def _layers(upstream: _Upstream) -> list[list[str]]:
    layer_of: dict[str, int] = {}
    layers: list[list[str]] = []
    for job, before in upstream.items():
        layer = layer_of[job] = max((layer_of[name] for name in before), default=-1) + 1
        if layer == len(layers):
            layers.append([])
        layers[layer].append(job)
    return layers


def _ordered(layers: list[list[str]], upstream: _Upstream) -> list[list[str]]:
    """Order each layer so that jobs stand near those that they are connected with."""
    downstream: dict[str, list[str]] = defaultdict(list)
    for job, before in upstream.items():
        for name in before:
            downstream[name].append(job)
    at = {name: (place + 0.5) / len(layer) for layer in layers for place, name in enumerate(layer)}

    def centre(name: str, neighbours: Sequence[str]) -> float:
        return sum(at[other] for other in neighbours) / len(neighbours) if neighbours else at[name]

    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            layer.sort(key=lambda name: centre(name, upstream[name] if down else downstream[name]))
            at |= {name: (place + 0.5) / len(layer) for place, name in enumerate(layer)}
    return layers


def _places(layers: list[list[str]], inner: float) -> tuple[dict[str, _Place], list[float], float]:
    """Return where each job stands, where each layer begins, and how high all of it is."""
    places: dict[str, _Place] = {}
    tops: list[float] = []
    y = 4.0
    for number, layer in enumerate(layers):
        tops.append(y)
        columns = min(len(layer), MOST_COLUMNS)
        left = _MARGIN + (inner - columns * (WIDTH + COLUMN_GAP) + COLUMN_GAP) / 2
        last_row = (len(layer) - 1) // columns
        for position, name in enumerate(layer):
            row, column = divmod(position, columns)
            x = left + column * (WIDTH + COLUMN_GAP)
            places[name] = _Place(number, x, y + row * (HEIGHT + ROW_GAP), row == 0, row == last_row)
        y += (last_row + 1) * (HEIGHT + ROW_GAP) - ROW_GAP + LAYER_GAP
    return places, tops, y - LAYER_GAP + 4


def _edges(upstream_of: _Upstream, router: "_Router") -> Iterator[Edge]:
    """Yield the edges; where several jobs wait for the same several jobs, they meet in one point on the way."""
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for job, before in upstream_of.items():
        groups[before].append(job)
    for upstream, downstream in groups.items():
        if len(upstream) > 1 and len(downstream) > 1:
            meeting = router.meeting(upstream, downstream)
            for name in upstream:
                yield Edge((name,), tuple(downstream), _path(router.down_to(name, *meeting)), has_arrow=False)
            for name in downstream:
                yield Edge(upstream, (name,), _path(router.down_from(meeting[0], meeting[1], name)), has_arrow=True)
        else:
            for above in upstream:
                for below in downstream:
                    yield Edge((above,), (below,), _path(router.between(above, below)), has_arrow=True)


@dataclass(frozen=True)
class _Lane:
    """A way down along the margin; `aside` is how far it keeps from the others where it turns."""

    x: float
    aside: float


class _Router:
    """Finds ways: down beside a job, along the margin past a layer, and between the columns of one with many rows."""

    def __init__(self, places: dict[str, _Place], tops: list[float], width: float) -> None:
        self._places = places
        self._tops = tops
        self._width = width
        self._used: dict[tuple[bool, int], list[tuple[object, int, int]]] = defaultdict(list)

    def between(self, above: str, below: str) -> list[_Point]:
        """Return the way from one job to another."""
        upper, place = self._places[above], self._places[below]
        if place.layer == upper.layer + 1:
            return self._leave(above) + self._enter(below)
        lane = self._lane(above, place.middle, upper.layer, place.layer)
        return self._leave(above, lane) + self._enter(below, lane)

    def meeting(self, upstream: Sequence[str], downstream: Sequence[str]) -> tuple[float, float, int]:
        """Return a point above the first of some jobs, and the number of that one's layer."""
        layer = min(self._places[name].layer for name in downstream)
        middles = [self._places[name].middle for name in (*upstream, *downstream)]
        return sum(middles) / len(middles), self._tops[layer] - LAYER_GAP / 2, layer

    def down_to(self, above: str, x: float, y: float, layer: int) -> list[_Point]:
        """Return the way from a job to a point above a layer."""
        upper = self._places[above].layer
        if layer == upper + 1:
            return [*self._leave(above), (x, y)]
        lane = self._lane(above, x, upper, layer)
        return [*self._leave(above, lane), (lane.x, y), (x, y)]

    def down_from(self, x: float, y: float, below: str) -> list[_Point]:
        """Return the way from a point above a layer to a job of it, or of a later one."""
        layer = self._places[below].layer
        above = next(number for number, top in enumerate(self._tops) if top > y) - 1
        if layer == above + 1:
            return [(x, y), *self._enter(below)]
        lane = self._lane((x, y), x, above, layer)
        return [(x, y), (lane.x, y), *self._enter(below, lane)]

    def _lane(self, source: object, towards: float, above: int, layer: int) -> _Lane:
        """Return a way past the layers between two, one that nothing else uses there as long as there are some left."""
        is_right = towards >= self._width / 2
        for number in range(_LANES):
            used = self._used[is_right, number]
            if all(other == source or layer <= first or last <= above for other, first, last in used):
                break
        self._used[is_right, number].append((source, above, layer))
        x = _MARGIN - _FIRST_LANE - number * _BETWEEN_LANES
        return _Lane(self._width - x if is_right else x, number * _ASIDE)

    def _leave(self, name: str, lane: _Lane | None = None) -> list[_Point]:
        """Return the way from a job to below its layer, and on to a lane."""
        place = self._places[name]
        y = self._tops[place.layer + 1] - LAYER_GAP * 3 / 4 + (lane.aside if lane else 0)
        along = [(lane.x, y)] if lane else []
        if place.is_last_row:
            return [(place.middle, place.y + HEIGHT), (place.middle, y), *along]
        x, middle = place.x + WIDTH + _BESIDE, place.y + HEIGHT / 2
        return [(place.x + WIDTH, middle), (x, middle), (x, y), *along]

    def _enter(self, name: str, lane: _Lane | None = None) -> list[_Point]:
        """Return the way from above the layer of a job, or from a lane, into it."""
        place = self._places[name]
        y = self._tops[place.layer] - LAYER_GAP / 4 - (lane.aside if lane else 0)
        along = [(lane.x, y)] if lane else []
        if place.is_first_row:
            return [*along, (place.middle, y), (place.middle, place.y)]
        x, middle = place.x - _BESIDE, place.y + HEIGHT / 2
        return [*along, (x, y), (x, middle), (place.x, middle)]


def _path(points: Sequence[_Point]) -> str:
    """Write a way as an SVG path with round corners; what is not straight down between two of them is a curve."""
    corners = [points[0], *(point for before, point in pairwise(points) if point != before)]
    path = f"M{_write(corners[0])}"
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        path += f"L{_write(_towards(corner, before))}Q{_write(corner)} {_write(_towards(corner, after))}"
    return f"{path}L{_write(corners[-1])}"


def _towards(corner: _Point, other: _Point) -> _Point:
    """Return a point near a corner on its line to another, at most half of the way."""
    length = ((other[0] - corner[0]) ** 2 + (other[1] - corner[1]) ** 2) ** 0.5
    share = min(_RADIUS / length, 0.5) if length else 0
    return corner[0] + (other[0] - corner[0]) * share, corner[1] + (other[1] - corner[1]) * share


def _write(point: _Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
