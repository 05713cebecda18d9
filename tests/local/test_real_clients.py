"""The clients that data engineers use on AWS, unchanged, against the local EMR Serverless.

They are told nothing but AWS_ENDPOINT_URL, a region and credentials. The ones that take minutes to install on a slow
network and half a minute to run are marked `clients` (`make clients`).
"""

import gzip
import json
import signal
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.local.clients.client import Client, installed
from tests.local.conftest import LocalAwsUnderTest, eventually

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
SCRIPTS = Path(__file__).parent / "clients"
ENDED = {"SUCCESS", "FAILED", "CANCELLED"}
JOBS = {
    "sum.py": """
        from pyspark.sql import SparkSession
        spark = SparkSession.builder.getOrCreate()
        print("the sum is", spark.range(5).groupBy().sum("id").first()[0])
    """,
    "piped.py": """
        from dagster_pipes import open_dagster_pipes
        from pyspark.sql import SparkSession
        spark = SparkSession.builder.getOrCreate()
        with open_dagster_pipes() as pipes:
            total = spark.range(5).groupBy().sum("id").first()[0]
            pipes.report_asset_materialization(metadata={"sum": total})
    """,
    "fail.py": "raise ValueError('the input is missing')",
    "sleep.py": "import time; time.sleep(600)",
}
EMR_CLI_PROJECT = {
    "main.py": """
        import sys
        from jobs.total import total
        print("the sum is", total(int(sys.argv[1])))
    """,
    "jobs/__init__.py": "",
    "jobs/total.py": """
        from pyspark.sql import SparkSession
        def total(count):
            return SparkSession.builder.getOrCreate().range(count).groupBy().sum("id").first()[0]
    """,
}

Install = Callable[..., Client]


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAwsUnderTest) -> str:
    """A bucket with the scripts of these tests."""
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="real-clients")
    for name, script in JOBS.items():
        s3.put_object(Bucket="real-clients", Key=f"jobs/{name}", Body=dedent(script))
    return "real-clients"


@pytest.fixture
def install(local_aws: LocalAwsUnderTest, tmp_path: Path) -> Install:
    """Install a client for which the local AWS is AWS."""

    def client(name: str, **environment: str) -> Client:
        return installed(name, local_aws.server.environment() | environment, tmp_path)

    return client


def test_aws_cli_manages_an_application_and_its_job_runs_when_it_has_an_endpoint(
    local_aws: LocalAwsUnderTest, install: Install, bucket: str
) -> None:
    client, emr = install("awscli"), local_aws.client("emr-serverless")

    def aws(command: str, *arguments: str) -> Any:
        answer = client.run("aws", "emr-serverless", command, *arguments)
        return json.loads(answer) if answer else None

    created = aws("create-application", "--name", "cli", "--release-label", "emr-7.9.0", "--type", "SPARK")
    application = ("--application-id", created["applicationId"])

    def becomes(state: str) -> None:  # asked with boto3, because each call of the AWS CLI takes most of a second
        asked = {"applicationId": application[1]}
        eventually(lambda: emr.get_application(**asked)["application"]["state"] == state, every=0.2)
        assert aws("get-application", *application)["application"]["state"] == state

    def ends(job_run: tuple[str, str], state: str) -> None:
        asked = {"applicationId": application[1], "jobRunId": job_run[1]}
        eventually(lambda: emr.get_job_run(**asked)["jobRun"]["state"] in ENDED, 90, every=0.2)
        assert aws("get-job-run", *application, *job_run)["jobRun"]["state"] == state

    def start(script: str) -> tuple[str, str]:
        driver = f'{{"sparkSubmit": {{"entryPoint": "s3://{bucket}/jobs/{script}"}}}}'
        logs = f"monitoringConfiguration={{s3MonitoringConfiguration={{logUri=s3://{bucket}/cli-logs}}}}"
        described = ("--execution-role-arn", ROLE, "--job-driver", driver, "--configuration-overrides", logs)
        return "--job-run-id", aws("start-job-run", *application, *described, "--name", script)["jobRunId"]

    aws("start-application", *application)
    becomes("STARTED")
    succeeding, cancelled = start("sum.py"), start("sleep.py")
    ends(succeeding, "SUCCESS")
    folder = f"s3://{bucket}/cli-logs/applications/{application[1]}/jobs/{succeeding[1]}/SPARK_DRIVER"
    client.run("aws", "s3", "cp", "--quiet", f"{folder}/stdout.gz", ".")
    assert gzip.decompress((client.folder / "stdout.gz").read_bytes()) == b"the sum is 10\n"

    refused = client.run("aws", "emr-serverless", "stop-application", *application, exit_code=255)
    assert "(ValidationException) when calling the StopApplication operation" in refused
    aws("cancel-job-run", *application, *cancelled)
    ends(cancelled, "CANCELLED")
    listed = aws("list-job-runs", *application, "--states", "SUCCESS", "CANCELLED", "--page-size", "1")["jobRuns"]
    assert {job_run["id"] for job_run in listed} == {succeeding[1], cancelled[1]}

    aws("stop-application", *application)
    becomes("STOPPED")
    aws("delete-application", *application)
    becomes("TERMINATED")


