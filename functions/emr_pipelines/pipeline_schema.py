"""The JSON Schema of pipeline files, for editors: our models, with AWS's requests put in from botocore's model."""

from typing import Any

from emr_pipelines.pipeline_model import Pipeline
from emr_pipelines.service_model import (
    CREATE_APPLICATION,
    INSTANCE_FLEET,
    INSTANCE_GROUP,
    RUN_JOB_FLOW,
    START_JOB_RUN,
    STEP,
    Operation,
    request_schema,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REQUESTS = {
    "Application": CREATE_APPLICATION,
    "Cluster": RUN_JOB_FLOW,
    "GroupedJob": START_JOB_RUN,
    "Job": START_JOB_RUN,
}
_RESIZES = {"instanceFleet": INSTANCE_FLEET, "instanceGroup": INSTANCE_GROUP}


def pipeline_schema() -> dict[str, Any]:
    """Return the schema; templates are allowed wherever AWS wants a text, a number or a list."""
    schema = Pipeline.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    for name, operation in _REQUESTS.items():
        _add(definitions[name], operation, definitions)
    for name in ("GroupedJob", "Job"):
        definitions[name]["properties"] |= {"step": request_schema(STEP, definitions), "resize": _resize(definitions)}
    places = [{"required": ["application"]}, {"required": ["cluster"]}]
    return {"$schema": _DIALECT, **schema, "oneOf": places}


def _resize(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a change of size: the name of a part of the cluster beside the fields of its change."""
    kinds = []
    for name, operation in _RESIZES.items():
        request = request_schema(operation, definitions)
        kinds.append({**request, "properties": {name: {"type": "string"}, **request["properties"]}, "required": [name]})
    return {"oneOf": kinds}


def _add(model: dict[str, Any], operation: Operation, definitions: dict[str, Any]) -> None:
    request = request_schema(operation, definitions)
    model["properties"] = {**request["properties"], **model["properties"]}
    model["additionalProperties"] = False
