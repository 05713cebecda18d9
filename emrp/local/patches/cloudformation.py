"""Stacks may have what ministack's CloudFormation refuses, although nothing here would use it.

These are saved queries of CloudWatch Logs and alarms on metric math: they are taken, and nothing becomes of them.
"""

from typing import Any
from uuid import uuid4

from ministack import app

from emrp.local.patches.anchors import require_names, when_first_asked

_QUERY, _ALARM = "AWS::Logs::QueryDefinition", "AWS::CloudWatch::Alarm"

Properties = dict[str, Any]
Provisioned = tuple[str, dict[str, str]]


def install() -> None:
    """Make stacks take both."""
    require_names("services/cloudformation/provisioners.py", "_RESOURCE_HANDLERS")
    when_first_asked(app.SERVICE_HANDLERS, "cloudformation", _install)


def _install() -> None:
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415 -- takes a second

    handlers = provisioners._RESOURCE_HANDLERS
    handlers[_QUERY] = {"create": _create_query, "update": _keep, "delete": _forget}
    alarm = handlers[_ALARM]
    handlers[_ALARM] = {
        **alarm,
        "create": lambda *call: _create_math(*call) if _is_math(call[1]) else alarm["create"](*call),
        "update": lambda *call, **more: _keep(*call) if _is_math(call[2]) else alarm["update"](*call, **more),
    }


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
