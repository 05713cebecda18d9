"""Two hundred job runs in the queue of one application.

All of them wait for their turn and have their events. A real Spark driver takes seconds, so only one job run in
twenty has one; the others ask for more than the application's maximum capacity, and fail when their turn has come.
`make bench` runs two hundred drivers and measures how fast the server answers meanwhile.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from emrp.local import lifecycle
from tests.local.conftest import LocalAwsUnderTest, eventually

pytestmark = pytest.mark.spark

ROLE = "arn:aws:iam::000000000000:role/job"
JOB_RUNS = 200
MEGABYTES = 400
SMALL = "--conf spark.driver.cores=1 --conf spark.driver.memory=2g --conf spark.executor.cores=1"
SMALL += " --conf spark.executor.memory=2g --conf spark.executor.instances=1"
TOO_LARGE = "--conf spark.driver.cores=16 --conf spark.driver.memory=40g"


@pytest.fixture
def unlimited(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAwsUnderTest]:
    """A local AWS that lets 200 job runs be submitted at once."""
    monkeypatch.setenv("EMRP_API_QUOTAS", "off")
    with lifecycle.start(port=0, data_dir=tmp_path_factory.mktemp("scale")) as server:
        yield LocalAwsUnderTest(server)


def test_job_runs_are_worked_off_in_order_and_none_is_lost_when_two_hundred_are_queued(
    unlimited: LocalAwsUnderTest,
) -> None:
    emr, s3 = unlimited.client("emr-serverless"), unlimited.client("s3")
    s3.create_bucket(Bucket="scale")
    s3.put_object(Bucket="scale", Key="empty.py", Body=b"")
    application = emr.create_application(
        releaseLabel="emr-7.9.0",
        type="SPARK",
        schedulerConfiguration={"maxConcurrentRuns": 2},
        maximumCapacity={"cpu": "12 vCPU", "memory": "48 GB"},
    )["applicationId"]
    queue = queue_of_events(unlimited, application)

    def start(size: str) -> str:
        job = {"entryPoint": "s3://scale/empty.py", "sparkSubmitParameters": size}
        started = emr.start_job_run(applicationId=application, executionRoleArn=ROLE, jobDriver={"sparkSubmit": job})
        job_run_id: str = started["jobRunId"]
        return job_run_id

    expected = {start(TOO_LARGE if number % 20 else SMALL): bool(number % 20) for number in range(JOB_RUNS)}
    resident = []

    def done() -> bool:
        resident.append(resident_megabytes(unlimited.server.pid))
        unfinished = ["SUBMITTED", "QUEUED", "PENDING", "SCHEDULED", "RUNNING"]
        return not emr.list_job_runs(applicationId=application, states=unfinished, maxResults=1)["jobRuns"]

    eventually(done, 240, every=0.5)
    pages = emr.get_paginator("list_job_runs").paginate(applicationId=application)
    ended = {job_run["id"]: job_run["state"] for page in pages for job_run in page["jobRuns"]}
    assert ended == {job_run: "FAILED" if too_large else "SUCCESS" for job_run, too_large in expected.items()}
    events = list(received(unlimited, queue))
    assert [job_run for job_run, state in events if state == "PENDING"] == list(expected)
    assert {job_run: state for job_run, state in events if state in {"SUCCESS", "FAILED"}} == ended
    assert max(resident) < MEGABYTES


def queue_of_events(local_aws: LocalAwsUnderTest, application: str) -> str:
    """Make a queue that gets the state changes of an application's job runs."""
    pattern = {
        "detail-type": ["EMR Serverless Job Run State Change"],
        "detail": {"applicationId": [application]},
    }
    local_aws.client("events").put_rule(Name="scale", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:000000000000:scale"}
    url: str = local_aws.client("sqs").create_queue(QueueName="scale")["QueueUrl"]
    local_aws.client("events").put_targets(Rule="scale", Targets=[target])
    return url


def received(local_aws: LocalAwsUnderTest, queue: str) -> Iterator[tuple[str, str]]:
    """Empty a queue of events: job run and state, oldest first."""
    sqs: Any = local_aws.client("sqs")
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            detail = json.loads(message["Body"])["detail"]
            yield detail["jobRunId"], detail["state"]
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def resident_megabytes(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) * 1024 / 1_000_000
