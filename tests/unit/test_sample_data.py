"""The generators of the sample input."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from emrp.sample_data import COLUMNS, SENSOR_COLUMNS, write_salaries, write_sensor_readings, write_text


@pytest.mark.parametrize("write", [write_salaries, write_sensor_readings, write_text])
def test_same_file_comes_out_when_seed_is_the_same(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "one.csv")
    write(tmp_path / "two.csv")
    write(tmp_path / "other.csv", seed=1)
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


def test_some_readings_are_unusable_when_sensor_readings_are_written(tmp_path: Path) -> None:
    write_sensor_readings(tmp_path / "readings.csv", rows=1000, unusable=0.1)
    with (tmp_path / "readings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == SENSOR_COLUMNS
    unusable = [row for row in rows if {"", "n/a", "-999.0"} & set(row.values())]
    assert 50 < len(unusable) < 150
    assert len({(row["device"], row["recorded_at"]) for row in rows}) == 1000


def test_counting_bytes_or_capital_letters_would_be_wrong_when_text_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt")
    text = (tmp_path / "text.txt").read_text(encoding="utf-8")
    assert not text.isascii()
    assert text.lower() != text
    assert "\n\n" in text
