"""CloudFormation stacks with the clusters of runs whose pipelines have a template for theirs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from emr_pipelines.clock import iso_time
from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.aws import client, translated_errors
from emr_pipelines.gateways.s3_texts import S3Texts
from emr_pipelines.stack import RUN_TAG

_NO_ROLE = "the stack has no ClusterTemplateRoleArn, the role in which CloudFormation makes clusters of templates"


@dataclass(frozen=True)
class ObservedStack:
    """What CloudFormation says about a stack."""

    name: str
    status: str
    details: str
    outputs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    created_at: str = ""


class ClusterStacks:
    """The calls that the functions make.

    `role_arn` is the role in which CloudFormation acts; it stays that of the stack until this is deleted.
    """

    def __init__(self, role_arn: str = "") -> None:
        self._cloudformation = client("cloudformation")
        self._texts = S3Texts()
        self._role_arn = role_arn

    def create(self, request: Mapping[str, Any]) -> None:
        """Create the stack of a run from `template`, `parameters`, `StackName` and `Tags`, unless there is one."""
        if not self._role_arn:
            raise RequestRefusedError("CreateStack", "NoRole", _NO_ROLE)
        parameters = request.get("parameters") or {}
        if isinstance(parameters, str):
            parameters = self._read_parameters(parameters)
        with translated_errors():
            try:
                self._cloudformation.create_stack(
                    StackName=request["StackName"],
                    TemplateBody=self._texts.read(request["template"]),
                    Parameters=[
                        {"ParameterKey": name, "ParameterValue": _text(value)} for name, value in parameters.items()
                    ],
                    Tags=request["Tags"],
                    Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
                    RoleARN=self._role_arn,
                    OnFailure="DO_NOTHING",  # what has failed is looked at before all of it is deleted
                )
            except self._cloudformation.exceptions.AlreadyExistsException:
                return

    def get(self, name: str) -> ObservedStack | None:
        """Return how a stack stands, or None when there is none (any more)."""
        try:
            with translated_errors():
                (stack,) = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
        except RequestRefusedError as error:
            if "does not exist" in str(error):
                return None
            raise
        return _observed(stack)

    def first_failure(self, name: str) -> str | None:
        """Say which resource of a stack failed first, and why: the reason of all that followed."""
        with translated_errors():
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
            failures = list(_failures(pages))  # the newest first
        return failures[-1] if failures else None

    def list_of_runs(self) -> list[ObservedStack]:
        """Return the stacks of the account that runs of whatever stack have, and that are not being deleted."""
        with translated_errors():
            pages = self._cloudformation.get_paginator("describe_stacks").paginate()
            stacks = [_observed(stack) for page in pages for stack in page["Stacks"]]
        return [stack for stack in stacks if RUN_TAG in stack.tags and stack.status != "DELETE_IN_PROGRESS"]

    def delete(self, name: str) -> None:
        """Ask for the deletion of a stack; one that does not exist is left alone."""
        with translated_errors():
            self._cloudformation.delete_stack(StackName=name)

    def _read_parameters(self, uri: str) -> dict[str, Any]:
        """Read a file of parameters in any form that AWS's tools take: a list, or a mapping that may be nested."""
        text = self._texts.read(uri)
        try:
            document = json.loads(text)
            if isinstance(document, list):
                return {entry["ParameterKey"]: entry["ParameterValue"] for entry in document}
            return dict(document.get("Parameters", document))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            form = '[{"ParameterKey": "...", "ParameterValue": "..."}]'
            raise RequestRefusedError("CreateStack", "Parameters", f"{uri} is not JSON like {form}: {error}") from error


def _observed(stack: Mapping[str, Any]) -> ObservedStack:
    return ObservedStack(
        stack["StackName"],
        stack["StackStatus"],
        stack.get("StackStatusReason", ""),
        {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
        iso_time(stack["CreationTime"]),
    )


def _failures(pages: Any) -> Iterator[str]:  # noqa: ANN401 - boto3 makes its paginators at run time
    for page in pages:
        for event in page["StackEvents"]:
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                yield f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write a parameter as CloudFormation takes it: a list with commas, true and false without capitals."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
