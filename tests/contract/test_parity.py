"""Every row of the parity pages, and of the page of faults, names its test, and the test is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TEST = {"Metrics", "RedriveExecution", "Runtime", "Start of an execution"}  # not there, or nothing to see


def rows() -> Iterator[tuple[str, str]]:
    """Feature and test cell of every row."""
    for page in [*sorted((ROOT / "docs").glob("parity*.md")), ROOT / "docs" / "faults.md"]:
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if line.startswith("| ") and cells[0] not in {"feature", "client", "fault", "---"}:
                yield cells[0], cells[-1]


@pytest.mark.parametrize(("feature", "cell"), list(rows()))
def test_row_names_tests_that_exist(feature: str, cell: str) -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", cell)

    assert bool(named) != (feature in WITHOUT_TEST)
    for file, test in named:
        source = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in source, f"{file} has no {test}"
