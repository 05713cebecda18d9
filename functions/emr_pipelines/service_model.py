"""Checks requests against botocore's own model of a service, so that no schema of ours can fall behind it."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from emr_pipelines.errors import Problem
from emr_pipelines.hints import did_you_mean

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "double": (int, float),
    "float": (int, float),
    "integer": (int,),
    "long": (int,),
    "string": (str,),
}
_WORDS = {"boolean": "true or false", "double": "a number", "float": "a number", "integer": "a whole number",
          "long": "a whole number", "string": "text"}  # fmt: skip

_JSON_TYPES = {"boolean": "boolean", "integer": "integer", "long": "integer"}
_TEMPLATE = {"type": "string", "pattern": r"\{\{"}


class Operation(NamedTuple):
    """An operation of a service, and what the functions fill in when they call it.

    `part` leads to the part of the request that stands in a pipeline file, if it is not the whole.
    """

    name: str
    ours: frozenset[str]
    service: str = "emr-serverless"
    part: tuple[str | int, ...] = ()


CREATE_APPLICATION = Operation("CreateApplication", frozenset({"clientToken"}))
START_JOB_RUN = Operation("StartJobRun", frozenset({"applicationId", "clientToken"}))
RUN_JOB_FLOW = Operation("RunJobFlow", frozenset({"Steps"}), "emr")
STEP = Operation("AddJobFlowSteps", frozenset({"Name"}), "emr", ("Steps", 0))
INSTANCE_FLEET = Operation("ModifyInstanceFleet", frozenset({"InstanceFleetId"}), "emr", ("InstanceFleet",))
INSTANCE_GROUP = Operation("ModifyInstanceGroups", frozenset({"InstanceGroupId"}), "emr", ("InstanceGroups", 0))
_OF_CLUSTERS = (STEP, INSTANCE_FLEET, INSTANCE_GROUP)

# EMR's models write the range of what is beyond 16 bits as pairs of surrogates, which are no range to Python.
_SURROGATES = (r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")


def operation_of(request: Mapping[str, Any]) -> Operation:
    """Return the operation whose whole request the request of a job is."""
    found = (operation for operation in _OF_CLUSTERS if operation.part[0] in request)
    return next(found, START_JOB_RUN)._replace(part=())


@cache
def input_shape(operation: Operation) -> StructureShape:
    """Return the shape of an operation's request, or of the part of it."""
    model = botocore.session.get_session().get_service_model(operation.service)
    shape = _shape_at(model.operation_model(operation.name).input_shape, operation.part)
    assert isinstance(shape, StructureShape)  # noqa: S101 - for the type checker
    return shape


def check_request(
    operation: Operation, request: Mapping[str, Any], path: str, unknown: Collection[str] = (),
    beside: Collection[str] = (),
) -> Iterator[Problem]:  # fmt: skip
    """Yield everything that is wrong with a request: types, required and unknown fields, lengths, patterns.

    The texts at the paths in `unknown` (relative to the request) are templates whose values are not known yet.
    `beside` are fields of ours that are written beside AWS's.
    """
    for name in operation.ours & request.keys():
        yield Problem(f"{path}.{name}", "is filled in for you; leave it out")
    shape = input_shape(operation)
    filled_in = dict.fromkeys(operation.ours & set(shape.required_members), "x")
    complete = {name: value for name, value in request.items() if name not in operation.ours} | filled_in
    places = frozenset(f"{path}.{place}" for place in unknown)
    yield from _check_structure(shape, complete, path, places, beside)


def read_as(operation: Operation, place: Sequence[str | int], text: str) -> Any:  # noqa: ANN401 - what AWS wants there
    """Return a text as the value that AWS wants at a place of a request; a text that is no such value stays itself."""
    shape = _shape_at(input_shape(operation), place)
    if shape is None or shape.type_name in {"string", "structure", "map"}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _shape_at(shape: Shape | None, place: Sequence[str | int]) -> Shape | None:
    for part in place:
        if isinstance(shape, StructureShape):
            shape = shape.members.get(str(part))
        elif isinstance(shape, MapShape):
            shape = shape.value
        else:
            shape = shape.member if isinstance(shape, ListShape) else None
    return shape


