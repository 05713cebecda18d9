"""The domain events: what other systems, other pipelines and the notifications react to."""

import json

from emr_pipelines.domain_event import DomainEvent
from emr_pipelines.errors import TransientError
from emr_pipelines.gateways.aws import client, translated_errors

SOURCE = "emr-pipelines"


class DomainEvents:
    """Publishes to the account's default event bus."""

    def __init__(self) -> None:
        self._events = client("events")

    def publish(self, event: DomainEvent) -> None:
        """Publish one event; raises TransientError when the bus did not take it."""
        entry = {"Source": SOURCE, "DetailType": event.detail_type, "Detail": json.dumps(event.detail)}
        with translated_errors():
            answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise TransientError(f"PutEvents: {answer['Entries'][0].get('ErrorMessage')}")
