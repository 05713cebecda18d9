"""A server that is killed while it runs a job, with a history from before."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
SCRIPTS = {
    "write.py": """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.range(3).coalesce(1).write.mode("overwrite").csv("s3://killed/result")
""",
    "workers.py": """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
def wait(number):
    open("/dev/stderr", "w").write("a Python worker waits")
    time.sleep(600)
spark.sparkContext.parallelize(range(2), 2).foreach(wait)
""",
}


def test_history_is_whole_and_no_process_is_left_when_the_server_is_killed_under_a_job(tmp_path: Path) -> None:
    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        before = LocalAwsUnderTest(server)
        before.client("s3").create_bucket(Bucket="killed")
        for name, script in SCRIPTS.items():
            before.client("s3").put_object(Bucket="killed", Key=name, Body=script)
        created = before.client("emr-serverless").create_application(releaseLabel="emr-7.9.0", type="SPARK")
        application = created["applicationId"]
        succeeded = start(before, application, "write.py")
        eventually(has_ended(before, application, succeeded), 60, every=0.2)

    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        job_run = start(LocalAwsUnderTest(server), application, "workers.py")
        session = eventually(lambda: session_of(job_run), 60, every=0.2)
        eventually(lambda: any("pyspark.daemon" in command for command in commands_of(session)), 60, every=0.2)
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not commands_of(session))

    with lifecycle.start(port=0, data_dir=tmp_path) as server:
        after = LocalAwsUnderTest(server)
        known = after.client("emr-serverless").list_job_runs(applicationId=application)["jobRuns"]
        assert {found["id"]: found["state"] for found in known} == {succeeded: "SUCCESS", job_run: "FAILED"}
        again = start(after, application, "write.py")
        eventually(has_ended(after, application, again), 60, every=0.2)
        (part,) = after.client("s3").list_objects_v2(Bucket="killed", Prefix="result/part-")["Contents"]
        assert after.client("s3").get_object(Bucket="killed", Key=part["Key"])["Body"].read() == b"0\n1\n2\n"


def start(local_aws: LocalAwsUnderTest, application: str, script: str) -> str:
    started = local_aws.client("emr-serverless").start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": {"entryPoint": f"s3://killed/{script}"}},
    )
    job_run: str = started["jobRunId"]
    return job_run


def has_ended(local_aws: LocalAwsUnderTest, application: str, job_run: str) -> Callable[[], Any]:
    emr = local_aws.client("emr-serverless")
    return lambda: emr.get_job_run(applicationId=application, jobRunId=job_run)["jobRun"].get("endedAt")


def session_of(job_run: str) -> int | None:
    """The session of the processes of a job run: its driver leads one, Python workers have groups of their own."""
    found = subprocess.run(
        ["pgrep", "-f", f"emr_serverless/{job_run}/"], capture_output=True, text=True, check=False
    ).stdout.split()
    with suppress(ProcessLookupError):
        return os.getsid(int(found[0])) if found else None
    return None


def commands_of(session: int) -> list[str]:
    """The command lines of the processes of a session."""
    listed = subprocess.run(["ps", "-A", "-o", "sess=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [args for sid, stat, args in rows if sid == str(session) and not stat.startswith("Z")]
