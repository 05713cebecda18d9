"""Renders the values of a pipeline file: Jinja2 in a sandbox, where an unknown name is an error."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from emr_pipelines.errors import Problem

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_ENVIRONMENT.globals.clear()


def render(value: Any, scope: Mapping[str, Any], path: str, problems: list[Problem]) -> Any:  # noqa: ANN401
    """Return `value` with every text in it rendered; what cannot be rendered is added to `problems`."""
    if isinstance(value, dict):
        return {key: render(item, scope, f"{path}.{key}", problems) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, scope, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return _ENVIRONMENT.from_string(value).render(scope)
    except UndefinedError as error:
        problems.append(Problem(path, f"{error.message}; in scope: {', '.join(_names(scope))}"))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        problems.append(Problem(path, f"cannot be rendered: {error}"))
    return value


def _names(scope: Mapping[str, Any]) -> Iterator[str]:
    for name, value in scope.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{name}.{key}" for key in value)
        else:
            yield name
