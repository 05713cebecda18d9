"""Which runs of a pipeline with a `concurrency` limit are running, and which wait for their turn.

| pk               | sk                       | item                                          |
| ---------------- | ------------------------ | --------------------------------------------- |
| PIPELINE#<name>  | SLOTS                    | the ids of the runs that hold a slot          |
| PIPELINE#<name>  | QUEUE#<started at>#<run> | a run that waits for a slot, and its token    |
"""

from boto3.dynamodb.conditions import Attr, Key

from emr_pipelines.gateways.table import Table, expiry
from emr_pipelines.run import Run


class RunSlots:
    """Hands out slots; every operation can be repeated."""

    def __init__(self, table_name: str, retention_days: int = 90) -> None:
        self._table = Table(table_name)
        self._retention_days = retention_days

    def take(self, run: Run) -> bool:
        """Give a run a slot unless all are taken; tell whether it has one."""
        limit = int(run.concurrency["limit"])
        free = Attr("holders").not_exists() | Attr("holders").size().lt(limit) | Attr("holders").contains(run.run_id)
        item = self._table.update(_slots_key(run.pipeline), {}, free, add={"holders": {run.run_id}})
        return run.run_id in item.get("holders", ())

    def holders(self, pipeline: str) -> set[str]:
        """Return the ids of the runs that hold a slot."""
        item = self._table.get(_slots_key(pipeline)) or {}
        return set(item.get("holders", ()))

    def give_back(self, pipeline: str, run_id: str) -> None:
        """Take a run's slot away, if it has one."""
        self._table.update(_slots_key(pipeline), {}, remove={"holders": {run_id}})

    def queue_up(self, run: Run, task_token: str) -> None:
        """Let a run wait, behind those that started before it."""
        values = {"run_id": run.run_id, "task_token": task_token}  # put again at each heartbeat
        self._table.put(_queue_key(run), values, ttl=expiry(self._retention_days))

    def queue(self, pipeline: str) -> list[tuple[str, str]]:
        """Return run id and task token of those that wait, in the order of their turn."""
        items = self._table.query(Key("pk").eq(f"PIPELINE#{pipeline}") & Key("sk").begins_with("QUEUE#"))
        return [(item["run_id"], item["task_token"]) for item in items]

    def leave_queue(self, run: Run) -> None:
        """Let a run wait no more."""
        self._table.delete(_queue_key(run))


def _slots_key(pipeline: str) -> dict[str, str]:
    return {"pk": f"PIPELINE#{pipeline}", "sk": "SLOTS"}


def _queue_key(run: Run) -> dict[str, str]:
    return {"pk": f"PIPELINE#{run.pipeline}", "sk": f"QUEUE#{run.started_at}#{run.run_id}"}
