"""The example programs, as far as they need no Spark."""

import ast
import json
import warnings
from pathlib import Path
from types import ModuleType

import boto3
import pytest

from jobs import sensor_preprocess, wordcount

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pyspark.ml imports distutils
    from jobs import sensor_model

PROGRAMS = sorted((Path(__file__).parents[2] / "jobs").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_program_is_understood_when_python_is_that_of_emr_7(program: Path) -> None:
    ast.parse(program.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("program", [wordcount, sensor_preprocess, sensor_model])
def test_document_is_a_json_object_at_its_address_when_a_program_leaves_it(aws: None, program: ModuleType) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bucket")

    program.leave_document("s3://bucket/output/run/_outputs/job.1.json", {"words": 3})

    left = s3.get_object(Bucket="bucket", Key="output/run/_outputs/job.1.json")
    assert json.loads(left["Body"].read()) == {"words": 3}
    assert left["ContentType"] == "application/json"


@pytest.mark.parametrize("parts", ["", "1,,2", "1,2,1"])
def test_split_is_refused_when_a_part_has_no_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parts: str
) -> None:
    monkeypatch.setattr("sys.argv", ["wordcount.py", "split", "s3://b/in", "s3://b/out", "--parts", parts])

    with pytest.raises(SystemExit):
        wordcount.parse_arguments()

    assert "invalid names value" in capsys.readouterr().err


def test_scoring_is_refused_when_there_is_no_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sensor_model.py", "SCORING", "s3://b/in", "s3://b/out", "--model", ""])

    with pytest.raises(SystemExit):
        sensor_model.parse_arguments()

    assert "SCORING needs a --model" in capsys.readouterr().err
