"""The parameters of a pipeline: what a file declares, and what a run is given."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple, NoReturn

from emr_pipelines.errors import Problem
from emr_pipelines.hints import did_you_mean

_INFERRED = {bool: "boolean", int: "integer", float: "number", str: "string", list: "list"}
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date like 2026-11-20",
    "list": 'a list, as in JSON ["a", "b"]',
    "object": 'a mapping, as in JSON {"a": 1}',
}
TYPES = tuple(_WORDS)


class Parameter(NamedTuple):
    """A parameter of a pipeline; the type of one that has null as its default is open."""

    type: str | None
    required: bool
    default: Any = None
    allowed_values: list[Any] | None = None

    @classmethod
    def of(cls, declared: object) -> "Parameter":
        """Read what stands in the file: a mapping declares, anything else is a default that has the type."""
        if not isinstance(declared, Mapping):
            return cls(_INFERRED.get(type(declared)), required=False, default=declared)
        return cls(declared["type"], "default" not in declared, declared.get("default"), declared.get("allowedValues"))

    def read(self, value: object) -> Any:  # noqa: ANN401 - any YAML value
        """Return a value in the type of the parameter; raises ValueError when it is no value of it."""
        converted = _READERS[self.type](value) if self.type else value
        if self.allowed_values and converted not in map(_READERS[self.type or "string"], self.allowed_values):
            allowed = ", ".join(json.dumps(item) for item in self.allowed_values)
            raise ValueError(f"must be one of {allowed}, not {json.dumps(value)}")
        return converted


def parameters_of(definition: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters that the data of a definition declares."""
    return {name: Parameter.of(declared) for name, declared in definition["parameters"].items()}


def resolve(
    parameters: Mapping[str, Parameter], given: Mapping[str, Any], problems: list[Problem], path: str = "parameters"
) -> dict[str, Any]:
    """Return the value of every parameter, typed; what is wrong with what was given is added to `problems`."""
    problems += _unknown(parameters, given, path)
    values = {}
    for name, parameter in parameters.items():
        place = f"{path}.{name}"
        if name not in given and parameter.required:
            problems.append(Problem(place, f"is required: give it {_WORDS[parameter.type or 'string']}"))
            continue
        try:
            values[name] = parameter.read(given.get(name, parameter.default))
        except ValueError as error:
            problems.append(Problem(place, str(error)))
    return values


def _unknown(parameters: Mapping[str, Parameter], given: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name in given:
        if name not in parameters:
            hint = did_you_mean(name, parameters, "it has")
            yield Problem(f"{path}.{name}", f"is not a parameter of this pipeline; {hint}")


def _read_string(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else _refuse("string", value)


def _read_integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _refuse("integer", value)


def _read_number(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", value):
        value = int(value) if value.lstrip("+-").isdigit() else float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return _refuse("number", value)


def _read_boolean(value: object) -> bool:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    return value if isinstance(value, bool) else _refuse("boolean", value)


def _read_date(value: object) -> str:
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    return _refuse("date", value)


def _read_list(value: object) -> list[Any]:
    value = _json(value)
    return value if isinstance(value, list) else _refuse("list", value)


def _read_object(value: object) -> dict[str, Any]:
    value = _json(value)
    return value if isinstance(value, dict) else _refuse("object", value)


def _json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _refuse(kind: str, value: object) -> NoReturn:
    raise ValueError(f"must be {_WORDS[kind]}, not {json.dumps(value)}")


_READERS: dict[str, Any] = {
    "string": _read_string,
    "integer": _read_integer,
    "number": _read_number,
    "boolean": _read_boolean,
    "date": _read_date,
    "list": _read_list,
    "object": _read_object,
}
