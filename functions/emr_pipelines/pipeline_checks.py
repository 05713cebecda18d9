"""Checks of a pipeline file that go beyond its fields: the graph, parameters and what templates name.

They work on what stands in the file, whatever that is, so that a file with mistakes of several kinds is told all of
them at once. What has the wrong type is passed over: the models say so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emr_pipelines.errors import Problem
from emr_pipelines.graph import ancestors, check_graph
from emr_pipelines.hints import did_you_mean
from emr_pipelines.parameters import TYPES, Parameter, resolve
from emr_pipelines.plan import (
    OUR_APPLICATION_FIELDS,
    OUR_JOB_FIELDS,
    REQUEST_FIELDS,
    request_of,
)
from emr_pipelines.request_checks import check_job, check_place
from emr_pipelines.template_language import Reference, references
from emr_pipelines.templates import dotted, templates_in

_OTHER_JOB = ("name", "state", "output", "outputUri")


@dataclass(frozen=True)
class _Place:
    """A job or a group of a file, and what is around it."""

    path: str
    fields: dict[str, Any]
    group: "_Place | None" = None

    @property
    def name(self) -> str:
        return str(self.fields.get("name"))

    @property
    def loop(self) -> dict[str, Any]:
        """What repeats it: itself, or its group."""
        return self.group.fields if self.group else self.fields

    @property
    def is_group(self) -> bool:
        return "jobs" in self.fields

    @property
    def upstream(self) -> list[str]:
        return [name for name in _items(self.fields.get("dependsOn")) if isinstance(name, str)]


def check(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a file."""
    places = list(_places(data))
    jobs = [place for place in places if not place.is_group]
    parameters, problems = _parameters(data)
    yield from problems
    yield from check_place(data)
    for place in jobs:
        yield from check_job(data, place.fields, place.path)
    yield from _check_groups(places)
    yield from _check_run_if(places)
    wrong_graph = [*_check_names(places), *_check_graphs(places)]
    yield from wrong_graph
    yield from _Names(data, parameters, places, None if wrong_graph else _upstream(places)).check()


def _places(data: Mapping[str, Any]) -> Iterator[_Place]:
    for index, fields in enumerate(_items(data.get("jobs"))):
        if isinstance(fields, dict):
            place = _Place(f"jobs[{index}]", fields)
            yield place
            for inner, job in enumerate(_items(fields.get("jobs"))):
                if isinstance(job, dict):
                    yield _Place(f"{place.path}.jobs[{inner}]", job, place)


def _parameters(data: Mapping[str, Any]) -> tuple[dict[str, Parameter], list[Problem]]:
    """Return the parameters; what their own defaults and those who start runs get wrong about them."""
    problems: list[Problem] = []
    parameters = {}
    for name, declared in _fields(data.get("parameters")).items():
        parameters[name] = Parameter(None, required=False)
        if not isinstance(declared, dict) or declared.get("type") in TYPES:  # otherwise the models say so
            parameter = Parameter.of(declared)
            parameter = parameter._replace(allowed_values=_items(parameter.allowed_values))
            found = list(_check_parameter(parameter, f"parameters.{name}"))
            if not found:
                parameters[name] = parameter
            problems += found
    for path, given in _starts(_fields(data.get("triggers"))):
        resolve(parameters, given, problems, path)
    return parameters, problems


def _check_parameter(parameter: Parameter, path: str) -> Iterator[Problem]:
    anything = parameter._replace(allowed_values=None)
    wrong_values = False
    for index, value in enumerate(parameter.allowed_values or []):
        try:
            anything.read(value)
        except ValueError as error:
            wrong_values = True
            yield Problem(f"{path}.allowedValues[{index}]", str(error))
    if not parameter.required:
        try:
            (anything if wrong_values else parameter).read(parameter.default)
        except ValueError as error:
            yield Problem(f"{path}.default", str(error))


