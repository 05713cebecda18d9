"""The local EMR Serverless across a stop, a restart and a `kill -9` of its server."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from emrp.local import lifecycle
from emrp.local.emr_serverless.job_run import ENDED_WITH_ITS_SERVER
from emrp.local.lifecycle import LocalAws

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
DEADLINE_SECONDS = 60.0


@contextmanager
def server(data_dir: Path) -> Iterator[LocalAws]:
    with lifecycle.start(port=0, data_dir=data_dir) as local_aws:
        yield local_aws


def client(local_aws: LocalAws, service: str) -> Any:
    session: Any = boto3.Session("test", "test", region_name="us-east-1")
    return session.client(service, endpoint_url=local_aws.endpoint_url)


def running_job(local_aws: LocalAws) -> tuple[str, str]:
    """Start a job that takes long and wait until its driver is there."""
    emr, s3 = client(local_aws, "emr-serverless"), client(local_aws, "s3")
    s3.create_bucket(Bucket="restart-tests")
    s3.put_object(Bucket="restart-tests", Key="sleep.py", Body="import time\ntime.sleep(600)\n")
    application = emr.create_application(releaseLabel="emr-7.9.0", type="SPARK")["applicationId"]
    job_run = emr.start_job_run(
        applicationId=application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": {"entryPoint": "s3://restart-tests/sleep.py"}},
    )["jobRunId"]
    within_deadline(lambda: bool(drivers_of(job_run)))
    return application, job_run


def drivers_of(job_run: str) -> list[str]:
    """The processes that work in a job run's folder."""
    found = subprocess.run(["pgrep", "-f", f"emr_serverless/{job_run}/"], capture_output=True, text=True, check=False)
    return found.stdout.split()


def within_deadline(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True])
def test_history_is_kept_and_no_driver_is_left_when_the_server_restarts(tmp_path: Path, killed: bool) -> None:
    with server(tmp_path) as local_aws:
        application, job_run = running_job(local_aws)
        if killed:
            os.kill(local_aws.pid, signal.SIGKILL)
            within_deadline(lambda: not drivers_of(job_run))
    assert drivers_of(job_run) == []

    with server(tmp_path) as local_aws:
        emr = client(local_aws, "emr-serverless")
        assert emr.get_application(applicationId=application)["application"]["state"] == "STARTED"
        described = emr.get_job_run(applicationId=application, jobRunId=job_run)["jobRun"]
        assert (described["state"], described["stateDetails"]) == ("FAILED", ENDED_WITH_ITS_SERVER)
