"""The JSON protocol of the service, driven by botocore's model of it."""

import json
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import botocore.session
from botocore.model import ServiceModel, StructureShape

from emrp.local.emr_serverless import protocol as shapes
from emrp.local.emr_serverless.errors import ApiError

_BEYOND_16_BITS = r"\\uD800\\uDC00-\\uDBFF\\uDFFF", r"\\U00010000-\\U0010FFFF"  # as Java and as Python write it

Response = tuple[int, dict[str, str], bytes]


@cache
def service_model() -> ServiceModel:
    """Return botocore's description of EMR, with patterns that Python understands."""
    description = botocore.session.get_session().get_component("data_loader").load_service_model("emr", "service-2")
    text = json.dumps(description).replace(*_BEYOND_16_BITS)
    return ServiceModel(json.loads(text), "emr")


def parse(headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the operation that a request asks for, and its parameters."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if operation not in service_model().operation_names:
        raise ApiError("InvalidAction", f"There is no operation {operation} of EMR.")
    try:
        content = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The body is not JSON: {error}") from error
    return operation, checked(operation, content)


def checked(operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that the model knows; refuses those that break its constraints."""
    shape = input_shape(operation)
    kept: dict[str, Any] = shapes.typed(parameters, shape, "request")
    shapes.check(kept, shape)
    return kept


def input_shape(operation: str) -> StructureShape:
    """Return the model of an operation's parameters."""
    shape = service_model().operation_model(operation).input_shape
    return shape if shape is not None else StructureShape("Nothing", {"type": "structure", "members": {}})


def members(structure: str) -> set[str]:
    """Return the names of the members of a structure of the model."""
    shape = service_model().shape_for(structure)
    return set(shape.members) if isinstance(shape, StructureShape) else set()


def output(operation: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the members that the model knows."""
    shape = service_model().operation_model(operation).output_shape
    known: dict[str, Any] = shapes.known(result, shape) if shape is not None else {}
    return known


def content(response: Response) -> dict[str, Any]:
    """Return what ministack answered; raises ApiError when it refused."""
    status, _, body = response
    answer: dict[str, Any] = json.loads(body)
    if status != HTTPStatus.OK:
        raise ApiError(answer["__type"].rpartition("#")[2], answer["message"])
    return answer


def serialise(result: Mapping[str, Any]) -> Response:
    """Return the answer to an operation."""
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result).encode()


def serialise_error(error: ApiError) -> Response:
    """Return the answer that refuses a request."""
    body = {"__type": error.code, "message": str(error)}
    return error.status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
