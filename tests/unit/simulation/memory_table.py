"""The table in memory: moto's is true to DynamoDB, but too slow for thousands of runs.

`test_memory_table.py` compares the two.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt
from typing import Any

from boto3.dynamodb.conditions import ConditionBase, Size
from emr_pipelines.gateways.table import Item, Key, Table

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


_CONNECTIVES: dict[str, Callable[[Iterable[bool]], bool]] = {
    "AND": all,
    "OR": any,
    "NOT": lambda conditions: not all(conditions),
}


class MemoryTable(Table):
    """Items by `pk` and `sk`; by its `clock`, if it has one, they expire at once and not some time later."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.fromtimestamp(0, UTC)) -> None:
        self._all: dict[tuple[str, str], Item] = {}
        self._clock = clock

    @property
    def _items(self) -> dict[tuple[str, str], Item]:
        """The items that have not expired."""
        now = self._clock().timestamp()
        for primary in [primary for primary, item in self._all.items() if item.get("ttl", now) < now]:
            del self._all[primary]
        return self._all

    def get(self, key: Key) -> Item | None:
        return deepcopy(self._items.get(_primary(key)))

    def get_many(self, keys: list[Key]) -> list[Item]:
        return [item for key in keys if (item := self.get(key))]

    def query(self, condition: ConditionBase, **arguments: Any) -> list[Item]:
        index = arguments.get("IndexName")
        assert arguments.keys() <= {"IndexName", "ConsistentRead", "ScanIndexForward"}, "not simulated"
        order = "started_at" if index else "sk"
        found = [item for item in self._items.values() if order in item and _holds(condition, item)]
        found.sort(key=lambda item: item[order], reverse=not arguments.get("ScanIndexForward", True))
        return deepcopy(found)

    def put(self, key: Key, values: Item, condition: ConditionBase | None = None, *, ttl: int | None = None) -> bool:
        if condition and not _holds(condition, self._items.get(_primary(key), {})):
            return False
        self._items[_primary(key)] = deepcopy({**key, **values, **({"ttl": ttl} if ttl else {})})
        return True

    def put_all(self, items: list[tuple[Key, Item]], *, ttl: int | None = None) -> None:
        for key, values in items:
            self.put(key, values, ttl=ttl)

    def put_new(self, items: list[tuple[Key, Item]], *, ttl: int) -> bool:
        if any(_primary(key) in self._items for key, _ in items):
            return False
        self.put_all(items, ttl=ttl)
        return True

    def put_together(self, items: list[tuple[Key, Item]]) -> None:
        self.put_all(items)

    def delete_together(self, keys: list[Key]) -> None:
        self.delete_all(keys)

    def delete_all(self, keys: list[Key]) -> None:
        for key in keys:
            self.delete(key)

    def delete(self, key: Key) -> None:
        self._items.pop(_primary(key), None)

    def update(
        self,
        key: Key,
        values: Item,
        condition: ConditionBase | None = None,
        *,
        add: dict[str, set[str]] | None = None,
        remove: dict[str, set[str]] | None = None,
    ) -> Item:
        old = self._items.get(_primary(key), {})
        if condition and not _holds(condition, old):
            return deepcopy(old)
        new = {**key, **old, **{name: value for name, value in values.items() if value is not None}}
        for name, more in (add or {}).items():
            new[name] = new.get(name, set()) | more
        for name, less in (remove or {}).items():
            new[name] = new.get(name, set()) - less
        # An empty set does not exist in DynamoDB.
        self._items[_primary(key)] = deepcopy({name: value for name, value in new.items() if value != set()})
        return deepcopy(self._items[_primary(key)])


def _primary(key: Key) -> tuple[str, str]:
    return key["pk"], key["sk"]


def _holds(condition: ConditionBase, item: Item) -> bool:
    """Tell whether a condition of boto3 holds for an item."""
    expression = condition.get_expression()
    operator, values = expression["operator"], expression["values"]
    if operator in _CONNECTIVES:
        return _CONNECTIVES[operator](_holds(value, item) for value in values)
    attribute, *others = values
    if operator in {"attribute_exists", "attribute_not_exists"}:
        return (attribute.name in item) == (operator == "attribute_exists")
    value = item.get(attribute.name)
    return value is not None and _compares(operator, len(value) if isinstance(attribute, Size) else value, others)


def _compares(operator: str, value: Any, others: list[Any]) -> bool:
    if operator in _COMPARISONS:
        return _COMPARISONS[operator](value, others[0])
    if operator == "begins_with":
        return bool(value.startswith(others[0]))
    if operator == "IN":
        return value in others[0]
    if operator == "BETWEEN":
        return bool(others[0] <= value <= others[1])
    if operator == "contains":
        return others[0] in value
    raise NotImplementedError(operator)