def _starts(triggers: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parameters that each trigger gives to the runs that it starts."""
    for kind in ("uploads", "schedules", "events"):
        for index, trigger in enumerate(_items(triggers.get(kind))):
            yield f"triggers.{kind}[{index}].parameters", _fields(_fields(trigger).get("parameters"))


def _check_groups(places: Sequence[_Place]) -> Iterator[Problem]:
    for place in places:
        if place.group and (misplaced := sorted({"forEach", "jobs", "maxConcurrency"} & place.fields.keys())):
            yield Problem(place.path, f"is in a group, which cannot have {' and '.join(misplaced)} in it")


def _check_names(places: Sequence[_Place]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for place in places:
        name = place.fields.get("name")
        if isinstance(name, str):
            if name in seen:
                yield Problem(f"{place.path}.name", f"several jobs are named {name} (also {seen[name]}); rename one")
            seen.setdefault(name, place.path)


def _check_run_if(places: Sequence[_Place]) -> Iterator[Problem]:
    for place in places:
        run_if = place.fields.get("runIf", "ALL_SUCCESS")
        if run_if != "ALL_SUCCESS" and not place.upstream:
            if place.group:
                yield Problem(f"{place.path}.runIf", "needs dependsOn; of the first jobs of a group, the group decides")
            elif run_if != "ALL_DONE" or not place.fields.get("forEach"):
                yield Problem(f"{place.path}.runIf", "needs dependsOn, since it is about how other jobs have ended")


def _levels(places: Sequence[_Place]) -> Iterator[list[_Place]]:
    """Yield the jobs that may depend on each other: those of the file, then those of each group."""
    yield [place for place in places if place.group is None]
    for group in places:
        if group.is_group:
            yield [place for place in places if place.group is group]


def _check_graphs(places: Sequence[_Place]) -> Iterator[Problem]:
    for level in _levels(places):
        graph = {place.name: place.upstream for place in level}
        where = f"in the group {level[0].group.name}" if level and level[0].group else "in this file"
        yield from check_graph(graph, {place.name: place.path for place in level}, where)


def _upstream(places: Sequence[_Place]) -> dict[str, dict[str, bool]]:
    """Return, by the path of a job, the jobs that have ended before it, and whether each of them is a list."""
    found: dict[str, dict[str, bool]] = {}
    for level in _levels(places):
        before = ancestors({place.name: place.upstream for place in level})
        for place in level:
            found[place.path] = dict(found[place.group.path]) if place.group else {}
            for other in level:
                if other.name in before[place.name]:
                    found[place.path] |= _instances(other, places) if place.group is None else {other.name: False}
    return found


def _instances(place: _Place, places: Sequence[_Place]) -> dict[str, bool]:
    if place.is_group:
        return {other.name: True for other in places if other.group is place}
    return {place.name: bool(place.fields.get("forEach"))}


class _Names:
    """What the templates of a file may name."""

    def __init__(self, data: Mapping[str, Any], parameters: Mapping[str, object], places: Sequence[_Place],
                 upstream: Mapping[str, Mapping[str, bool]] | None) -> None:  # fmt: skip
        self._data = data
        self._jobs = {place.name: place for place in places}
        self._places = places
        self._upstream = upstream
        self._always: dict[str, Sequence[str] | None] = {
            "trigger": None,
            "parameters": tuple(parameters),
            "run": ("id", "output"),
            "stack": ("name", "bucket"),
        }

    def check(self) -> Iterator[Problem]:
        application = request_of(_fields(self._data.get("application")), OUR_APPLICATION_FIELDS)
        yield from self._check(application, "application", self._always)
        cluster = request_of(_fields(self._data.get("cluster")), frozenset({"lifecycle"}))
        yield from self._check(cluster, "cluster", self._always)
        for place in self._places:
            yield from self._check(place.fields.get("forEach"), f"{place.path}.forEach", self._always)
            if not place.is_group:
                request = request_of(place.fields, OUR_JOB_FIELDS - REQUEST_FIELDS)
                yield from self._check(request, place.path, self._known(place), place)

    def _known(self, place: _Place) -> dict[str, Sequence[str] | None]:
        variables = tuple(_fields(place.loop.get("forEach")))
        return {
            **self._always,
            "job": ("name", "outputUri"),
            **({"item": variables} if variables else {}),
            **({"previous": _OTHER_JOB} if variables and place.loop.get("maxConcurrency", 1) == 1 else {}),
        }

    def _check(self, value: object, path: str, known: Mapping[str, Sequence[str] | None],
               place: _Place | None = None) -> Iterator[Problem]:  # fmt: skip
        for where, text in templates_in(value):
            full = f"{path}.{dotted(where)}".removesuffix(".")
            try:
                named = sorted(references(text), key=str)
            except ValueError as error:
                yield Problem(full, f"cannot be rendered: {error}")
                continue
            for reference in named:
                wrong = (
                    self._wrong_job(reference, place)
                    if place and reference[0] == "jobs"
                    else _wrong_name(reference, known)
                )
                if wrong:
                    yield Problem(full, wrong)

    def _wrong_job(self, reference: Reference, place: _Place) -> str | None:
        """Return what is wrong with a template like `jobs['x'].output`."""
        if self._upstream is None:  # the graph has to be put right first
            return None
        if len(reference) == 1:
            return "jobs needs the name of a job, as in jobs['x'].output"
        name, upstream = str(reference[1]), self._upstream[place.path]
        if name in upstream:
            return _wrong_field(reference, is_list=upstream[name])
        other = self._jobs.get(name)
        if other is None:
            return f'there is no job "{name}"; {did_you_mean(name, upstream, "before this one there are")}'
        return _not_upstream(other, place)


def _not_upstream(other: _Place, place: _Place) -> str:
    if other is place:
        return f'"{other.name}" is this job itself; in a forEach, previous is its iteration before'
    if other.is_group:
        return f'"{other.name}" is a group; name one of its jobs'
    needed = other.group.name if other.group and other.group is not place.group else other.name
    return f'"{other.name}" may not have ended when this job starts: add "{needed}" to dependsOn'


def _wrong_field(reference: Reference, *, is_list: bool) -> str | None:
    _, name, *rest = reference
    if not rest or not isinstance(rest[0], str):
        return None
    if is_list:
        example = f"jobs['{name}'] | map(attribute='output') | list"
        return f'"{name}" is a list with an entry for each iteration, as in {example}'
    return None if rest[0] in _OTHER_JOB else f'a job has no "{rest[0]}"; {did_you_mean(rest[0], _OTHER_JOB)}'


def _wrong_name(reference: Reference, known: Mapping[str, Sequence[str] | None]) -> str | None:
    name = str(reference[0])
    if name not in known:
        only = {
            "item": "there is no forEach here, so there is no item",
            "jobs": "other jobs cannot be named here, since this is read before any job runs",
            "previous": "there is a previous job only in a forEach whose maxConcurrency is 1",
        }
        return only.get(name, f"{name!r} is undefined; {did_you_mean(name, known, 'in scope')}")
    fields = known[name]
    if fields is not None and len(reference) > 1 and reference[1] not in fields:
        return f'{name} has no "{reference[1]}"; {did_you_mean(str(reference[1]), fields)}'
    return None


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
