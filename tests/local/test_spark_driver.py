"""Drivers as jobs know them: files from S3, Hive, environments, and how they end."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from emrp.local.lifecycle import client_environment
from emrp.local.spark import Driver, DriverRequest, failure_details, start_driver
from tests.local.conftest import LocalAwsUnderTest

LONG = 60.0
GLUE = "com.amazonaws.glue.catalog.metastore.AWSGlueDataCatalogHiveClientFactory"
REPORT = """
import json, os, sys
import boto3
import helper
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

spark = SparkSession.builder.enableHiveSupport().getOrCreate()
spark.sql("CREATE TABLE numbers AS SELECT 20 AS number UNION SELECT 22")
doubled = spark.table("numbers").select(udf(helper.double, "int")("number").alias("n")).groupBy().sum("n").head()[0]
print(json.dumps({
    "arguments": sys.argv[1:],
    "buckets": [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"] if b["Name"] == sys.argv[1]],
    "doubled": doubled,
    "driver_environment": os.environ.get("COLOUR"),
    "exported": os.environ.get("SHAPE"),
    "file": open(SparkFiles.get("numbers.txt")).read(),
    "from_archive": os.environ.get("FROM_ARCHIVE"),
    "application": spark.sparkContext.appName,
    "partitions": spark.conf.get("spark.sql.shuffle.partitions"),
    "level": spark.conf.get("spark.test.level"),
}))
"""
HELPER = "def double(number):\n    return 2 * number\n"
WAIT = """
import time
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

def wait(number):
    print("working", flush=True)
    open("working", "w").close()
    time.sleep(600)

SparkSession.builder.getOrCreate().range(1).select(udf(wait)("id")).collect()
"""
HIVE = """
CREATE EXTERNAL TABLE people (name STRING, age INT) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
LOCATION 's3://${bucket}/people/';
INSERT OVERWRITE DIRECTORY 's3://${bucket}/adults' USING csv SELECT name, ${hiveconf:bonus} + age FROM people
WHERE age >= 18;
SELECT count(*) AS everybody FROM ${schema}.people;
"""
Run = Callable[..., Awaitable[Driver]]

pytestmark = pytest.mark.spark


@pytest.fixture
def bucket(local_aws: LocalAwsUnderTest, unique: Callable[[str], str]) -> str:
    name = unique("drivers")
    local_aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def put(local_aws: LocalAwsUnderTest, bucket: str) -> Callable[[str, str | bytes], str]:
    """Writes an object and returns its URI."""

    def write(key: str, body: str | bytes) -> str:
        local_aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    return write


@pytest.fixture
def start(local_aws: LocalAwsUnderTest, tmp_path: Path) -> Run:
    async def run(job_driver: dict[str, Any], configurations: list[dict[str, Any]] | None = None) -> Driver:
        return await start_driver(
            DriverRequest(
                application_id="application",
                job_run_id="job",
                name="a job",
                job_driver=job_driver,
                work_dir=tmp_path / "driver",
                configurations=configurations or [],
                environment=client_environment(local_aws.endpoint_url),
            )
        )

    return run


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return content.getvalue()


def packed_environment() -> bytes:
    """What venv-pack makes, as small as it can be: a folder with bin/python."""
    program = f'#!/bin/sh\nFROM_ARCHIVE=yes exec "{sys.executable}" "$@"\n'.encode()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        entry = tarfile.TarInfo("bin/python")
        entry.mode, entry.size = 0o755, len(program)
        archive.addfile(entry, io.BytesIO(program))
    return content.getvalue()


async def test_job_has_all_it_asked_for_when_everything_comes_from_s3(
    bucket: str, put: Callable[[str, str | bytes], str], start: Run
) -> None:
    script, helper = put("jobs/report.py", REPORT), put("jobs/helper.zip", zipped(helper=HELPER))
    numbers, environment = put("numbers.txt", "1 2 3"), put("env/packed.tar.gz", packed_environment())
    python = "./environment/bin/python"
    parameters = [
        f"--py-files {helper} --files {numbers} --archives {environment}#environment --name ignored",
        f"--conf spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON={python}",
        f"--conf spark.emr-serverless.driverEnv.PYSPARK_PYTHON={python}",
        f"--conf spark.executorEnv.PYSPARK_PYTHON={python}",
        "--conf 'spark.emr-serverless.driverEnv.COLOUR=deep blue'",
        "--conf spark.emr-serverless.driverEnv.JAVA_HOME=/usr/lib/jvm/java-17-amazon-corretto.x86_64/",
        '--conf "spark.driver.extraJavaOptions=-Dan=option -Danother=option"',
        "--conf spark.app.name=chosen --conf spark.test.level=submitted --conf spark.executor.memory=20g",
        f"--conf spark.hadoop.hive.metastore.client.factory.class={GLUE}",
    ]
    driver = await start(
        {
            "sparkSubmit": {
                "entryPoint": script,
                "entryPointArguments": [bucket, "two words", "--flag"],
                "sparkSubmitParameters": " ".join(parameters),
            }
        },
        [
            {
                "classification": "spark-defaults",
                "properties": {"spark.sql.shuffle.partitions": "3", "spark.test.level": "classified"},
            },
            {"classification": "spark-driver-log4j2", "properties": {"rootLogger.level": "error"}},
            {
                "classification": "spark-env",
                "configurations": [{"classification": "export", "properties": {"SHAPE": "round"}}],
            },
        ],
    )
    assert await driver.wait() == 0, driver.stdout.read_text() + driver.stderr.read_text()[-2000:]
    assert json.loads(driver.stdout.read_text()) == {
        "arguments": [bucket, "two words", "--flag"],
        "buckets": [bucket],
        "doubled": 84,
        "driver_environment": "deep blue",
        "exported": "round",
        "file": "1 2 3",
        "from_archive": "yes",
        "application": "chosen",
        "partitions": "3",
        "level": "submitted",
    }
    assert " INFO " not in driver.stderr.read_text()


async def test_class_is_run_when_job_is_a_jar(put: Callable[[str, str | bytes], str], start: Run) -> None:
    jar = put("jobs/application.jar", zipped(resource="x"))
    main_class = "org.apache.hadoop.util.VersionInfo"  # of Spark's own jars, so that nothing has to be compiled
    driver = await start({"sparkSubmit": {"entryPoint": jar, "sparkSubmitParameters": f"--class {main_class}"}})
    assert await driver.wait() == 0, driver.stderr.read_text()[-2000:]
    assert driver.stdout.read_text().startswith("Hadoop 3.")


async def test_query_is_run_when_job_is_hive(
    local_aws: LocalAwsUnderTest, bucket: str, put: Callable[[str, str | bytes], str], start: Run
) -> None:
    put("people/all.csv", "Ann,41\nBob,17\n")
    driver = await start(
        {
            "hive": {
                "query": put("queries/adults.sql", HIVE),
                "initQueryFile": put("queries/init.sql", "CREATE DATABASE town; USE town;"),
                "parameters": f"--hivevar bucket={bucket} --hivevar schema=town --hiveconf bonus=1",
            }
        },
        [
            {
                "classification": "hive-site",
                "properties": {
                    "hive.exec.scratchdir": f"s3://{bucket}/hive/scratch",
                    "hive.metastore.warehouse.dir": f"s3://{bucket}/hive/warehouse",
                    "hive.driver.memory": "4g",
                },
            }
        ],
    )
    assert await driver.wait() == 0, driver.stderr.read_text()[-3000:]
    assert driver.stdout.read_text().split()[-1] == "2"
    s3 = local_aws.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="adults/")["Contents"]]
    parts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys if "part-" in key]
    assert b"".join(parts) == b"Ann,42\n"


async def test_failure_names_the_script_when_it_is_missing(bucket: str, start: Run) -> None:
    driver = await start({"sparkSubmit": {"entryPoint": f"s3://{bucket}/jobs/none.py"}})
    exit_code = await driver.wait()
    assert exit_code == 1
    assert f"s3://{bucket}/jobs/none.py" in failure_details(exit_code, driver.stdout, driver.stderr)


async def test_no_process_is_left_when_driver_is_killed(
    put: Callable[[str, str | bytes], str], start: Run, tmp_path: Path
) -> None:
    driver = await start({"sparkSubmit": {"entryPoint": put("jobs/wait.py", WAIT)}})
    await asyncio.to_thread(wait_until, (tmp_path / "driver" / "working").exists)
    processes = family(driver.pid)
    assert len(processes) >= 4  # the JVM, the script, the daemon of the Python workers and a worker
    await driver.kill()
    assert await driver.wait() == 128 + 15
    await asyncio.to_thread(wait_until, lambda: not any(map(is_running, processes)))


def test_no_process_is_left_when_the_starting_program_is_killed(
    put: Callable[[str, str | bytes], str], local_aws: LocalAwsUnderTest, tmp_path: Path
) -> None:
    script = put("jobs/wait.py", WAIT)
    program = f"""
import asyncio
from pathlib import Path
from emrp.local.spark import DriverRequest, start_driver

async def main():
    job_driver = {{"sparkSubmit": {{"entryPoint": {script!r}}}}}
    environment = {client_environment(local_aws.endpoint_url)!r}
    driver = await start_driver(
        DriverRequest("a", "j", "n", job_driver, Path({str(tmp_path / "driver")!r}), [], environment)
    )
    await driver.wait()

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2]) as starter:
        try:
            wait_until((tmp_path / "driver" / "working").exists)
            processes = family(starter.pid)
        finally:
            starter.kill()
    wait_until(lambda: not any(map(is_running, processes)))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do, of which nobody tells this one."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


def family(ancestor: int) -> set[int]:
    """A process and all its descendants."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in lines.splitlines())}
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def is_running(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in {"", "Z"}
