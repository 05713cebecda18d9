"""What is not sent at once in a burst of notifications, in the one table.

| pk                       | sk                                 | item                                                 |
| ------------------------ | ---------------------------------- | ---------------------------------------------------- |
| BURST#<pipeline>#<state> | WINDOW                             | when the window closes; what was sent in it          |
| HELD                     | <pipeline>#<state>#<time>#<digest> | a notification that waits for the window to close    |
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from emr_pipelines.clock import iso_time, now
from emr_pipelines.gateways.table import Table, expiry

_RETENTION_DAYS = 7
_MOST = 1_000  # in one summary: SNS takes 256 KB


@dataclass(frozen=True)
class Collection:
    """The notifications that wait for one summary; `first` identifies the oldest of them."""

    pipeline: str
    state: str
    first: str


class HeldNotifications:
    """Decides what is sent at once, and keeps the rest."""

    def __init__(self, table_name: str) -> None:
        self._table = Table(table_name)

    def admit(self, pipeline: str, state: str, event_id: str, most: int, window: timedelta) -> str | None:
        """Count a notification; return None when it may be sent at once, else when the window closes.

        The same event is always admitted again as long as the window is open, so that it can be repeated.
        """
        key = {"pk": f"BURST#{pipeline}#{state}", "sk": "WINDOW"}
        digest = _digest(event_id)
        while True:
            at = now()
            room = Attr("sent").size().lt(most) | Attr("sent").contains(digest)
            item = self._table.update(key, {}, Attr("closes_at").gt(at) & room, add={"sent": {digest}})
            if item and item["closes_at"] > at:
                return None if digest in item["sent"] else str(item["closes_at"])
            opened = {"closes_at": iso_time(datetime.fromisoformat(at) + window), "sent": {digest}}
            is_closed = Attr("closes_at").not_exists() | Attr("closes_at").lte(at)
            if self._table.put(key, opened, is_closed, ttl=expiry(_RETENTION_DAYS)):
                return None

    def hold(self, pipeline: str, state: str, event_id: str, due_at: str, values: dict[str, Any]) -> None:
        """Keep a notification until its window is closed."""
        key = {"pk": "HELD", "sk": f"{pipeline}#{state}#{due_at}#{_digest(event_id)}"}
        held = {**values, "pipeline_name": pipeline, "state": state, "due_at": due_at, "held_at": now()}
        self._table.put(key, held, ttl=expiry(_RETENTION_DAYS))

    def list_due(self) -> list[Collection]:
        """Return what can be summarised now."""
        at = now()
        found: dict[tuple[str, str], Collection] = {}
        for item in self._table.query(Key("pk").eq("HELD")):
            if item["due_at"] <= at:
                kind = item["pipeline_name"], item["state"]
                found.setdefault(kind, Collection(*kind, item["sk"].rpartition("#")[2]))
        return list(found.values())

    def list_held(self, pipeline: str, state: str) -> list[dict[str, Any]]:
        """Return the notifications that wait for one summary, the oldest first, as many as it can have."""
        ours = Key("pk").eq("HELD") & Key("sk").begins_with(f"{pipeline}#{state}#")
        items = sorted(self._table.query(ours)[:_MOST], key=lambda item: str(item["held_at"]))
        return [item for item in items if item["due_at"] <= now()]

    def forget(self, items: list[dict[str, Any]]) -> None:
        """Forget notifications that a summary has told."""
        self._table.delete_all([{"pk": item["pk"], "sk": item["sk"]} for item in items])


def _digest(event_id: str) -> str:
    """Return a name for an event that fits into a key."""
    return hashlib.sha256(event_id.encode()).hexdigest()[:32]
