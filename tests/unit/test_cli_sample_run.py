import gzip
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from emr_pipelines.run import Job

from emrp import sample_run
from emrp.errors import RunFailedError
from emrp.sample_run import Upload, check_result, find_run, read_result, save_logs, upload_sample
from tests.unit.conftest import deployed_stack

STACK = deployed_stack()
UPLOAD = Upload("bucket", "landing/salaries/salaries.csv", "v1")
HEADER = ["job_title", "maximum_salary", "minimum_salary", "count"]


class FakeStates:
    """Step Functions whose executions appear one more at each look."""

    def __init__(self, **inputs: dict[str, Any]) -> None:
        self.inputs = inputs
        self.looks = 0

    def list_executions(self, stateMachineArn: str, maxResults: int) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.looks += 1
        names = list(self.inputs)[: self.looks]
        return {"executions": [{"name": name, "executionArn": name} for name in reversed(names)]}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"input": json.dumps(self.inputs[executionArn])}


def upload_trigger(key: str = UPLOAD.key, version: str = "v1") -> dict[str, Any]:
    return {"pipeline": "salaries", "trigger": {"uri": f"s3://bucket/{key}", "versionId": version}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_run, "_SECONDS_BETWEEN_LOOKS", 0)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "salaries.csv"
    file.write_text("job_title,salary_in_usd\nData Engineer,90000\nData Engineer,100000\nArchitect,200000\n")
    return file


def test_run_is_found_when_other_runs_started_before(monkeypatch: pytest.MonkeyPatch) -> None:
    states = FakeStates(
        manual={"pipeline": "salaries", "parameters": {}},
        older=upload_trigger(version="v0"),
        other=upload_trigger(key="landing/salaries/other.csv"),
        wanted=upload_trigger(),
    )
    monkeypatch.setattr(boto3, "client", lambda _: states)

    assert find_run(STACK, UPLOAD, within_seconds=10) == "wanted"


def test_run_is_missed_when_the_upload_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "client", lambda _: FakeStates())

    with pytest.raises(RunFailedError, match="started no run within 0 seconds: look at the log"):
        find_run(STACK, UPLOAD, within_seconds=0.01)


def test_upload_has_a_version_when_the_bucket_keeps_versions(s3: Any, sample: Path) -> None:
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})

    upload = upload_sample(STACK, sample)

    stored = s3.get_object(Bucket="bucket", Key=sample_run.KEY)
    assert (stored["Body"].read(), stored["VersionId"]) == (sample.read_bytes(), upload.version_id)


def test_result_is_one_table_when_spark_wrote_several_files(s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="output/run/part-0.csv", Body="a,b\n1,2\n")
    s3.put_object(Bucket="bucket", Key="output/run/part-1.csv", Body="a,b\n3,4\n")
    s3.put_object(Bucket="bucket", Key="output/run/_SUCCESS", Body="")
    s3.put_object(Bucket="bucket", Key="output/run-of-another/part-0.csv", Body="a,b\n5,6\n")

    assert read_result("s3://bucket/output/run") == [["a", "b"], ["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("content", [None, "a,b\n", ""])
def test_result_is_refused_when_it_has_no_rows(content: str | None, s3: Any) -> None:
    if content is not None:
        s3.put_object(Bucket="bucket", Key="output/run/part-0.csv", Body=content)

    with pytest.raises(RunFailedError, match="there is no result in s3://bucket/output/run"):
        read_result("s3://bucket/output/run")


def test_result_passes_when_it_agrees_with_the_sample(sample: Path) -> None:
    rows = [["Architect", "200000", "200000", "1"], ["Data Engineer", "100000.0", "90000.0", "2"]]
    check_result([HEADER, *rows], sample)


@pytest.mark.parametrize(
    "rows",
    [
        [HEADER, ["Data Engineer", "90000", "100000", "2"]],  # compared as text
        [HEADER, ["Data Engineer", "100000", "90000", "3"]],
        [HEADER, ["Nobody", "1", "1", "1"]],
        [["job_title"], ["Data Engineer"]],
    ],
)
def test_result_is_refused_when_it_disagrees_with_the_sample(rows: list[list[str]], sample: Path) -> None:
    with pytest.raises(RunFailedError):
        check_result(rows, sample)


def test_logs_are_unpacked_when_they_are_saved(s3: Any, tmp_path: Path) -> None:
    job = Job(
        run_id="run",
        pipeline="salaries",
        name="process",
        position=0,
        request={},
        application_id="a",
        job_run_id="j",
        log_uri="s3://bucket/logs/",
    )
    key = "logs/applications/a/jobs/j/SPARK_DRIVER/stdout.gz"
    s3.put_object(Bucket="bucket", Key=key, Body=gzip.compress(b"hello"))

    (file,) = save_logs([job], tmp_path)

    assert (file, file.read_text()) == (tmp_path / "process" / "stdout", "hello")