def test_emr_cli_bootstraps_deploys_and_runs_a_project_when_it_has_an_endpoint(install: Install) -> None:
    # `emr bootstrap` names the region as location of its bucket, which S3 refuses in us-east-1, here and on AWS.
    client = install("amazon-emr-cli", AWS_DEFAULT_REGION="eu-west-1")
    for name, source in EMR_CLI_PROJECT.items():
        (client.folder / name).parent.mkdir(exist_ok=True)
        (client.folder / name).write_text(dedent(source))
    (client.folder / "broken.py").write_text(JOBS["fail.py"])
    names = ("--code-bucket", "emr-cli-code", "--job-role-name", "emr-cli-job")
    client.run("emr", "bootstrap", "--target", "emr-serverless", *names)

    job = ("--job-name", "total", "--s3-logs-uri", "s3://emr-cli-code/logs/", "--build", "--wait")
    shown = client.run("emr", "run", "--entry-point", "main.py", "--job-args", "5", *job, "--show-stdout")
    assert "the sum is 10" in shown
    assert "Job completed successfully!" in shown
    failed = client.run("emr", "run", "--entry-point", "broken.py", *job, exit_code=1)
    assert "the input is missing" in failed.replace("\n", " ")


@pytest.mark.clients
def test_airflow_operators_run_job_runs_when_their_connection_is_the_environment(
    local_aws: LocalAwsUnderTest, install: Install, bucket: str
) -> None:
    client = install("airflow")
    seen = json.loads(client.run("python", str(SCRIPTS / "airflow_operators.py"), bucket, ROLE).splitlines()[-1])
    emr, application = local_aws.client("emr-serverless"), seen["application"]

    def state(job_run: str) -> str:
        described: str = emr.get_job_run(applicationId=application, jobRunId=seen[job_run])["jobRun"]["state"]
        return described

    assert [state(job_run) for job_run in ("waited", "deferred", "sensed")] == ["SUCCESS"] * 3
    assert [state(job_run) for job_run in ("killed", "abandoned")] == ["CANCELLED"] * 2
    assert seen["failed"].startswith("Serverless Job failed")
    assert seen["stopped"] == "STOPPED"
    assert emr.get_application(applicationId=application)["application"]["state"] == "TERMINATED"


@pytest.fixture
def application(local_aws: LocalAwsUnderTest) -> str:
    """An application; Dagster uses what there is."""
    created = local_aws.client("emr-serverless").create_application(releaseLabel="emr-7.9.0", type="SPARK")
    application_id: str = created["applicationId"]
    return application_id


@pytest.mark.clients
def test_dagster_asset_gets_the_metadata_that_a_job_run_reports_when_logs_go_to_cloudwatch(
    install: Install, bucket: str, application: str
) -> None:
    client = install("dagster")
    asset = (str(SCRIPTS / "dagster_pipes_asset.py"), bucket, ROLE, application)
    seen = json.loads(client.run("python", *asset, "piped.py").splitlines()[-1])
    assert seen["sum"] == 10
    assert seen["AWS EMR Serverless Application ID"] == application


@pytest.mark.clients
def test_dagster_cancels_the_job_run_when_it_is_interrupted(
    local_aws: LocalAwsUnderTest, install: Install, bucket: str, application: str
) -> None:
    client = install("dagster")
    asset = (str(SCRIPTS / "dagster_pipes_asset.py"), bucket, ROLE, application)
    with client.started("python", *asset, "sleep.py") as (process, output):
        assert any("job is running. Dashboard URL" in line for line in output)
        process.send_signal(signal.SIGINT)
        rest = output.read()
        assert process.wait() != 0, rest
    emr = local_aws.client("emr-serverless")
    (job_run,) = emr.list_job_runs(applicationId=application)["jobRuns"]
    asked = {"applicationId": application, "jobRunId": job_run["id"]}
    eventually(lambda: emr.get_job_run(**asked)["jobRun"]["state"] == "CANCELLED", every=0.2)
