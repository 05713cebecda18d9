"""The registered pipelines, in the one table.

| pk               | sk         | item                                                                       |
| ---------------- | ---------- | -------------------------------------------------------------------------- |
| PIPELINES        | <name>     | file, version and triggers of a pipeline: what is looked at for each event |
| PIPELINE#<name>  | DEFINITION | its whole definition, compressed                                           |
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from emr_pipelines.clock import now
from emr_pipelines.definition import Definition
from emr_pipelines.gateways.table import Table


@dataclass(frozen=True)
class Registered:
    """What is known of a pipeline without reading its definition.

    `settled` says that its schedules, rules and subscriptions are made, too, and that its registration has been
    published. `emails` are the addresses that want its notifications.
    """

    name: str
    file: str
    version: str
    registered_at: str
    triggers: dict[str, Any]
    settled: bool = True
    emails: frozenset[str] = frozenset()


class PipelineRegistry:
    """Reads and writes the registered pipelines; they do not expire."""

    def __init__(self, table_name: str) -> None:
        self._table = Table(table_name)

    def get(self, name: str) -> Definition | None:
        """Return the definition of a pipeline, or None when there is no pipeline of this name."""
        item = self._table.get(_definition_key(name))
        if item is None:
            return None
        document = json.loads(zlib.decompress(bytes(item["document"])))
        return Definition(name=name, file=item["file"], version=item["version"], **document)

    def find(self, name: str) -> Registered | None:
        """Return what is known of one pipeline, or None when it is not registered."""
        item = self._table.get(_summary_key(name))
        return _registered(item) if item else None

    def list(self) -> list[Registered]:
        """Return all pipelines by name, without their definitions."""
        return [_registered(item) for item in self._table.query(Key("pk").eq("PIPELINES"))]

    def put(self, definition: Definition) -> None:
        """Make a definition the live one of its pipeline; it is not settled yet."""
        document = json.dumps({"data": definition.data, "lines": definition.lines}, separators=(",", ":"))
        version = {"file": definition.file, "version": definition.version, "registered_at": now()}
        triggers = json.dumps(definition.data.get("triggers", {}))
        emails = definition.data.get("notifications", {}).get("email", [])
        self._table.put_together(
            [
                (_definition_key(definition.name), {**version, "document": zlib.compress(document.encode())}),
                (_summary_key(definition.name), {**version, "triggers": triggers, "emails": emails, "settled": False}),
            ]
        )

    def settle(self, definition: Definition) -> None:
        """Note that nothing is left to do for a definition, unless another one is live by now."""
        still_live = Attr("file").eq(definition.file) & Attr("version").eq(definition.version)
        self._table.update(_summary_key(definition.name), {"settled": True}, still_live)

    def remove(self, name: str) -> None:
        """Forget a pipeline; its runs stay in the run record."""
        self._table.delete_together([_definition_key(name), _summary_key(name)])


def _registered(item: dict[str, Any]) -> Registered:
    return Registered(
        item["sk"],
        item["file"],
        item["version"],
        item["registered_at"],
        json.loads(item["triggers"]),
        item["settled"],
        frozenset(item.get("emails", [])),  # an older version has registered none
    )


def _definition_key(name: str) -> dict[str, str]:
    return {"pk": f"PIPELINE#{name}", "sk": "DEFINITION"}


def _summary_key(name: str) -> dict[str, str]:
    return {"pk": "PIPELINES", "sk": name}
