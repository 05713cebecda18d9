"""Hive jobs and streaming jobs on the local EMR Serverless."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.conftest import LocalAwsUnderTest

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
BUCKET = "emr-serverless-engines"
LONG = 120.0
STREAM = """
import sys
from pyspark.sql import SparkSession
bucket = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
lines = spark.readStream.text(f"s3://{bucket}/stream/in")
query = (
    lines.writeStream.format("text")
    .option("checkpointLocation", f"s3://{bucket}/stream/checkpoint")
    .start(f"s3://{bucket}/stream/out")
)
query.awaitTermination()
"""
QUERY = """
CREATE EXTERNAL TABLE salaries (title STRING, salary INT)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '${source}';
INSERT OVERWRITE DIRECTORY '${hiveconf:target}' ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
SELECT title, MAX(salary) FROM salaries GROUP BY title ORDER BY title;
"""


@pytest.fixture(scope="module", autouse=True)
def s3(local_aws: LocalAwsUnderTest) -> Any:
    client = local_aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def reaches(local_aws: LocalAwsUnderTest, application: str, job_run: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a job run has some members (its state, its attempt)."""
    emr = local_aws.client("emr-serverless")
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        described: dict[str, Any] = emr.get_job_run(applicationId=application, jobRunId=job_run)["jobRun"]
        if wanted.items() <= described.items():
            return described
        time.sleep(0.2)  # within the API quotas
    pytest.fail(f"the job run is {described['state']}, not {wanted}: {described['stateDetails']}")


def test_hive_job_writes_its_result_when_its_query_is_a_file(local_aws: LocalAwsUnderTest, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="salaries/part.csv", Body=b"analyst,9\nengineer,100\nanalyst,80\n")
    s3.put_object(Bucket=BUCKET, Key="query.sql", Body=QUERY.encode())
    emr = local_aws.client("emr-serverless")
    application = emr.create_application(name="hive", releaseLabel="emr-7.9.0", type="HIVE")["applicationId"]
    variables = f"--hivevar source=s3://{BUCKET}/salaries --hiveconf target=s3://{BUCKET}/maxima"
    job_run = emr.start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"hive": {"query": f"s3://{BUCKET}/query.sql", "parameters": variables}},
        configurationOverrides={
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": f"s3://{BUCKET}/logs"}}
        },
    )["jobRunId"]
    reaches(local_aws, application, job_run, state="SUCCESS")
    assert content_below(s3, "maxima/") == ["analyst,80", "engineer,100"]
    logs = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"logs/applications/{application}/jobs/{job_run}/HIVE_DRIVER/")
    assert logs["KeyCount"] == 2


def test_streaming_job_goes_on_from_its_checkpoint_when_its_driver_was_killed(
    local_aws: LocalAwsUnderTest, s3: Any, eventually: Callable[..., Any]
) -> None:
    s3.put_object(Bucket=BUCKET, Key="stream.py", Body=STREAM.encode())
    s3.put_object(Bucket=BUCKET, Key="stream/in/1.txt", Body=b"first\n")
    emr = local_aws.client("emr-serverless")
    application = emr.create_application(name="stream", releaseLabel="emr-7.9.0", type="SPARK")["applicationId"]
    job_run = emr.start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        mode="STREAMING",
        jobDriver={"sparkSubmit": {"entryPoint": f"s3://{BUCKET}/stream.py", "entryPointArguments": [BUCKET]}},
    )["jobRunId"]
    eventually(lambda: content_below(s3, "stream/checkpoint/commits/0"), LONG)

    os.kill(driver_of(job_run), signal.SIGKILL)
    reaches(local_aws, application, job_run, attempt=2, state="RUNNING")
    s3.put_object(Bucket=BUCKET, Key="stream/in/2.txt", Body=b"second\n")
    eventually(lambda: "second" in content_below(s3, "stream/out/part-"), LONG)
    assert content_below(s3, "stream/out/part-") == ["first", "second"]

    emr.cancel_job_run(applicationId=application, jobRunId=job_run)
    reaches(local_aws, application, job_run, state="CANCELLED")


def content_below(s3: Any, prefix: str) -> list[str]:
    """The lines of all objects below a prefix, sorted."""
    objects = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    bodies = [s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode() for item in objects]
    return sorted(line for body in bodies for line in body.splitlines())


def driver_of(job_run: str) -> int:
    found = subprocess.run(["pgrep", "-f", f"java .*{job_run}/"], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0])
