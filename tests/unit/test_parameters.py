"""Parameters are what a file declares: typed, with a default or required; what cannot be read is said."""

from typing import Any

import pytest
from emr_pipelines.errors import Problem
from emr_pipelines.parameters import Parameter, resolve
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("string", "a", "a"),
        ("string", 2026, "2026"),
        ("integer", "5", 5),
        ("integer", "-5", -5),
        ("integer", 5.0, 5),
        ("number", "1.5", 1.5),
        ("number", "1e3", 1000.0),
        ("number", "7", 7),
        ("number", 7, 7),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("date", "2026-11-20", "2026-11-20"),
        ("list", '["a", 1]', ["a", 1]),
        ("list", [], []),
        ("object", '{"a": 1}', {"a": 1}),
    ],
)
def test_value_is_converted_when_there_is_one_way_to_read_it(type_: str, value: object, expected: object) -> None:
    read = Parameter(type_, required=True).read(value)

    assert (read, type(read)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("string", True, "must be text, not true"),
        ("string", 1.5, "must be text, not 1.5"),
        ("string", None, "must be text, not null"),
        ("integer", "5.0", 'must be a whole number, not "5.0"'),
        ("integer", "five", 'must be a whole number, not "five"'),
        ("integer", "", 'must be a whole number, not ""'),
        ("integer", True, "must be a whole number, not true"),
        ("integer", 5.5, "must be a whole number, not 5.5"),
        ("integer", "9" * 5000, "must be a whole number"),
        ("number", "nan", 'must be a number, not "nan"'),
        ("number", "1e999", "must be a number"),
        ("number", True, "must be a number, not true"),
        ("boolean", "yes", 'must be true or false, not "yes"'),
        ("boolean", 1, "must be true or false, not 1"),
        ("date", "2026-02-30", 'must be a date like 2026-11-20, not "2026-02-30"'),
        ("date", "20261120", "must be a date like 2026-11-20"),
        ("date", "2026-11-20T00:00:00Z", "must be a date like 2026-11-20"),
        ("date", "٢٠٢٦-11-20", "must be a date like 2026-11-20"),
        ("list", "a,b", 'must be a list, as in JSON ["a", "b"], not "a,b"'),
        ("list", {"a": 1}, "must be a list"),
        ("list", "[" * 100_000, "must be a list"),
        ("object", "[1]", 'must be a mapping, as in JSON {"a": 1}'),
    ],
)
def test_value_is_refused_when_it_could_mean_anything(type_: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=r"must be") as caught:
        Parameter(type_, required=True).read(value)

    assert expected in str(caught.value)


@given(type_=st.sampled_from(["string", "integer", "number", "boolean", "date", "list", "object"]), value=JSON)
def test_value_reads_the_same_again_when_it_has_been_read_once(type_: str, value: object) -> None:
    parameter = Parameter(type_, required=True)
    try:
        read = parameter.read(value)
    except ValueError:
        return
    assert parameter.read(read) == read


DECLARED: dict[str, Parameter] = {
    "top": Parameter.of(10),
    "open": Parameter.of(None),
    "level": Parameter.of({"type": "string", "allowedValues": ["low", "high"], "default": "low"}),
    "year": Parameter.of({"type": "integer", "allowedValues": [2025, 2026]}),
}


def resolved(**given_: Any) -> tuple[dict[str, Any], list[Problem]]:
    """Resolve what a run is given."""
    problems: list[Problem] = []
    return resolve(DECLARED, given_, problems), problems


def test_values_are_complete_when_only_what_is_required_is_given() -> None:
    assert resolved(year="2026") == ({"top": 10, "open": None, "level": "low", "year": 2026}, [])


def test_value_may_be_anything_when_the_default_is_null() -> None:
    values, problems = resolved(year=2025, open={"a": [1]})

    assert (values["open"], problems) == ({"a": [1]}, [])


def test_problems_are_all_told_when_a_run_is_given_nonsense() -> None:
    _, problems = resolved(top="many", level="middle", topp=1)

    assert problems == [
        Problem("parameters.topp", 'is not a parameter of this pipeline; did you mean "top"?'),
        Problem("parameters.top", 'must be a whole number, not "many"'),
        Problem("parameters.level", 'must be one of "low", "high", not "middle"'),
        Problem("parameters.year", "is required: give it a whole number"),
    ]


def test_parameters_are_listed_when_an_unknown_one_is_like_none_of_them() -> None:
    _, problems = resolved(year=2026, xyz=1)

    assert problems == [
        Problem("parameters.xyz", "is not a parameter of this pipeline; it has: top, open, level, year")
    ]
