"""What a long queue costs: two hundred job runs, two at a time, and how fast the server answers meanwhile."""

import os
import time
from collections.abc import Iterator

import boto3

from bench.measure import Measure, p95, resident, spread
from emrp.local import REGION, lifecycle

_JOB_RUNS = 200
_SECONDS_BETWEEN_CALLS = 0.05
_CALLS_BETWEEN_LOOKS = 20
_DEADLINE_SECONDS = 1200


def measures() -> Iterator[Measure]:
    """Queue job runs of an empty script on a local AWS of its own, and ask for them until all have ended."""
    os.environ["EMRP_API_QUOTAS"] = "off"  # else submitting takes longer than running
    with lifecycle.start(port=0) as local_aws:
        queue = LongQueue(local_aws.endpoint_url)
        milliseconds: list[float] = []
        mebibytes: list[float] = []
        started = time.perf_counter()
        while queue.has_unfinished():
            if time.perf_counter() - started > _DEADLINE_SECONDS:
                raise SystemExit(f"{_JOB_RUNS} job runs did not end within {_DEADLINE_SECONDS} seconds.")
            mebibytes.append(resident(local_aws.pid))
            for _ in range(_CALLS_BETWEEN_LOOKS):
                milliseconds.append(1000 * queue.seconds_of_a_call())
                time.sleep(_SECONDS_BETWEEN_CALLS)
        seconds = time.perf_counter() - started
    del os.environ["EMRP_API_QUOTAS"]
    yield Measure(f"GetJobRun beside {_JOB_RUNS} job runs, p95", 50, p95(milliseconds), "ms", spread(milliseconds))
    note = f"all ended after {seconds:.0f} s"
    yield Measure(f"local AWS with {_JOB_RUNS} job runs, most", 400, max(mebibytes), "MiB", note)


class LongQueue:
    """An application with all the job runs, of which two may run at a time."""

    def __init__(self, endpoint_url: str) -> None:
        session = boto3.Session("test", "test", region_name=REGION)
        s3 = session.client("s3", endpoint_url=endpoint_url)
        s3.create_bucket(Bucket="scale")
        s3.put_object(Bucket="scale", Key="empty.py", Body=b"")
        self._emr = session.client("emr-serverless", endpoint_url=endpoint_url)
        self._application = self._emr.create_application(
            clientToken="bench",
            releaseLabel="emr-7.9.0",
            type="SPARK",
            schedulerConfiguration={"maxConcurrentRuns": 2},
        )["applicationId"]
        self._newest = [self._submit(f"bench-{number}") for number in range(_JOB_RUNS)][-1]

    def has_unfinished(self) -> bool:
        """Tell whether a job run has not ended."""
        unfinished = self._emr.list_job_runs(
            applicationId=self._application,
            states=["SUBMITTED", "QUEUED", "PENDING", "SCHEDULED", "RUNNING"],
            maxResults=1,
        )
        return bool(unfinished["jobRuns"])

    def seconds_of_a_call(self) -> float:
        """Ask for a job run and return how long the answer took."""
        began = time.perf_counter()
        self._emr.get_job_run(applicationId=self._application, jobRunId=self._newest)
        return time.perf_counter() - began

    def _submit(self, token: str) -> str:
        return self._emr.start_job_run(
            clientToken=token,
            applicationId=self._application,
            executionRoleArn="arn:aws:iam::000000000000:role/bench",
            jobDriver={"sparkSubmit": {"entryPoint": "s3://scale/empty.py"}},
        )["jobRunId"]
