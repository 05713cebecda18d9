"""CloudFormation's resource type AWS::EMRServerless::Application."""

from functools import partial
from typing import Any

from emrp.local.emr_serverless import protocol
from emrp.local.emr_serverless.in_process import InProcessClient, to_api
from emrp.local.patches.anchors import require_names

RESOURCE_TYPE = "AWS::EMRServerless::Application"
_REPLACING = ("Name", "Type")
_RENAMED = {"LogTypeMap": "LogTypes"}  # where the resource type and the API differ

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]


def check_anchors() -> None:
    """Check, without importing it, that ministack has what `install` extends."""
    names = "_RESOURCE_HANDLERS", "_STACK_TAG_PROPERTY", "_REPLACING_PROPERTIES"
    require_names("services/cloudformation/provisioners.py", *names)


def install(client: InProcessClient) -> None:
    """Make stacks create, update and delete applications."""
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415 -- takes a second

    provisioners._RESOURCE_HANDLERS[RESOURCE_TYPE] = {
        "create": partial(_create, client),
        "update": partial(_update, client),
        "delete": partial(_delete, client),
    }
    provisioners._STACK_TAG_PROPERTY[RESOURCE_TYPE] = ("Tags", "list")
    provisioners._REPLACING_PROPERTIES[RESOURCE_TYPE] = _REPLACING


def _create(client: InProcessClient, _logical_id: str, properties: Properties, _stack_name: str) -> Provisioned:
    return _provisioned(client.call("CreateApplication", _parameters("CreateApplication", properties)))


def _update(
    client: InProcessClient, application_id: str, old: Properties, new: Properties, _stack_name: str
) -> Provisioned:
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    tags = changed.pop("Tags", None)
    if changed:
        parameters = _parameters("UpdateApplication", changed)
        client.call("UpdateApplication", parameters | {"applicationId": application_id})
    application = client.look("GetApplication", {"applicationId": application_id})["application"]
    if tags is not None:
        _replace_tags(client, application, {tag["Key"]: tag["Value"] for tag in tags})
    return _provisioned(application)


def _replace_tags(client: InProcessClient, application: dict[str, Any], tags: dict[str, str]) -> None:
    if removed := [key for key in application["tags"] if key not in tags]:
        client.call("UntagResource", {"resourceArn": application["arn"], "tagKeys": removed})
    client.call("TagResource", {"resourceArn": application["arn"], "tags": tags})


def _delete(client: InProcessClient, application_id: str, _properties: Properties) -> None:
    client.call("DeleteApplication", {"applicationId": application_id})


def _parameters(operation: str, properties: Properties) -> dict[str, Any]:
    parameters: dict[str, Any] = to_api(_renamed(properties), protocol.input_shape(operation))
    return parameters


def _renamed(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(value, dict):
        return {_RENAMED.get(name, name): _renamed(item) for name, item in value.items()}
    return value


def _provisioned(application: dict[str, Any]) -> Provisioned:
    return application["applicationId"], {"ApplicationId": application["applicationId"], "Arn": application["arn"]}
