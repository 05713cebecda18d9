"""The generator of the sample input."""

import csv
from pathlib import Path

from emrp.sample_data import COLUMNS, write_salaries


def test_same_rows_come_out_when_seed_is_the_same(tmp_path: Path) -> None:
    write_salaries(tmp_path / "one.csv", rows=50)
    write_salaries(tmp_path / "two.csv", rows=50)
    write_salaries(tmp_path / "other.csv", rows=50, seed=1)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "one.csv").read_bytes() != (tmp_path / "other.csv").read_bytes()


def test_text_comparison_would_be_wrong_when_sample_is_written(tmp_path: Path) -> None:
    """The sample must show the mistake that the well-known version of the job makes."""
    write_salaries(tmp_path / "salaries.csv")
    with (tmp_path / "salaries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3000
    assert tuple(rows[0]) == COLUMNS
    engineers = [row["salary_in_usd"] for row in rows if row["job_title"] == "Data Engineer"]
    assert int(max(engineers)) < max(map(int, engineers))
    assert int(min(engineers)) > min(map(int, engineers))
