"""The local EMR Serverless in the running local AWS, with real Spark drivers."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import urllib3

from tests.local.conftest import LocalAwsUnderTest

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
COUNT = """
import os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(int(sys.argv[2])).coalesce(1).write.mode("overwrite").csv(sys.argv[1])
print("counted in", os.environ["AWS_REGION"])
"""
FAIL = "raise ValueError('the input is missing')\n"
WAIT = """
import time
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate().range(3).count()
time.sleep(600)
"""
PARENT = """
import os, subprocess
subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(os.getppid())], check=True)
"""
SLEEP = "import time\nprint('waiting')\ntime.sleep(600)\n"
LONG = 60.0

Submit = Callable[..., str]
Reaches = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAwsUnderTest) -> str:
    """A bucket with the scripts of these tests."""
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="emr-serverless-tests")
    for name, script in {
        "count.py": COUNT,
        "fail.py": FAIL,
        "sleep.py": SLEEP,
        "wait.py": WAIT,
        "parent.py": PARENT,
    }.items():
        s3.put_object(Bucket="emr-serverless-tests", Key=f"jobs/{name}", Body=script)
    return "emr-serverless-tests"


@pytest.fixture(scope="module")
def application(local_aws: LocalAwsUnderTest) -> str:
    emr = local_aws.client("emr-serverless")
    created = emr.create_application(name="tests", releaseLabel="emr-7.9.0", type="SPARK")
    application_id: str = created["applicationId"]
    return application_id


@pytest.fixture
def submit(local_aws: LocalAwsUnderTest, bucket: str, application: str) -> Submit:
    """Start a job run of a script and return its id."""

    def start(script: str, *arguments: str) -> str:
        answer = local_aws.client("emr-serverless").start_job_run(
            applicationId=application,
            executionRoleArn=ROLE,
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": f"s3://{bucket}/jobs/{script}",
                    "entryPointArguments": list(arguments),
                }
            },
            configurationOverrides={
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": f"s3://{bucket}/logs"}}
            },
        )
        job_run_id: str = answer["jobRunId"]
        return job_run_id

    return start


@pytest.fixture
def reaches(local_aws: LocalAwsUnderTest, application: str) -> Reaches:
    """Wait until a job run is in a state, and return its description."""

    def wait(job_run: str, state: str) -> dict[str, Any]:
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            answer = local_aws.client("emr-serverless").get_job_run(applicationId=application, jobRunId=job_run)
            described: dict[str, Any] = answer["jobRun"]
            if described["state"] == state:
                return described
            time.sleep(0.2)  # the API quota is ten calls per second
        pytest.fail(f"the job run is {described['state']} instead of {state}: {described['stateDetails']}")

    return wait


def log_of(local_aws: LocalAwsUnderTest, bucket: str, application: str, job_run: str, name: str) -> str:
    key = f"logs/applications/{application}/jobs/{job_run}/SPARK_DRIVER/{name}.gz"
    return gzip.decompress(local_aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()).decode()


def test_job_run_writes_its_result_and_logs_when_its_script_is_right(
    local_aws: LocalAwsUnderTest, bucket: str, application: str, submit: Submit, reaches: Reaches
) -> None:
    job_run = submit("count.py", f"s3://{bucket}/result", "3")
    described = reaches(job_run, "SUCCESS")
    assert described["totalExecutionDurationSeconds"] > 0
    s3 = local_aws.client("s3")
    parts = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="result/part-")["Contents"]]
    assert s3.get_object(Bucket=bucket, Key=parts[0])["Body"].read() == b"0\n1\n2\n"
    assert "counted in us-east-1" in log_of(local_aws, bucket, application, job_run, "stdout")


def test_state_changes_reach_a_queue_when_a_rule_matches_them(
    local_aws: LocalAwsUnderTest,
    application: str,
    submit: Submit,
    reaches: Reaches,
    eventually: Callable[..., Any],
) -> None:
    sqs, rules = local_aws.client("sqs"), local_aws.client("events")
    queue = sqs.create_queue(QueueName="emr-serverless-events")["QueueUrl"]
    pattern = {
        "source": ["aws.emr-serverless"],
        "detail-type": ["EMR Serverless Job Run State Change"],
        "detail": {"applicationId": [application]},
    }
    rules.put_rule(Name="emr-serverless", EventPattern=json.dumps(pattern))
    arn = "arn:aws:sqs:us-east-1:000000000000:emr-serverless-events"
    rules.put_targets(Rule="emr-serverless", Targets=[{"Id": "queue", "Arn": arn}])
    job_run = submit("missing.py")
    details = reaches(job_run, "FAILED")["stateDetails"]
    assert "ExitCode: 1" in details
    assert "jobs/missing.py" in details

    seen: list[str] = []

    def ended() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            detail = json.loads(message["Body"])["detail"]
            if detail.get("jobRunId") == job_run:
                seen.append(detail["state"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return "FAILED" in seen

    eventually(ended)
    assert sorted(seen) == sorted(["SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "FAILED"])


def test_job_run_fails_with_the_error_line_when_its_script_raises(submit: Submit, reaches: Reaches) -> None:
    described = reaches(submit("fail.py"), "FAILED")
    assert described["stateDetails"] == (
        "Job failed, please check complete logs in configured logging destination. ExitCode: 1. "
        "Last few exceptions: ValueError: the input is missing"
    )


def test_logs_are_in_cloudwatch_when_the_job_run_asks_for_it(
    local_aws: LocalAwsUnderTest, bucket: str, application: str, reaches: Reaches
) -> None:
    started = local_aws.client("emr-serverless").start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": {"entryPoint": f"s3://{bucket}/jobs/fail.py"}},
        configurationOverrides={
            "monitoringConfiguration": {"cloudWatchLoggingConfiguration": {"enabled": True, "logGroupName": "spark"}}
        },
    )
    job_run = started["jobRunId"]
    reaches(job_run, "FAILED")
    stream = f"/applications/{application}/jobs/{job_run}/SPARK_DRIVER/stdout"
    events = local_aws.client("logs").get_log_events(logGroupName="spark", logStreamName=stream)["events"]
    assert "ValueError: the input is missing" in [event["message"] for event in events]


def test_dashboard_shows_the_job_run_when_it_runs_and_afterwards(
    local_aws: LocalAwsUnderTest, application: str, submit: Submit, reaches: Reaches, eventually: Callable[..., Any]
) -> None:
    emr = local_aws.client("emr-serverless")
    job_run = submit("wait.py")
    reaches(job_run, "RUNNING")
    names = {"applicationId": application, "jobRunId": job_run}
    live = emr.get_dashboard_for_job_run(**names)["url"]
    eventually(lambda: shows(f"{live}/environment/", job_run), LONG)
    emr.cancel_job_run(**names)
    reaches(job_run, "CANCELLED")
    ended = emr.get_dashboard_for_job_run(**names)["url"]
    assert ended != live
    assert shows(ended, "Spark Jobs")


def shows(url: str, text: str) -> bool:
    """Whether there is a web page with a text."""
    try:
        return text in urllib3.request("GET", url, timeout=10, retries=2).data.decode()
    except urllib3.exceptions.HTTPError:
        return False


def test_job_run_fails_when_its_driver_is_killed(
    submit: Submit, reaches: Reaches, eventually: Callable[..., Any]
) -> None:
    job_run = submit("sleep.py")
    reaches(job_run, "RUNNING")
    os.kill(eventually(lambda: driver_of(job_run)), signal.SIGKILL)
    assert "ExitCode: 137" in reaches(job_run, "FAILED")["stateDetails"]


def test_no_process_is_left_when_a_running_job_is_cancelled(
    local_aws: LocalAwsUnderTest,
    application: str,
    submit: Submit,
    reaches: Reaches,
    eventually: Callable[..., Any],
) -> None:
    job_run = submit("sleep.py")
    reaches(job_run, "RUNNING")
    group = os.getpgid(eventually(lambda: driver_of(job_run)))
    local_aws.client("emr-serverless").cancel_job_run(applicationId=application, jobRunId=job_run)
    reaches(job_run, "CANCELLED")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        pytest.fail("the driver's process group is still there")


def driver_of(job_run: str) -> int | None:
    """The process id of the driver that works in a job run's folder."""
    found = processes(f"java .*emr_serverless/{job_run}/")
    return int(found[0]) if found else None


