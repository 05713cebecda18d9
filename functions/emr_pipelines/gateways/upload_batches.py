"""The uploads that wait for their batch, in the one table. Each upload gets into exactly one batch.

| pk                   | sk                   | item                                                                |
| -------------------- | -------------------- | ------------------------------------------------------------------- |
| UPLOAD#<upload>      | <collection>         | an upload that was collected, so that its repetitions are known     |
| WAITING#<collection> | FILE#<time>#<upload> | an upload that is in no batch whose run has started                 |
| WAITING#<collection> | BATCH                | the `number` of the last batch; its `files`, until its run has started |

Which uploads a batch has is decided by one conditional write. Whoever comes later, also after a crash, finishes that
batch before there can be another.
"""

from dataclasses import asdict, dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from emr_pipelines.gateways.table import Table, expiry
from emr_pipelines.triggers import Upload, digest

_BATCH, _FILE = "BATCH", "FILE#"
_RETENTION_DAYS = 90  # far longer than an upload waits, or comes again


@dataclass(frozen=True)
class Batch:
    """The uploads that one run is for; `number` counts the batches of the collection."""

    number: int
    files: list[str]


class UploadBatches:
    """Reads and writes them; every call is safe to repeat."""

    def __init__(self, table_name: str) -> None:
        self._table = Table(table_name)

    def add(self, collection: str, upload: Upload) -> str:
        """Let an upload wait, unless that happened before; return the name under which it is known."""
        name = digest(upload.cause)
        file = f"{_FILE}{upload.time}#{name}"  # sorts by time
        self._table.put_new(
            [({"pk": f"UPLOAD#{name}", "sk": collection}, {}), (_waiting_key(collection, file), asdict(upload))],
            ttl=expiry(_RETENTION_DAYS),
        )
        return file

    def is_waiting(self, collection: str, file: str) -> bool:
        """Tell whether an upload is in no batch that has started."""
        return self._table.get(_waiting_key(collection, file)) is not None

    def has(self, collection: str, count: int) -> bool:
        """Tell whether so many uploads wait."""
        return len(self._list(collection, count)) >= count

    def being_started(self, collection: str) -> Batch | None:
        """Return the batch that has been decided but not finished."""
        batch = self._batch(collection)
        return batch if batch.files else None

    def decide(self, collection: str, max_files: int) -> Batch | None:
        """Make the uploads that wait longest the next batch; return None when somebody else is about to."""
        before = self._batch(collection)
        files = [item["sk"] for item in self._list(collection, max_files)]
        if before.files or not files:
            return None
        free = Attr("number").eq(before.number) & Attr("files").eq([])
        condition = free if before.number else Attr("number").not_exists()
        batch = Batch(before.number + 1, files)
        ttl = expiry(_RETENTION_DAYS)
        return batch if self._table.put(_batch_key(collection), asdict(batch), condition, ttl=ttl) else None

    def list_uploads(self, collection: str, batch: Batch) -> list[Upload] | None:
        """Return the uploads of a batch, or None when somebody else has started it meanwhile."""
        keys = [_waiting_key(collection, file) for file in batch.files]
        items = sorted(self._table.get_many(keys), key=lambda item: item["sk"])
        return [_upload(item) for item in items] if len(items) == len(keys) else None

    def finish(self, collection: str, batch: Batch) -> None:
        """Forget the uploads of a batch whose run has started, and let the next batch come."""
        self._table.delete_all([_waiting_key(collection, file) for file in batch.files])
        self._table.update(_batch_key(collection), {"files": []}, Attr("number").eq(batch.number))

    def _batch(self, collection: str) -> Batch:
        item = self._table.get(_batch_key(collection)) or {"number": 0, "files": []}
        return Batch(int(item["number"]), item["files"])

    def _list(self, collection: str, limit: int) -> list[dict[str, Any]]:
        waiting = Key("pk").eq(f"WAITING#{collection}") & Key("sk").begins_with(_FILE)
        # The limit is that of a page, of which long keys need more than one.
        return self._table.query(waiting, Limit=limit, ProjectionExpression="sk")[:limit]


def _upload(item: dict[str, Any]) -> Upload:
    return Upload(item["bucket"], item["key"], int(item["size"]), item["version_id"], item["sequencer"], item["time"])


def _waiting_key(collection: str, file: str) -> dict[str, str]:
    return {"pk": f"WAITING#{collection}", "sk": file}


def _batch_key(collection: str) -> dict[str, str]:
    return _waiting_key(collection, _BATCH)
