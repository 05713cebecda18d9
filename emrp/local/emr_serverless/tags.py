"""The tag operations, and the rules for tags."""

from typing import Any

from emrp.local.emr_serverless.errors import ApiError
from emrp.local.emr_serverless.events import Events
from emrp.local.emr_serverless.registry import Registry

_MOST_TAGS = 50


class TagOperations:
    """Tags of applications and job runs."""

    def __init__(self, registry: Registry, events: Events) -> None:
        self._registry = registry
        self._events = events

    def tag_resource(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Add tags, or give them other values."""
        resource = self._registry.find_tagged(parameters["resourceArn"])
        resource.tags = checked_tags(resource.tags | parameters["tags"])
        self._events.changed(resource)
        return {}

    def untag_resource(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Remove tags."""
        resource = self._registry.find_tagged(parameters["resourceArn"])
        resource.tags = {key: value for key, value in resource.tags.items() if key not in parameters["tagKeys"]}
        self._events.changed(resource)
        return {}

    def list_tags_for_resource(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the tags."""
        return {"tags": self._registry.find_tagged(parameters["resourceArn"]).tags}


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return tags that a resource may have, or refuse them."""
    if len(tags) > _MOST_TAGS:
        raise ApiError("ValidationException", f"A resource can have at most {_MOST_TAGS} tags.")
    for key in tags:
        if key.lower().startswith("aws:") and not key.startswith("aws:cloudformation:"):
            raise ApiError("ValidationException", f"The tag key {key} begins with aws:, which is reserved for AWS.")
    return dict(tags)
