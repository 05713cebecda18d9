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

ON_CLUSTER = """
name: small
parameters: {nodes: 2, cluster: j-1}
cluster:
  ReleaseLabel: emr-7.9.0
  Tags: [{Key: team, Value: data}]
  Instances: {InstanceCount: "{{ parameters.nodes }}", Ec2SubnetIds: []}
jobs:
  - name: first
    timeoutMinutes: 5
    step: {HadoopJarStep: {Jar: command-runner.jar, Args: [spark-submit, "{{ job.outputUri }}"]}}
  - {name: type, dependsOn: [first], resize: {instanceFleet: CORE, TargetSpotCapacity: "{{ jobs.first.output.n }}"}}
  - name: loop
    forEach: {mode: [1, 2]}
    jobs: [{name: model, step: {HadoopJarStep: {Jar: j, Args: ["{{ item.mode }}"]}}}]
"""
FROM_TEMPLATE = """
name: small
cluster: {template: "s3://{{ stack.bucket }}/c.yaml", parameters: {Nodes: [1, "{{ run.id }}"]}}
jobs: [{name: first, resize: {instanceGroup: CORE, InstanceCount: 2}}]
"""
FILES: list[dict[str, Any]] = [parse_yaml(text).data for text in (EVERYTHING, ON_CLUSTER, FROM_TEMPLATE)]
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


@pytest.mark.parametrize("file", FILES, ids=["application", "cluster", "template"])
@given(data=st.data())
@settings(max_examples=150)
def test_definition_is_planned_or_refused_when_anything_in_it_is_changed(
    file: dict[str, Any], data: st.DataObject
) -> None:
    places_and_values = st.tuples(st.sampled_from(list(places(file))), VALUES)
    changed = _changed(file, data.draw(st.lists(places_and_values, min_size=1, max_size=3)))
    try:
        definition = check_definition(changed)
        plan(Run(run_id="r", pipeline="x", execution_arn="a", started_at="2026-11-20T14:00:00Z"), definition, STACK)
    except InvalidPipelineError:
        return
    assert json.loads(json.dumps(definition.data)) == definition.data


def _changed(file: dict[str, Any], changes: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a file with other values at some places."""
    data = copy.deepcopy(file)
    for path, value in changes:
        inside: Any = data
        for part in path[:-1]:
            if not isinstance(inside, (dict, list)) or (isinstance(inside, list) and part not in range(len(inside))):
                break
            inside = inside.get(part) if isinstance(inside, dict) else inside[part]
        if isinstance(inside, dict) or (isinstance(inside, list) and path[-1] in range(len(inside))):
            inside[path[-1]] = value
    return data


@given(text=st.text(alphabet="a:-[]{}\"'&*!|>#%@? \n\t1.,{}", max_size=60))
@settings(max_examples=300)
def test_text_is_refused_when_it_is_no_pipeline(text: str) -> None:
    with pytest.raises(InvalidPipelineError):
        check_pipeline("file", None, text)
