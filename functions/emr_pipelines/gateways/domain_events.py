"""The domain events: what other systems, other pipelines and the notifications react to."""

import json
from collections.abc import Callable

from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import TransientError
from emr_pipelines.gateways.aws import client, translated_errors

SOURCE = "emr-pipelines"


class DomainEvents:
    """Publishes to the account's default event bus, on which other stacks may be, too."""

    def __init__(self, stack_name: str, observe: Callable[[DomainEvent], None] | None = None) -> None:
        """`observe` is told every event that has been published, so that it can be counted."""
        self._events = client("events")
        self._stack_name = stack_name
        self._observe = observe

    def publish(self, event: DomainEvent) -> None:
        """Publish one event; raises TransientError when the bus did not take it."""
        detail = json.dumps({"stack": self._stack_name, **event.detail})
        entry = {"Source": SOURCE, "DetailType": event.detail_type, "Detail": detail}
        with translated_errors():
            answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise TransientError(f"PutEvents: {answer['Entries'][0].get('ErrorMessage')}")
        if self._observe:
            self._observe(event)
