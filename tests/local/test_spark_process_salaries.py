"""The sample job on real Spark, from and to the local S3."""

import csv
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from emrp.local.lifecycle import client_environment
from emrp.local.spark import Driver, DriverRequest, failure_details, start_driver
from emrp.sample_data import COLUMNS, write_salaries
from tests.local.conftest import LocalAwsUnderTest

SCRIPT = Path(__file__).parents[2] / "jobs" / "process_salaries.py"
Row = dict[str, str]
Process = Callable[..., Awaitable[tuple[int, Driver]]]

pytestmark = pytest.mark.spark


@pytest.fixture
def bucket(local_aws: LocalAwsUnderTest, unique: Callable[[str], str], tmp_path: Path) -> str:
    """A bucket with the script and the sample."""
    name = unique("salaries")
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.upload_file(str(SCRIPT), name, "jobs/process_salaries.py")
    write_salaries(tmp_path / "salaries.csv")
    s3.upload_file(str(tmp_path / "salaries.csv"), name, "landing/salaries/salaries.csv")
    return name


@pytest.fixture
def process(local_aws: LocalAwsUnderTest, bucket: str, tmp_path: Path) -> Process:
    """Runs the job as EMR Serverless does and returns the ended driver with its exit code."""

    async def run(number: int, key: str, *options: str) -> tuple[int, Driver]:
        arguments = [f"s3://{bucket}/{key}", f"s3://{bucket}/output", *options]
        driver = await start_driver(
            DriverRequest(
                application_id="application",
                job_run_id=str(number),
                name="salaries",
                job_driver={
                    "sparkSubmit": {
                        "entryPoint": f"s3://{bucket}/jobs/process_salaries.py",
                        "entryPointArguments": arguments,
                    }
                },
                work_dir=tmp_path / f"driver-{number}",
                environment=client_environment(local_aws.endpoint_url),
            )
        )
        return await driver.wait(), driver

    return run


def read_result(local_aws: LocalAwsUnderTest, bucket: str) -> list[Row]:
    s3 = local_aws.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="output/")["Contents"]]
    parts = [key for key in keys if key.endswith(".csv")]
    assert len(parts) == 1, keys
    text = s3.get_object(Bucket=bucket, Key=parts[0])["Body"].read().decode()
    return list(csv.DictReader(io.StringIO(text)))


def computed_without_spark(file: Path) -> list[Row]:
    salaries: dict[str, list[int]] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            salaries.setdefault(row["job_title"], []).append(int(row["salary_in_usd"]))
    return [
        {
            "job_title": title,
            "maximum_salary": str(max(found)),
            "minimum_salary": str(min(found)),
            "count": str(len(found)),
        }
        for title, found in sorted(salaries.items(), key=lambda item: (-max(item[1]), item[0]))
    ]


async def test_every_title_is_right_when_job_runs_and_replaced_when_it_runs_again(
    local_aws: LocalAwsUnderTest, bucket: str, process: Process, tmp_path: Path
) -> None:
    expected = computed_without_spark(tmp_path / "salaries.csv")
    exit_code, driver = await process(1, "landing/salaries/salaries.csv")
    assert exit_code == 0, driver.stderr.read_text()[-2000:]
    result = read_result(local_aws, bucket)
    assert result == expected
    assert all(int(row["minimum_salary"]) <= int(row["maximum_salary"]) for row in result)

    exit_code, driver = await process(2, "landing/salaries/salaries.csv", "--top", "5")
    assert exit_code == 0, driver.stderr.read_text()[-2000:]
    assert read_result(local_aws, bucket) == expected[:5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("2023,SE,FT,Data Analyst,1,USD,120x,US,0,US,M\n", 'NumberFormatException: For input string: "120x"'),
        ("2023,SE,FT\n", "[MALFORMED_CSV_RECORD] Malformed CSV record: 2023,SE,FT"),
        ("", "ValueError: There are no salaries in s3://"),
    ],
    ids=["no number", "columns missing", "no rows"],
)
async def test_failure_names_the_problem_when_csv_is_unreadable(
    local_aws: LocalAwsUnderTest, bucket: str, process: Process, content: str, reason: str
) -> None:
    body = ",".join(COLUMNS) + "\n" + content
    local_aws.client("s3").put_object(Bucket=bucket, Key="landing/salaries/bad.csv", Body=body.encode())
    exit_code, driver = await process(1, "landing/salaries/bad.csv")
    details = failure_details(exit_code, driver.stdout, driver.stderr)
    assert exit_code == 1
    assert reason in details


async def test_failure_names_the_header_when_it_is_another(
    local_aws: LocalAwsUnderTest, bucket: str, process: Process
) -> None:
    local_aws.client("s3").put_object(Bucket=bucket, Key="landing/salaries/bad.csv", Body=b"name,age\nAnn,41\n")
    exit_code, driver = await process(1, "landing/salaries/bad.csv")
    assert exit_code == 1
    assert "CSV header" in failure_details(exit_code, driver.stdout, driver.stderr)
