"""A burst of uploads: each of them starts one run, in spite of EMR's quotas, and what that takes of this machine.

The jobs are simulated, so what is measured is everything around Spark. At AWS's own quotas two thousand job runs take
33 minutes (one StartJobRun a second), so the large burst has an account with higher ones; the small one has AWS's.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
from botocore.config import Config
from emr_pipelines.gateways.aws import client
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.gateways.table import _table
from emr_pipelines.run import SUCCEEDED, Run
from rich.console import Console

from bench.measure import Measure, resident
from emrp import environment
from emrp.deployment import Deployment
from emrp.local import lifecycle
from emrp.pipelines import register
from emrp.progress import Stages
from emrp.project import Project
from emrp.stack import Stack

_LARGE, _RAISED = 2000, 50
_SMALL, _AWS = 60, 1
_UPLOADERS = 8
_SECONDS_BETWEEN_LOOKS = 1.0
_PIPELINE = """\
name: burst
triggers: {uploads: [{prefix: landing/burst/}]}
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: "s3://{{ stack.bucket }}/jobs/burst.py"}}
"""


@dataclass(frozen=True)
class Burst:
    """What became of a burst of uploads."""

    uploads: int
    runs: list[Run]
    job_runs: int
    started_within: float
    ended_within: float
    mebibytes: float

    @property
    def lost(self) -> int:
        """How many uploads no run has come from."""
        return self.uploads - len(self._keys)

    @property
    def repeated(self) -> int:
        """How many runs and job runs there are besides one of each for an upload."""
        return len(self.runs) + self.job_runs - 2 * len(self._keys)

    @property
    def unsuccessful(self) -> int:
        """How many runs did not succeed."""
        return sum(run.state != SUCCEEDED for run in self.runs)

    @property
    def _keys(self) -> set[str]:
        return {run.trigger["key"] for run in self.runs}


def measures() -> Iterator[Measure]:
    """Burst at raised quotas and at AWS's, each on a local AWS of its own."""
    for uploads, times_quotas, seconds in ((_LARGE, _RAISED, 1200.0), (_SMALL, _AWS, 240.0)):
        burst = _burst(uploads, times_quotas, seconds)
        wrong = abs(burst.lost) + abs(burst.repeated) + burst.unsuccessful
        what = f"{uploads} uploads at {times_quotas} times the quotas" if times_quotas != _AWS else f"{uploads} uploads"
        note = f"{burst.lost} lost, {burst.repeated} repeated, {burst.unsuccessful} not succeeded"
        yield Measure(f"{what}: runs that are not as they should be", 0, wrong, "", note)
        note = (
            f"executions started within {burst.started_within:.0f} s; {uploads / burst.ended_within:.1f} runs a second"
        )
        yield Measure(f"{what}: all runs ended after", seconds, burst.ended_within, "s", note)
        yield Measure(f"{what}: local AWS has in memory, most", 600, burst.mebibytes, "MiB")


def _burst(uploads: int, times_quotas: int, seconds: float) -> Burst:
    settings = {"EMRP_API_QUOTAS": str(times_quotas), "EMRP_SIMULATED_JOB_SECONDS": "0"}
    os.environ.update(settings)
    forget_clients()
    try:
        with lifecycle.start(port=0) as local_aws:
            environment.use(local_aws.environment())
            Deployment(Project.find(), "emr-pipelines", local=True).run(Stages(Console(quiet=True)))
            return upload_burst(Stack.describe("emr-pipelines"), uploads, local_aws.pid, seconds)
    finally:
        for name in settings:
            del os.environ[name]


def forget_clients() -> None:
    """Let the next client of this process look at the environment as it then is."""
    client.cache_clear()
    _table.cache_clear()


def upload_burst(stack: Stack, uploads: int, pid: int, seconds: float) -> Burst:
    """Upload that many objects as fast as possible, and wait until all of their runs have ended."""
    s3 = boto3.client("s3")
    register(stack, {"pipelines/burst.yaml": _PIPELINE})
    keys = [f"landing/burst/{number:05}.csv" for number in range(uploads)]
    began = time.perf_counter()
    with ThreadPoolExecutor(_UPLOADERS) as uploaders:
        list(uploaders.map(lambda key: s3.put_object(Bucket=stack.bucket, Key=key, Body=b"x"), keys))
    started_within = mebibytes = 0.0
    while (passed := time.perf_counter() - began) < seconds:
        statuses, mebibytes = _statuses(stack), max(mebibytes, resident(pid))
        if statuses.total() >= uploads:
            started_within = started_within or passed
            if not statuses["RUNNING"]:
                break
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    runs = RunRecord(stack.run_table).list_runs("burst", limit=2 * uploads)
    return Burst(uploads, runs, _job_runs(), started_within or passed, passed, mebibytes)


def _statuses(stack: Stack) -> Counter[str]:
    pages = boto3.client("stepfunctions").get_paginator("list_executions")
    listed = pages.paginate(stateMachineArn=stack.pipeline_state_machine_arn, PaginationConfig={"PageSize": 1000})
    executions = [execution for page in listed for execution in page["executions"]]
    return Counter(execution["status"] for execution in executions if execution["name"].startswith("burst-"))


def _job_runs() -> int:
    """Count the job runs of the burst, no faster than ListJobRuns lets an account ask."""
    emr = boto3.client("emr-serverless", config=Config(retries={"mode": "adaptive", "total_max_attempts": 20}))
    return sum(
        len(page["jobRuns"])
        for application in emr.list_applications()["applications"]
        if application["name"] == "emr-pipelines-burst"
        for page in emr.get_paginator("list_job_runs").paginate(
            applicationId=application["id"], PaginationConfig={"PageSize": 50}
        )
    )
