"""The REST-JSON protocol of the service, driven by botocore's model of it: the outermost layer.

A request becomes an operation's name and parameters, already checked against the model's constraints; a
result becomes JSON with exactly the members that the model knows. Nothing here knows an operation by name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from emrp.local.emr_serverless.errors import ApiError

Query = Mapping[str, list[str]]
Response = tuple[int, dict[str, str], bytes]
Value = Any  # what JSON can hold; the shape that goes with it says what it is

_LABEL = re.compile(r"{(\w+)}")


@cache
def service_model() -> ServiceModel:
    """Return botocore's description of EMR Serverless."""
    return botocore.session.get_session().get_service_model("emr-serverless")


@dataclass(frozen=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]


@cache
def _routes() -> list[_Route]:
    """Return the routes, those with more fixed text first, since a label also matches an ARN's slashes."""
    model = service_model()
    operations = [model.operation_model(name) for name in model.operation_names]
    operations.sort(key=lambda operation: len(_LABEL.sub("", operation.http["requestUri"])), reverse=True)
    return [
        _Route(
            operation.name,
            operation.http["method"],
            re.compile(_LABEL.sub(r"(?P<\1>.+?)", operation.http["requestUri"])),
        )
        for operation in operations
    ]


def parse(method: str, path: str, query: Query, body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the operation that a request asks for, and its parameters."""
    for route in _routes():
        match = route.path.fullmatch(path.rstrip("/"))
        if match and method == route.method:
            shape = input_shape(route.operation)
            parameters = _parameters(shape, match.groupdict(), query, body)
            check(parameters, shape)
            return route.operation, parameters
    raise ApiError("UnknownOperationException", f"There is no operation {method} {path}.")


def input_shape(operation: str) -> StructureShape:
    """Return the model of an operation's parameters."""
    return _structure(service_model().operation_model(operation).input_shape)


def output_shape(operation: str) -> StructureShape:
    """Return the model of an operation's result."""
    return _structure(service_model().operation_model(operation).output_shape)


def check(parameters: Mapping[str, Any], shape: StructureShape) -> None:
    """Refuse parameters that break constraints of the model, naming all of them."""
    problems = list(_problems(parameters, shape, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        message = f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"
        raise ApiError("ValidationException", message)


def output(operation: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as JSON, with the members that the model knows."""
    content: dict[str, Any] = known(result, output_shape(operation))
    return content


def serialise(operation: str, result: Mapping[str, Any]) -> Response:
    """Return the answer to an operation."""
    return 200, {"Content-Type": "application/json"}, json.dumps(output(operation, result)).encode()


def serialise_error(error: ApiError) -> Response:
    """Return the answer that refuses a request."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
    return error.status, headers, json.dumps({"message": str(error)}).encode()


def _structure(shape: StructureShape | None) -> StructureShape:
    if shape is None:
        raise TypeError("Every operation of this service has an input and an output.")
    return shape


def _parameters(shape: StructureShape, labels: Mapping[str, str], query: Query, body: bytes) -> dict[str, Any]:
    content = _json_object(body)
    parameters: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                parameters[name] = labels[wire_name]
            case "querystring" if wire_name in query:
                parameters[name] = _from_query(query[wire_name], member, name)
            case None if content.get(wire_name) is not None:
                parameters[name] = typed(content[wire_name], member, name)
    return parameters


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ApiError("SerializationException", "The body is not a JSON object.")
    return content


def _from_query(values: list[str], shape: Shape, name: str) -> object:
    """Convert what stands in a query string, where everything is text."""
    value = values[0]
    try:
        match shape.type_name:
            case "list":
                return values
            case "integer" | "long":
                return int(value)
            case "boolean":
                return value == "true"
            case "timestamp":
                return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError as error:
        raise ApiError("SerializationException", f"{name}: {error}") from error
    return value


_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float),
}


def typed(value: Value, shape: Shape, path: str) -> Value:
    """Keep what the model knows of a JSON value; a value of another type is refused."""
    expected = _JSON_TYPES[shape.type_name]
    fits = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    if not fits:
        raise ApiError("SerializationException", f"{path}: expected a {shape.type_name}.")
    match shape:
        case StructureShape():
            return {
                name: typed(value[name], member, f"{path}.{name}")
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case MapShape():
            return {key: typed(item, shape.value, f"{path}.{key}") for key, item in value.items()}
        case ListShape():
            return [typed(item, shape.member, f"{path}[{index}]") for index, item in enumerate(value)]
    return value


def known(value: Value, shape: Shape) -> Value:
    """Turn a result into JSON, without the members that the model does not have."""
    match shape:
        case StructureShape():
            return {
                name: known(value[name], member)
                for name, member in shape.members.items()
                if value.get(name) is not None
            }
        case MapShape():
            return {key: known(item, shape.value) for key, item in value.items()}
        case ListShape():
            return [known(item, shape.member) for item in value]
    return round(value.timestamp(), 3) if isinstance(value, datetime) else value


def _problems(value: Value, shape: Shape, path: str) -> Iterator[str]:
    """Name every constraint of the model that a value breaks, in the words of the AWS front end."""
    yield from (
        f"Value {_shown(value, shape)} at '{path}' failed to satisfy constraint: {constraint}"
        for constraint in _broken_constraints(value, shape)
    )
    match shape:
        case StructureShape():
            for name in shape.required_members:
                if name not in value:
                    yield f"Value null at '{_below(path, name)}' failed to satisfy constraint: Member must not be null"
            for name, item in value.items():
                yield from _problems(item, shape.members[name], _below(path, name))
        case MapShape():
            for key, item in value.items():
                yield from _problems(key, shape.key, _below(path, key))
                yield from _problems(item, shape.value, _below(path, key))
        case ListShape():
            for index, item in enumerate(value, 1):
                yield from _problems(item, shape.member, f"{path}.{index}.member")


def _broken_constraints(value: Value, shape: Shape) -> Iterator[str]:
    limits = shape.metadata
    measure, words = (len(value), "length") if isinstance(value, str | list | dict) else (value, "value")
    if "min" in limits and measure < limits["min"]:
        yield f"Member must have {words} greater than or equal to {limits['min']}"
    if "max" in limits and measure > limits["max"]:
        yield f"Member must have {words} less than or equal to {limits['max']}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value, re.DOTALL):
        yield f"Member must satisfy regular expression pattern: {limits['pattern']}"


def _shown(value: Value, shape: Shape) -> str:
    return "***" if shape.metadata.get("sensitive") else f"'{value}'"


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
