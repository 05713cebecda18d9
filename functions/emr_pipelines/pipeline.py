"""A pipeline file becomes a Definition: every check that needs no run is made here, before anything is registered."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from emr_pipelines.definition import INLINE, Definition
from emr_pipelines.errors import InvalidPipelineError, Problem
from emr_pipelines.hints import did_you_mean
from emr_pipelines.pipeline_checks import check
from emr_pipelines.pipeline_model import IN_WORDS, Pipeline, field_names
from emr_pipelines.yaml_document import YamlDocument, parse_yaml


def check_pipeline(file: str, name: str | None, text: str, version: str = "") -> Definition:
    """Read and check a pipeline file; raises InvalidPipelineError with every problem, its path and line.

    `name` is the name that the pipeline must have; None takes the one that the file gives it.
    """
    document = parse_yaml(text)
    if document.problems:
        raise InvalidPipelineError(file, document.problems)
    return _definition(file, name, document, version)


def check_definition(data: object) -> Definition:
    """Check a definition that somebody has given as the input of an execution, like `check_pipeline`."""
    return _definition(INLINE, None, YamlDocument(data, {}, ()), "")


def _definition(file: str, name: str | None, document: YamlDocument, version: str) -> Definition:
    data = document.data
    if not isinstance(data, dict):
        raise InvalidPipelineError(
            file, [Problem("", "must be a mapping with name, application (or cluster) and jobs")]
        )
    problems: list[Problem] = []
    try:
        pipeline = Pipeline.model_validate(data)
    except ValidationError as error:
        pipeline = None
        problems += [Problem(_path(item["loc"]), _message(item)) for item in error.errors(include_url=False)]
    if name is not None and data.get("name") != name:
        problems.append(Problem("name", f'must be "{name}", as the file is called, not "{data.get("name")}"'))
    problems += check(data)
    if pipeline is None or problems:
        located = {Problem(found.path, found.message, document.line_of(found.path)): None for found in problems}
        raise InvalidPipelineError(file, sorted(located, key=lambda found: found.line or 0))
    complete = pipeline.model_dump(by_alias=True, mode="json")
    # A declaration without a default is not one whose default is null.
    complete["parameters"] = data.get("parameters", {})
    return Definition(name=pipeline.name, file=file, version=version, data=complete, lines=document.lines)


def _path(location: Sequence[int | str]) -> str:
    """Write where pydantic has found something; its `(job)` and the like are the choices that it has made."""
    parts = [part for part in location if not str(part).startswith("(") and part != "[key]"]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _message(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    if item["type"] == "extra_forbidden":
        return f"is not a field of a pipeline file; {did_you_mean(str(item['loc'][-1]), field_names())}"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "string_pattern_mismatch":
        return f'{IN_WORDS[item["ctx"]["pattern"]]}, not "{item["input"]}"'
    return str(item["msg"]).removeprefix("Value error, ")
