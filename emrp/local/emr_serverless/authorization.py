"""What a caller's policies must allow for an operation of EMR Serverless, when the local AWS enforces IAM."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region

from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.service import EmrServerless
from emrp.local.iam import AccessDenied, Permission, require

Parameters = dict[str, Any]
Tags = dict[str, str]

_MADE_BY = {"CreateApplication": "/applications/*", "StartJobRun": "/jobruns/*"}


def authorize(service: EmrServerless, operation: str, parameters: Parameters, access_key: str) -> None:
    """Refuse an operation unless the policies of a key's principal allow everything that it asks for."""
    tags: Tags = {}
    with contextlib.suppress(ApiError):  # there is no such resource, so it has no tags
        tags = service.call("ListTagsForResource", {"resourceArn": resource_arn(parameters)}, counted=False)["tags"]
    try:
        require(access_key, permissions(operation, parameters, tags))
    except AccessDenied as error:
        raise ApiError("AccessDeniedException", str(error)) from error


def permissions(operation: str, parameters: Parameters, resource_tags: Tags) -> Iterator[Permission]:
    """Name every permission that an operation asks for, given the tags of the resource that it is about."""
    resource = resource_arn(parameters)
    tags: Tags = parameters.get("tags", {})
    requested: dict[str, object] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if keys := [*tags, *parameters.get("tagKeys", [])]:
        requested["aws:TagKeys"] = keys
    owned = {f"aws:ResourceTag/{key}": value for key, value in resource_tags.items()}
    yield Permission(f"emr-serverless:{operation}", resource, {**requested, **owned})
    if tags and (made := _MADE_BY.get(operation)):
        yield Permission("emr-serverless:TagResource", resource.removesuffix("/*") + made, requested)
    if role := parameters.get("executionRoleArn"):
        yield Permission("iam:PassRole", role, {"iam:PassedToService": "emr-serverless.amazonaws.com"})


def resource_arn(parameters: Parameters) -> str:
    """Return the ARN of the application or job run that a request is about; of the account's if it names none."""
    if arn := parameters.get("resourceArn"):
        named: str = arn
        return named
    account = f"arn:aws:emr-serverless:{get_region()}:{get_account_id()}:/"
    if "applicationId" not in parameters:
        return f"{account}*"
    application = f"{account}applications/{parameters['applicationId']}"
    return f"{application}/jobruns/{parameters['jobRunId']}" if "jobRunId" in parameters else application