def request_schema(operation: Operation, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of what a person writes of a request; shapes that it needs are added to `definitions`."""
    schema = _structure_schema(input_shape(operation), definitions, operation.service)
    return {
        **schema,
        "properties": {name: value for name, value in schema["properties"].items() if name not in operation.ours},
        "required": [name for name in schema["required"] if name not in operation.ours],
    }


def _schema(shape: Shape, definitions: dict[str, Any], service: str) -> dict[str, Any]:
    if isinstance(shape, StructureShape):
        name = f"{service}.{shape.name}"  # two services have different shapes of one name
        if name not in definitions:
            definitions[name] = {}  # a shape may contain itself
            definitions[name] = _structure_schema(shape, definitions, service)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(shape, MapShape):
        return {"type": "object", "additionalProperties": _schema(shape.value, definitions, service)}
    if isinstance(shape, ListShape):
        return {"anyOf": [{"type": "array", "items": _schema(shape.member, definitions, service)}, _TEMPLATE]}
    if isinstance(shape, StringShape):
        return {"anyOf": [{"enum": list(shape.enum)}, _TEMPLATE]} if shape.enum else {"type": "string"}
    return {"anyOf": [{"type": _JSON_TYPES.get(shape.type_name, "number")}, _TEMPLATE]}


def _structure_schema(shape: StructureShape, definitions: dict[str, Any], service: str) -> dict[str, Any]:
    properties = {
        name: {
            **_schema(member, definitions, service),
            "description": re.sub(r"<[^>]*>", "", member.documentation).strip(),
        }
        for name, member in shape.members.items()
    }
    return {"type": "object", "properties": properties, "required": list(shape.required_members),
            "additionalProperties": False}  # fmt: skip


def _check(shape: Shape, value: object, path: str, unknown: frozenset[str]) -> Iterator[Problem]:
    if isinstance(shape, StructureShape):
        yield from _check_structure(shape, value, path, unknown)
    elif isinstance(shape, MapShape):
        yield from _check_map(shape, value, path, unknown)
    elif path in unknown:
        return
    elif isinstance(shape, ListShape):
        yield from _check_list(shape, value, path, unknown)
    else:
        yield from _check_scalar(shape, value, path)


def _check_structure(
    shape: StructureShape, value: object, path: str, unknown: frozenset[str], beside: Collection[str] = ()
) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a mapping with {_listing(shape)}, not {_kind(value)}")
        return
    for name in shape.required_members:
        if name not in value:
            yield Problem(path, f'"{name}" is missing')
    if shape.is_tagged_union and len(value) != 1:
        yield Problem(path, f"must have exactly one of {_listing(shape)}")
    for name, member in value.items():
        child = f"{path}.{name}"
        if name not in shape.members:
            hint = did_you_mean(str(name), [*shape.members, *beside], "known fields")
            yield Problem(
                child, f"is not a field of {shape.name.removesuffix('Request').removesuffix('Input')}; {hint}"
            )
        else:
            yield from _check(shape.members[name], member, child, unknown)


def _check_list(shape: ListShape, value: object, path: str, unknown: frozenset[str]) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"must be a list, not {_kind(value)}")
        return
    yield from _check_bounds(shape, len(value), path, "items")
    for index, item in enumerate(value):
        yield from _check(shape.member, item, f"{path}[{index}]", unknown)


def _check_map(shape: MapShape, value: object, path: str, unknown: frozenset[str]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a mapping, not {_kind(value)}")
        return
    yield from _check_bounds(shape, len(value), path, "entries")
    for key, item in value.items():
        child = f"{path}.{key}"
        yield from _check(shape.key, key, child, frozenset())
        yield from _check(shape.value, item, child, unknown)


def _check_scalar(shape: Shape, value: object, path: str) -> Iterator[Problem]:
    types = _PYTHON_TYPES.get(shape.type_name)
    if types is None:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        yield Problem(path, f"must be {_WORDS[shape.type_name]}, not {_kind(value)}")
    elif isinstance(shape, StringShape):
        yield from _check_string(shape, str(value), path)
    elif isinstance(value, (int, float)) and shape.type_name != "boolean":
        yield from _check_bounds(shape, value, path, "")


def _check_string(shape: StringShape, value: str, path: str) -> Iterator[Problem]:
    yield from _check_bounds(shape, len(value), path, "characters")
    pattern = shape.metadata.get("pattern")
    if shape.enum and value not in shape.enum:
        yield Problem(path, f'must be one of {", ".join(shape.enum)}, not "{value}"')
    elif pattern and not re.search(f"^(?:{pattern.replace(*_SURROGATES)})$", value, re.DOTALL):
        yield Problem(path, f'"{value}" does not match {pattern}')


def _check_bounds(shape: Shape, size: float, path: str, unit: str) -> Iterator[Problem]:
    lowest, highest = shape.metadata.get("min"), shape.metadata.get("max")
    of_what = f" {unit}".rstrip()
    if lowest is not None and size < lowest:
        yield Problem(path, f"must be at least {lowest}{of_what}, not {size}")
    if highest is not None and size > highest:
        yield Problem(path, f"must be at most {highest}{of_what}, not {size}")


def _listing(shape: StructureShape) -> str:
    return ", ".join(shape.members)


def _kind(value: Any) -> str:  # noqa: ANN401 - describes any YAML value
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"{value!r}")
