"""The one DynamoDB table of the stack: items by `pk` and `sk`, every write conditional or repeatable."""

from datetime import datetime
from functools import cache
from typing import Any

import boto3
from boto3.dynamodb.conditions import ConditionBase
from botocore.exceptions import ClientError

from emr_pipelines.clock import now
from emr_pipelines.errors import RequestRefusedError, TransientError
from emr_pipelines.gateways.aws import CONFIG, translated_errors

_SECONDS_PER_DAY = 86_400
_BATCH = 100  # of BatchGetItem
_CONDITION_FAILED = "ConditionalCheckFailedException"

Key = dict[str, str]
Item = dict[str, Any]


def expiry(days: int, since: str | None = None) -> int:
    """Return the `ttl` of what is kept for so many days, from now on or since a time."""
    return int(datetime.fromisoformat(since or now()).timestamp()) + days * _SECONDS_PER_DAY


@cache
def _table(name: str) -> Any:  # noqa: ANN401 - boto3 makes its resources at run time
    return boto3.resource("dynamodb", config=CONFIG).Table(name)


class Table:
    """Reads are consistent. An item that is put with a `ttl` expires then, whatever updates follow without one."""

    def __init__(self, name: str) -> None:
        self._table = _table(name)

    def get(self, key: Key) -> Item | None:
        """Return an item, or None."""
        with translated_errors():
            item: Item | None = self._table.get_item(Key=key, ConsistentRead=True).get("Item")
            return item

    def get_many(self, keys: list[Key]) -> list[Item]:
        """Return the items that exist, in no particular order."""
        items: list[Item] = []
        resource = self._table.meta.client
        waiting = list(keys)
        with translated_errors():
            while waiting:
                request = {self._table.name: {"Keys": waiting[:_BATCH], "ConsistentRead": True}}
                answer = resource.batch_get_item(RequestItems=request)
                items += answer["Responses"].get(self._table.name, [])
                left = answer["UnprocessedKeys"].get(self._table.name, {}).get("Keys", [])
                waiting = left + waiting[_BATCH:]
        return items

    def query(self, condition: ConditionBase, **arguments: Any) -> list[Item]:  # noqa: ANN401 - as boto3 takes them
        """Return every item that matches a key condition; `arguments` are those of Query."""
        items: list[Item] = []
        start: dict[str, Any] = {}
        with translated_errors():
            while True:
                page = self._table.query(
                    **{"KeyConditionExpression": condition, "ConsistentRead": True, **arguments, **start}
                )
                items += page["Items"]
                if "LastEvaluatedKey" not in page or len(items) >= arguments.get("Limit", len(items) + 1):
                    return items
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def put(self, key: Key, values: Item, condition: ConditionBase | None = None, *, ttl: int | None = None) -> bool:
        """Store an item; return False, and change nothing, when `condition` does not hold."""
        arguments = {"ConditionExpression": condition} if condition else {}
        try:
            with translated_errors():
                self._table.put_item(Item=_item(key, values, ttl), **arguments)
        except RequestRefusedError as error:
            if error.code != _CONDITION_FAILED:
                raise
            return False
        return True

    def put_all(self, items: list[tuple[Key, Item]], *, ttl: int) -> None:
        """Store many items, in no particular order."""
        with translated_errors(), self._table.batch_writer() as batch:
            for key, values in items:
                batch.put_item(Item=_item(key, values, ttl))

    def put_new(self, items: list[tuple[Key, Item]], *, ttl: int) -> bool:
        """Store some items together; return False, and change nothing, when one of them is there already."""
        is_new = {"ConditionExpression": "attribute_not_exists(pk)"}
        return self._write_together([{"Put": {**self._put(key, values, ttl), **is_new}} for key, values in items])

    def put_together(self, items: list[tuple[Key, Item]]) -> None:
        """Store some items so that nobody sees, or overwrites, one without the others."""
        self._write_together([{"Put": self._put(key, values)} for key, values in items])

    def delete_together(self, keys: list[Key]) -> None:
        """Remove some items, those that are there, so that nobody sees one without the others."""
        self._write_together([{"Delete": {"TableName": self._table.name, "Key": key}} for key in keys])

    def _put(self, key: Key, values: Item, ttl: int | None = None) -> Item:
        return {"TableName": self._table.name, "Item": _item(key, values, ttl)}

    def _write_together(self, actions: list[Item]) -> bool:
        """Return False, and change nothing, when a condition does not hold."""
        with translated_errors():
            try:
                self._table.meta.client.transact_write_items(TransactItems=actions)
            except ClientError as error:
                reasons = {reason["Code"] for reason in error.response.get("CancellationReasons", [])}
                if "ConditionalCheckFailed" in reasons:
                    return False
                if reasons:  # another write to the same items, or throttling
                    raise TransientError(str(error)) from error
                raise
        return True

    def delete(self, key: Key) -> None:
        """Remove an item, if it is there."""
        with translated_errors():
            self._table.delete_item(Key=key)

    def delete_all(self, keys: list[Key]) -> None:
        """Remove many items, those that are there."""
        with translated_errors(), self._table.batch_writer() as batch:
            for key in keys:
                batch.delete_item(Key=key)

    def update(
        self,
        key: Key,
        values: Item,
        condition: ConditionBase | None = None,
        *,
        add: dict[str, set[str]] | None = None,
        remove: dict[str, set[str]] | None = None,
    ) -> Item:
        """Set attributes (None leaves one alone), add to and remove from sets, and return the item as it then is.

        When `condition` does not hold nothing changes, and the item that stood in the way is returned.
        """
        values = {name: value for name, value in values.items() if value is not None}
        clauses = [
            "SET " + ", ".join(f"#{name} = :{name}" for name in values) if values else "",
            "ADD " + ", ".join(f"#{name} :{name}" for name in add) if add else "",
            "DELETE " + ", ".join(f"#{name} :{name}" for name in remove) if remove else "",
        ]
        bound = {**values, **(add or {}), **(remove or {})}
        arguments: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        try:
            with translated_errors():
                answer = self._table.update_item(
                    Key=key,
                    UpdateExpression=" ".join(clause for clause in clauses if clause),
                    ExpressionAttributeNames={f"#{name}": name for name in bound},
                    ExpressionAttributeValues={f":{name}": value for name, value in bound.items()},
                    ReturnValues="ALL_NEW",
                    **arguments,
                )
        except RequestRefusedError as error:
            if error.code != _CONDITION_FAILED:
                raise
            return self.get(key) or {}
        attributes: Item = answer["Attributes"]
        return attributes


def _item(key: Key, values: Item, ttl: int | None) -> Item:
    return {**key, **values, **({"ttl": ttl} if ttl else {})}