def test_job_run_names_its_creator_when_an_iam_user_submitted_it(
    local_aws: LocalAwsUnderTest, application: str
) -> None:
    iam = local_aws.client("iam")
    user = iam.create_user(UserName="engineer")["User"]["Arn"]
    key = iam.create_access_key(UserName="engineer")["AccessKey"]
    session: Any = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    emr = session.client("emr-serverless", endpoint_url=local_aws.endpoint_url)
    submit = {"sparkSubmit": {"entryPoint": "s3://none/none.py"}}
    job_run = emr.start_job_run(applicationId=application, executionRoleArn=ROLE, jobDriver=submit)["jobRunId"]
    names = {"applicationId": application, "jobRunId": job_run}
    assert emr.get_job_run(**names)["jobRun"]["createdBy"] == user
    emr.cancel_job_run(**names)


def test_job_run_takes_a_waiting_driver_when_the_application_has_initial_capacity(
    local_aws: LocalAwsUnderTest, bucket: str, eventually: Callable[..., Any]
) -> None:
    emr = local_aws.client("emr-serverless")
    worker = {"workerCount": 1, "workerConfiguration": {"cpu": "2 vCPU", "memory": "4 GB"}}
    application = emr.create_application(
        name="warm", releaseLabel="emr-7.9.0", type="SPARK", initialCapacity={"DRIVER": worker}
    )["applicationId"]
    job_run = emr.start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": {"entryPoint": f"s3://{bucket}/jobs/parent.py"}},
        configurationOverrides={
            "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": f"s3://{bucket}/logs"}}
        },
    )["jobRunId"]
    has_ended(local_aws, application, job_run)
    java = log_of(local_aws, bucket, application, job_run, "stdout")
    assert f"warm/{application}/" in java
    assert "--warm" in java

    emr.stop_application(applicationId=application)
    eventually(lambda: not processes(f"warm/{application}/"), LONG)


def has_ended(local_aws: LocalAwsUnderTest, application: str, job_run: str) -> None:
    emr = local_aws.client("emr-serverless")
    deadline = time.monotonic() + LONG
    while emr.get_job_run(applicationId=application, jobRunId=job_run)["jobRun"]["state"] != "SUCCESS":
        assert time.monotonic() < deadline, "the job run did not succeed in time"
        time.sleep(0.2)  # within the API quotas


def processes(command: str) -> list[str]:
    """The ids of the processes whose command line has a text."""
    return subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False).stdout.split()
