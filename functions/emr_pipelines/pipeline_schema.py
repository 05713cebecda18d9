"""The JSON Schema of pipeline files, for editors: our models, with AWS's requests put in from botocore's model."""

from typing import Any

from emr_pipelines.pipeline_model import Pipeline
from emr_pipelines.service_model import CREATE_APPLICATION, START_JOB_RUN, Operation, request_schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REQUESTS = {"Application": CREATE_APPLICATION, "GroupedJob": START_JOB_RUN, "Job": START_JOB_RUN}


def pipeline_schema() -> dict[str, Any]:
    """Return the schema; templates are allowed wherever AWS wants a text, a number or a list."""
    schema = Pipeline.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    for name, operation in _REQUESTS.items():
        _add(definitions[name], operation, definitions)
    return {"$schema": _DIALECT, **schema}


def _add(model: dict[str, Any], operation: Operation, definitions: dict[str, Any]) -> None:
    request = request_schema(operation, definitions)
    model["properties"] = {**request["properties"], **model["properties"]}
    model["additionalProperties"] = False
