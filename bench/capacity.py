"""What initial capacity saves: the same job on an application with a pre-initialised driver and on one without."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import boto3

from bench.measure import Measure, spread
from emrp.sample_data import write_salaries
from emrp.stack import Stack

_PAIRS = 5
_DEADLINE_SECONDS = 120.0
_SECONDS_BETWEEN_LOOKS = 0.15  # below GetJobRun's quota
_KEY = "landing/bench-capacity/salaries.csv"
_ROLE_ARN = "arn:aws:iam::000000000000:role/bench"
_WARM = {"DRIVER": {"workerCount": 1, "workerConfiguration": {"cpu": "2 vCPU", "memory": "4 GB"}}}


def measure(stack: Stack, folder: Path) -> Measure:
    """Run the salaries job on both in turn; while the cold one runs, the next driver is made ready for the warm one."""
    sample = folder / "capacity.csv"
    write_salaries(sample)
    boto3.client("s3").upload_file(str(sample), stack.bucket, _KEY)
    with _application() as cold, _application(_WARM) as warm:
        ratios = [_seconds(stack, warm) / _seconds(stack, cold) for _ in range(_PAIRS)]
    return Measure("job on a pre-initialised driver, in cold jobs", 0.6, median(ratios), "x", spread(ratios))


@contextmanager
def _application(capacity: dict[str, Any] | None = None) -> Iterator[str]:
    emr: Any = boto3.client("emr-serverless")
    request = {"releaseLabel": "emr-7.9.0", "type": "SPARK", "initialCapacity": capacity or {}}
    application_id = emr.create_application(**request)["applicationId"]
    emr.start_application(applicationId=application_id)
    _wait(lambda: _application_state(application_id), "STARTED")
    try:
        yield application_id
    finally:
        emr.stop_application(applicationId=application_id)
        _wait(lambda: _application_state(application_id), "STOPPED")
        emr.delete_application(applicationId=application_id)


def _application_state(application_id: str) -> str:
    return boto3.client("emr-serverless").get_application(applicationId=application_id)["application"]["state"]


def _seconds(stack: Stack, application_id: str) -> float:
    emr: Any = boto3.client("emr-serverless")
    spark_submit = {
        "entryPoint": f"s3://{stack.bucket}/jobs/process_salaries.py",
        "entryPointArguments": [f"s3://{stack.bucket}/{_KEY}", f"s3://{stack.bucket}/output/bench-capacity"],
    }
    started = time.perf_counter()
    job_run_id = emr.start_job_run(
        applicationId=application_id, executionRoleArn=_ROLE_ARN, jobDriver={"sparkSubmit": spark_submit}
    )["jobRunId"]
    _wait(
        lambda: emr.get_job_run(applicationId=application_id, jobRunId=job_run_id)["jobRun"]["state"],
        "SUCCESS",
    )
    return time.perf_counter() - started


def _wait(state: Callable[[], str], wanted: str) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while (seen := state()) != wanted:
        if time.monotonic() > deadline or seen in {"FAILED", "CANCELLED"}:
            raise SystemExit(f"{wanted} was expected, but it is {seen}: nothing can be measured.")
        time.sleep(_SECONDS_BETWEEN_LOOKS)
