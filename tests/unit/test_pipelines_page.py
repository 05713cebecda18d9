"""README and docs/pipelines.md: every pipeline in them is good, every filter in it gives what the page says."""

import re
from typing import Any

import pytest
from emr_pipelines.pipeline import check_definition
from emr_pipelines.template_filters import FILTERS
from emr_pipelines.template_language import evaluate
from emr_pipelines.yaml_document import parse_yaml

from tests.unit.conftest import ROOT
from tests.unit.pipeline_files import job

PAGE = (ROOT / "docs" / "pipelines.md").read_text()
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README + PAGE, re.DOTALL)
EXAMPLES = re.findall(r"^\| `[^|]*` \| `(.*)` \| `(.*)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_pipeline_is_good_when_it_stands_on_the_page(block: str) -> None:
    document = parse_yaml(block)
    assert document.problems == ()
    around: dict[str, Any] = {"name": "example", "jobs": [job("only")]}
    if "cluster" not in document.data:
        around["application"] = {"releaseLabel": "emr-7.9.0", "type": "SPARK"}

    assert check_definition({**around, **document.data}).data["jobs"]


def test_page_has_examples_when_it_is_read() -> None:
    assert (len(BLOCKS), len(EXAMPLES)) == (8, 5)


@pytest.mark.parametrize(("expression", "expected"), EXAMPLES)
def test_filter_gives_what_the_page_says_when_it_is_used(expression: str, expected: str) -> None:
    assert evaluate("{{ " + expression.replace("\\|", "|") + " }}", {}) == expected


def test_page_names_every_filter_when_it_lists_them() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)(?:\([^`]*\))?`", PAGE[PAGE.index("## Templates") :]))

    assert set(FILTERS) <= named
