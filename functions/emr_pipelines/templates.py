"""Renders the texts of a request: most of them when a run is planned, those about other jobs when these have ended."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emr_pipelines.errors import Problem
from emr_pipelines.service_model import Operation, operation_of, read_as
from emr_pipelines.template_language import evaluate, is_deferred, is_template, references

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Rendered:
    """A request with its texts rendered, except for those at the paths in `deferred` and, after a problem, `failed`."""

    request: dict[str, Any]
    deferred: list[str]
    failed: list[str]


def render(request: Mapping[str, Any], operation: Operation, scope: Mapping[str, Any], path: str,
           problems: list[Problem]) -> Rendered:  # fmt: skip
    """Render the texts of a request, each once; what cannot be rendered is added to `problems`.

    A text that stands where AWS wants something else, like a number or a list, is read as JSON.
    """
    deferred: list[str] = []
    failed: list[str] = []

    def render_one(text: str, place: Path) -> Any:  # noqa: ANN401 - what AWS wants there
        try:
            if not is_template(text):
                return text
            if is_deferred(text):
                deferred.append(dotted(place))
                return text
            return read_as(operation, place, evaluate(text, scope))
        except ValueError as error:
            failed.append(dotted(place))
            problems.append(Problem(f"{path}.{dotted(place)}", str(error)))
            return text

    return Rendered(_changed(request, render_one, ()), deferred, failed)


def render_deferred(
    request: dict[str, Any], deferred: Collection[str], scope: Mapping[str, Any], problems: list[Problem]
) -> dict[str, Any]:
    """Render what `render` has left for the moment when the jobs are known; the other texts stay as they are.

    `scope` may raise an EmrPipelinesError when something in it is asked for. A job that it does not know is one of
    a loop that was not run at all.
    """
    operation = operation_of(request)

    def render_one(text: str, place: Path) -> Any:  # noqa: ANN401 - what AWS wants there
        if dotted(place) not in deferred:
            return text
        named = {path[1] for path in references(text) if path[0] == "jobs" and len(path) > 1}
        jobs = {**{name: [] for name in named}, **scope.get("jobs", {})}
        try:
            return read_as(operation, place, evaluate(text, {**scope, "jobs": jobs}))
        except ValueError as error:
            problems.append(Problem(dotted(place), str(error)))
            return text

    changed: dict[str, Any] = _changed(request, render_one, ())
    return changed


def templates_in(value: object, place: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the templates in a value, and where they stand."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from templates_in(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from templates_in(item, (*place, index))
    elif isinstance(value, str) and is_template(value):
        yield place, value


def dotted(place: Path) -> str:
    """Write a path as problems do, as in `jobs[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _changed(value: Any, change: Callable[[str, Path], Any], place: Path) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict):
        return {key: _changed(item, change, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change, (*place, index)) for index, item in enumerate(value)]
    return change(value, place) if isinstance(value, str) else value
