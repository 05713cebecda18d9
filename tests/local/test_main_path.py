"""The whole path on real Spark: from the upload to the e-mail, when all is well and when it is not."""

import csv
import io
import json
from pathlib import Path

import pytest

from emrp.sample_data import write_salaries
from tests.local.conftest import LocalAwsUnderTest, eventually
from tests.local.deployed import EMR_RULE, RUN_SECONDS, DeployedStack, deploy

pytestmark = pytest.mark.spark

CRASH = 'raise ValueError("the third column is missing")\n'
EXIT = "import sys\nsys.exit(3)\n"
ENDLESS = """\
from pyspark.sql import SparkSession
import time
SparkSession.builder.getOrCreate()
time.sleep(600)
"""
FINE = 'print("done")\n'


@pytest.fixture(scope="module")
def local_aws(enforcing_aws: LocalAwsUnderTest) -> LocalAwsUnderTest:
    """Enforces IAM: what passes here needs no permission that the template does not grant."""
    return enforcing_aws


@pytest.fixture
def stack(enforced_stack: DeployedStack) -> DeployedStack:
    return enforced_stack


def test_upload_becomes_result_and_email(stack: DeployedStack, tmp_path: Path) -> None:
    sample = tmp_path / "salaries.csv"
    write_salaries(sample)
    stack.put("landing/nobody/ignored.csv", "x")
    execution = stack.upload("salaries", sample.read_text(), "salaries.csv")

    assert stack.ended(execution) == "SUCCEEDED"

    run, job = stack.item(execution), stack.item(execution, "JOB#process")
    assert json.loads(run["trigger"])["versionId"]
    assert (run["state"], job["state"]) == ("SUCCEEDED", "SUCCESS")
    (email,) = stack.emails(execution)
    assert email["subject"] == "salaries succeeded"
    assert run["output"] in email["body"]
    rows = read_csv(stack, run["output"])
    assert len(rows) == 10
    for row in rows:
        assert float(row["minimum_salary"]) <= float(row["maximum_salary"])
    outer, inner = stack.path(execution), stack.path(job["execution_arn"])
    assert outer == [
        "Plan Run",
        "Launch Application",
        "Run Jobs",
        "Run Job",
        "Clean Up",
        "Did Every Job Succeed",
        "Run Succeeded",
    ]
    assert inner == ["Add Job Run"]
    assert len(outer) + len(inner) <= 6 + 2
    assert stack.execution_for("landing/nobody/ignored.csv") is None


def read_csv(stack: DeployedStack, uri: str) -> list[dict[str, str]]:
    """Read the CSV files below an s3:// address."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    s3 = stack.aws.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    texts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys if key.endswith(".csv")]
    return [row for text in texts for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (CRASH, "ValueError: the third column is missing"),
        (EXIT, "ExitCode: 3"),
        (None, "jobs/{name}.py"),
    ],
    ids=["crash", "exit code", "missing program"],
)
def test_run_fails_and_says_why_when_the_program_does(stack: DeployedStack, program: str | None, line: str) -> None:
    name = stack.add_pipeline(program or FINE)
    if program is None:
        stack.aws.client("s3").delete_object(Bucket=stack.stack.bucket, Key=f"jobs/{name}.py")
    execution = stack.upload(name)

    assert stack.ended(execution) == "FAILED"

    job = stack.item(execution, "JOB#only")
    (email,) = stack.emails(execution)
    assert email["subject"].startswith(f"{name} failed: Job only: ")
    assert line.format(name=name) in " ".join(email["body"].split())
    log = f"{job['log_uri']}applications/{job['application_id']}/jobs/{job['job_run_id']}/SPARK_DRIVER/"
    assert log in email["body"]
    bucket, _, prefix = log.removeprefix("s3://").partition("/")
    assert stack.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] > 0
    assert stack.active_job_runs(execution) == []


def test_run_fails_and_says_why_when_the_csv_is_unreadable(stack: DeployedStack) -> None:
    execution = stack.upload("salaries", "these are\nnot,salaries\n", "broken.csv")

    assert stack.ended(execution) == "FAILED"

    (email,) = stack.emails(execution)
    assert email["subject"].startswith("salaries failed: Job process: ")
    assert email["body"].startswith("Why process failed\n")
    assert stack.active_job_runs(execution) == []


def test_run_fails_before_anything_starts_when_a_parameter_is_unknown(stack: DeployedStack) -> None:
    name = stack.add_pipeline(FINE)
    execution = stack.aws.client("stepfunctions").start_execution(
        stateMachineArn=stack.stack.pipeline_state_machine_arn,
        input=json.dumps({"pipeline": name, "parameters": {"tpo": 5}}),
    )["executionArn"]

    assert stack.ended(execution) == "FAILED"

    (email,) = stack.emails(execution)
    assert "parameters.tpo: is not a parameter of this pipeline" in " ".join(email["body"].split())
    applications = stack.aws.client("emr-serverless").list_applications()["applications"]
    assert f"emr-pipelines-{name}" not in [application["name"] for application in applications]


def test_stopped_execution_cancels_its_job_run_and_tells(stack: DeployedStack) -> None:
    execution = stack.upload(stack.add_pipeline(ENDLESS))
    eventually(lambda: stack.item(execution, "JOB#only").get("state") == "RUNNING", RUN_SECONDS)

    stack.aws.client("stepfunctions").stop_execution(executionArn=execution)

    (email,) = stack.emails(execution)
    assert "was cancelled" in email["subject"]
    assert stack.item(execution)["state"] == "CANCELLED"
    eventually(lambda: stack.active_job_runs(execution) == [], RUN_SECONDS)
    eventually(lambda: stack.item(execution, "JOB#only")["state"] == "CANCELLED", RUN_SECONDS)


def test_transient_application_is_deleted_when_its_run_has_ended(stack: DeployedStack) -> None:
    execution = stack.upload(stack.add_pipeline(FINE, lifecycle="transient"))

    assert stack.ended(execution) == "SUCCEEDED"

    application_id = stack.item(execution)["application_id"]
    emr = stack.aws.client("emr-serverless")
    eventually(
        lambda: (
            application_id
            not in [
                application["id"]
                for application in emr.list_applications()["applications"]
                if application["state"] != "TERMINATED"
            ]
        )
    )


def test_check_status_ends_the_job_when_every_event_is_lost(local_aws: LocalAwsUnderTest) -> None:
    stack = deploy(local_aws, "emr-pipelines-quick", HeartbeatSeconds="2", RunningHeartbeatSeconds="2")
    with stack.lost(EMR_RULE):
        execution = stack.upload(stack.add_pipeline(FINE))
        assert stack.ended(execution) == "SUCCEEDED"

    inner = stack.item(execution, "JOB#only")["execution_arn"]
    assert stack.path(inner)[:2] == ["Add Job Run", "Check Status"]
    assert stack.item(execution)["state"] == "SUCCEEDED"
