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

from boto3.dynamodb.conditions import Key

from emr_pipelines.clock import now
from emr_pipelines.definition import Definition
from emr_pipelines.gateways.table import Table


@dataclass(frozen=True)
class Registered:
    """What is known of a pipeline without reading its definition."""

    name: str
    file: str
    version: str
    registered_at: str
    triggers: dict[str, Any]


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

    def list(self) -> list[Registered]:
        """Return all pipelines by name, without their definitions."""
        return [
            Registered(item["sk"], item["file"], item["version"], item["registered_at"], json.loads(item["triggers"]))
            for item in self._table.query(Key("pk").eq("PIPELINES"))
        ]

    def put(self, definition: Definition) -> None:
        """Make a definition the live one of its pipeline."""
        document = json.dumps({"data": definition.data, "lines": definition.lines}, separators=(",", ":"))
        version = {"file": definition.file, "version": definition.version, "registered_at": now()}
        self._table.put(
            _definition_key(definition.name), {**version, "document": zlib.compress(document.encode())}, expires=False
        )
        triggers = json.dumps(definition.data.get("triggers", {}))
        self._table.put(_summary_key(definition.name), {**version, "triggers": triggers}, expires=False)

    def remove(self, name: str) -> None:
        """Forget a pipeline; its runs stay in the run record."""
        self._table.delete(_summary_key(name))
        self._table.delete(_definition_key(name))


def _definition_key(name: str) -> dict[str, str]:
    return {"pk": f"PIPELINE#{name}", "sk": "DEFINITION"}


def _summary_key(name: str) -> dict[str, str]:
    return {"pk": "PIPELINES", "sk": name}
