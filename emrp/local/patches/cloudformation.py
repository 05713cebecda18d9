"""Stacks may have what ministack's CloudFormation refuses, although nothing here would use it; and they have events.

These are saved queries of CloudWatch Logs and alarms on metric math: they are taken, and nothing becomes of them. When
the status of a stack changes, EventBridge hears of it.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ministack import app

from emrp.local.events import publish_aws_event
from emrp.local.patches.anchors import replace, require_names, require_source, when_first_asked

_QUERY, _ALARM = "AWS::Logs::QueryDefinition", "AWS::CloudWatch::Alarm"
_STACK = "AWS::CloudFormation::Stack"
_ADD_EVENT = "0adea13d13a6"  # the digest of its source

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]


def install() -> None:
    """Make stacks take both, and tell of themselves."""
    require_names("services/cloudformation/provisioners.py", "_RESOURCE_HANDLERS")
    require_source("services/cloudformation/stacks.py", "_add_event", _ADD_EVENT)
    when_first_asked(app.SERVICE_HANDLERS, "cloudformation", _install)


def _install() -> None:
    from ministack.services.cloudformation import provisioners, stacks  # noqa: PLC0415 -- takes a second

    replace(stacks, "_add_event", _ADD_EVENT, _publishing)

    handlers = provisioners._RESOURCE_HANDLERS
    handlers[_QUERY] = {"create": _create_query, "update": _keep, "delete": _forget}
    alarm = handlers[_ALARM]
    handlers[_ALARM] = {
        **alarm,
        "create": lambda *call: _create_math(*call) if _is_math(call[1]) else alarm["create"](*call),
        "update": lambda *call, **more: _keep(*call) if _is_math(call[2]) else alarm["update"](*call, **more),
    }


def _publishing(add_event: Callable[..., None]) -> Callable[..., None]:
    """Return `_add_event`, which also publishes what it notes of a stack itself."""

    def add(*noted: str, **more: str) -> None:
        add_event(*noted, **more)
        stack_id, stack_name, logical_id, kind, status = noted[:5]
        reason = noted[5] if len(noted) > 5 else more.get("reason", "")  # noqa: PLR2004 - as `_add_event` takes them
        if (logical_id, kind) == (stack_name, _STACK):
            _, _, _, region, account_id, _ = stack_id.split(":", 5)
            details = {"status": status, "status-reason": reason}
            publish_aws_event(
                "aws.cloudformation",
                "CloudFormation Stack Status Change",
                {"stack-id": stack_id, "status-details": details, "client-request-token": ""},
                [stack_id],
                account_id=account_id,
                region=region,
            )

    return add


def _is_math(properties: Properties) -> bool:
    return bool(properties.get("Metrics"))


def _create_math(logical_id: str, properties: Properties, stack_name: str) -> Provisioned:
    return properties.get("AlarmName") or f"{stack_name}-{logical_id}", {}


def _create_query(_logical_id: str, _properties: Properties, _stack_name: str) -> Provisioned:
    query_id = str(uuid4())
    return query_id, {"QueryDefinitionId": query_id}


def _keep(physical_id: str, _old: Properties, _new: Properties, *_: object) -> Provisioned:
    return physical_id, {}


def _forget(_physical_id: str, _properties: Properties) -> None:
    pass
