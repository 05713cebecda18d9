"""Whatever stands in a pipeline file: it is a definition that can be planned, or InvalidPipelineError says why not."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from emr_pipelines.errors import InvalidPipelineError
from emr_pipelines.pipeline import check_definition, check_pipeline
from emr_pipelines.plan import plan
from emr_pipelines.run import Run
from emr_pipelines.yaml_document import parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline_files import STACK
from tests.unit.test_pipeline import EVERYTHING

DATA: dict[str, Any] = parse_yaml(EVERYTHING).data
TEMPLATES = [
    "{{ item }}",
    "{{ run.id }}",
    "{{ jobs['first'].output }}",
    "{{ previous.x }}",
    "{{ x",
    "{% if %}",
    "{{ 1/0 }}",
]
NAMES = ["first", "loop", "preprocess", "model", "type", "dependsOn", "forEach", "jobs", "a-b"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5),
    st.sampled_from([*TEMPLATES, *NAMES]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything in a value."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


PLACES = list(places(DATA))


@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
@settings(max_examples=150)
def test_definition_is_planned_or_refused_when_anything_in_it_is_changed(changes: list[tuple[Any, Any]]) -> None:
    data = copy.deepcopy(DATA)
    for path, value in changes:
        inside: Any = data
        for part in path[:-1]:
            if not isinstance(inside, (dict, list)) or (isinstance(inside, list) and part not in range(len(inside))):
                break
            inside = inside.get(part) if isinstance(inside, dict) else inside[part]
        if isinstance(inside, dict) or (isinstance(inside, list) and path[-1] in range(len(inside))):
            inside[path[-1]] = value
    try:
        definition = check_definition(data)
        plan(Run(run_id="r", pipeline="x", execution_arn="a", started_at="2026-11-20T14:00:00Z"), definition, STACK)
    except InvalidPipelineError:
        return
    assert json.loads(json.dumps(definition.data)) == definition.data


@given(text=st.text(alphabet="a:-[]{}\"'&*!|>#%@? \n\t1.,{}", max_size=60))
@settings(max_examples=300)
def test_text_is_refused_when_it_is_no_pipeline(text: str) -> None:
    with pytest.raises(InvalidPipelineError):
        check_pipeline("file", None, text)
