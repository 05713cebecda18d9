"""The table in memory and DynamoDB do the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from emr_pipelines.gateways.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.simulation.memory_table import MemoryTable

_KEYS = [{"pk": pk, "sk": sk} for pk in ("RUN#1", "RUN#2") for sk in ("RUN", "JOB#a", "JOB#b")]
_NAMES = st.sampled_from(["state", "at"])
_TEXTS = st.sampled_from(["a", "b", "c"])
_ITEMS = st.dictionaries(_NAMES, _TEXTS)
_VALUES = st.dictionaries(_NAMES, _TEXTS, min_size=1)
_SET = st.fixed_dictionaries({"seen": st.sets(_TEXTS, min_size=1)})
_CONDITIONS: st.SearchStrategy[ConditionBase] = st.one_of(
    st.builds(lambda name: Attr(name).not_exists(), _NAMES),
    st.builds(lambda name: Attr(name).exists(), _NAMES),
    st.builds(lambda name, text: Attr(name).eq(text), _NAMES, _TEXTS),
    st.builds(lambda name, text: Attr(name).lt(text), _NAMES, _TEXTS),
    st.builds(lambda name, texts: ~Attr(name).is_in(texts), _NAMES, st.lists(_TEXTS, min_size=1)),
    st.builds(lambda size: Attr("seen").not_exists() | Attr("seen").size().lt(size), st.integers(0, 3)),
    st.builds(lambda text, name: Attr("seen").contains(text) & Attr(name).exists(), _TEXTS, _NAMES),
)
_KEY = st.sampled_from(_KEYS)
_TTL = st.fixed_dictionaries({"ttl": st.just(4_000_000_000)})
_SEVERAL = st.lists(st.tuples(_KEY, _ITEMS), min_size=1, max_size=3, unique_by=lambda put: str(put[0]))
_NO_NAMES: st.SearchStrategy[dict[str, Any]] = st.just({})
_OPERATIONS = st.one_of(
    st.tuples(st.just("get"), st.tuples(_KEY), _NO_NAMES),
    st.tuples(st.just("put"), st.tuples(_KEY, _ITEMS, st.none() | _CONDITIONS), _NO_NAMES | _TTL),
    st.tuples(
        st.just("put_all"),
        st.tuples(st.lists(st.tuples(_KEY, _ITEMS), max_size=3, unique_by=lambda put: str(put[0]))),
        _TTL,
    ),
    st.tuples(st.just("put_new"), st.tuples(_SEVERAL), _TTL),
    st.tuples(st.just("put_together"), st.tuples(_SEVERAL), _NO_NAMES),
    st.tuples(
        st.just("delete_together"),
        st.tuples(st.lists(_KEY, min_size=1, max_size=3, unique_by=str)),
        _NO_NAMES,
    ),
    st.tuples(
        st.just("update"),
        st.tuples(_KEY, _VALUES, st.none() | _CONDITIONS),
        st.fixed_dictionaries({}, optional={"add": st.none() | _SET}) | st.fixed_dictionaries({"remove": _SET}),
    ),
    st.tuples(
        st.just("update"),
        st.tuples(_KEY, st.just({}), st.none() | _CONDITIONS),
        st.fixed_dictionaries({"add": _SET}) | st.fixed_dictionaries({"remove": _SET}),
    ),
    st.tuples(st.just("delete"), st.tuples(_KEY), _NO_NAMES),
    st.tuples(st.just("get_many"), st.tuples(st.lists(_KEY, max_size=4, unique_by=str)), _NO_NAMES),
    st.tuples(st.just("query"), st.tuples(st.just(Key("pk").eq("RUN#1") & Key("sk").begins_with("JOB#"))), _NO_NAMES),
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(_OPERATIONS, max_size=15))
@pytest.mark.usefixtures("record")
def test_memory_table_answers_as_dynamodb_when_asked_anything(
    operations: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
) -> None:
    real, simulated = Table("runs"), MemoryTable()
    real.delete_all(_KEYS)
    for name, arguments, named in operations:
        expected = getattr(real, name)(*arguments, **named)
        assert _comparable(getattr(simulated, name)(*arguments, **named)) == _comparable(expected)
    assert _comparable(simulated.get_many(_KEYS)) == _comparable(real.get_many(_KEYS))


def _comparable(answer: Any) -> Any:
    """Leave out the order that is not promised."""
    if isinstance(answer, list):
        return sorted((_comparable(item) for item in answer), key=lambda item: (item["pk"], item["sk"]))
    return answer


def test_item_is_gone_when_its_time_has_come() -> None:
    time = datetime.fromtimestamp(1000, UTC)
    table = MemoryTable(lambda: time)
    table.put(_KEYS[0], {"state": "a"}, ttl=2000)
    table.put(_KEYS[1], {"state": "a"})

    time += timedelta(seconds=1001)

    assert table.get_many(_KEYS) == [{**_KEYS[1], "state": "a"}]
    assert table.query(Key("pk").eq("RUN#1") & Key("sk").begins_with("RUN")) == []
    assert table.update(_KEYS[0], {"state": "b"}, Attr("pk").not_exists()) == {**_KEYS[0], "state": "b"}
