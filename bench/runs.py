"""What a run costs besides its Spark time: from the upload to StartJobRun, from a job's end to the next state."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import Job, Run

from bench.measure import Measure, p95, spread
from emrp.local.spark.command import JAR, SPARK_HOME
from emrp.pipelines import register
from emrp.sample_data import write_salaries
from emrp.stack import Stack

_RUNS = 20
_PAIRS = 5
_DEADLINE_SECONDS = 120.0
_PIPELINE = """\
name: bench
triggers: {uploads: [{prefix: landing/bench/}]}
application: {releaseLabel: emr-7.9.0, type: SPARK}
jobs:
  - name: only
    jobDriver: {sparkSubmit: {entryPoint: "s3://{{ stack.bucket }}/jobs/bench.py"}}
"""
_S3_FILE_SYSTEM = ["--jars", str(JAR), *("--conf", "spark.hadoop.fs.s3.impl=emrp.s3.S3FileSystem")]


@dataclass(frozen=True)
class Finished:
    """A run that has ended, when its upload began, and the states it entered."""

    run: Run
    job: Job
    uploaded_at: float
    entered: list[tuple[str, float]]


class Runs:
    """Starts runs by uploads to a deployed stack and looks at what became of them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._record = RunRecord(stack.run_table)
        self._s3 = boto3.client("s3")
        self._states = boto3.client("stepfunctions")
        self._seen: set[str] = set()

    def run(self, key: str, body: bytes) -> Finished:
        """Upload an object and wait for the end of the run that it starts."""
        uploaded_at = time.time()
        self._s3.put_object(Bucket=self._stack.bucket, Key=key, Body=body)
        execution = self._wait_for_execution()
        run_id = execution["name"]
        run = self._record.get_run(run_id)
        if run is None or execution["status"] != "SUCCEEDED":
            raise SystemExit(f"The run {run_id} ended {execution['status']}: nothing can be measured.")
        (job,) = self._record.list_jobs(run_id)
        entered = self._entered(run.execution_arn) + self._entered(job.execution_arn or "")
        return Finished(run, job, uploaded_at, entered)

    def measures(self) -> Iterator[Measure]:
        """Measure the way to StartJobRun, the way on from a job's end, and the state transitions."""
        self._s3.put_object(Bucket=self._stack.bucket, Key="jobs/bench.py", Body=b"")
        register(self._stack, {"pipelines/bench.yaml": _PIPELINE})
        self.run("landing/bench/first", b"")  # starts the application and the functions
        finished = [self.run(f"landing/bench/{number}", b"") for number in range(_RUNS)]
        submitted = [_epoch(run.job.states[0]["at"]) - run.uploaded_at for run in finished]
        went_on = [dict(run.entered)["Clean Up"] - _epoch(run.job.ended_at or "") for run in finished]
        transitions = [float(len(run.entered)) for run in finished]
        yield Measure("upload to StartJobRun, p95", 2, p95(submitted), "s", spread(submitted))
        yield Measure("job end to the next state, p95", 1, p95(went_on), "s", spread(went_on))
        yield Measure("state transitions of a run with one job", 6 + 2, max(transitions), "")

    def overhead(self, folder: Path) -> Measure:
        """Compare a job run with plain spark-submit of the same script on the same data, pair by pair."""
        sample = folder / "salaries.csv"
        write_salaries(sample)
        key = "landing/salaries/bench.csv"
        differences = []
        for _ in range(_PAIRS):
            finished = self.run(key, sample.read_bytes())
            differences.append((finished.job.duration_seconds or 0) - self._spark_submit(key, folder))
        note = f"seconds more than spark-submit: {spread(differences)}"
        return Measure("job run over plain spark-submit, median", 3, median(differences), "s", note)

    def _spark_submit(self, key: str, folder: Path) -> float:
        bucket = self._stack.bucket
        script = folder / "process_salaries.py"
        self._s3.download_file(bucket, "jobs/process_salaries.py", str(script))
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", f"local[{os.cpu_count()}]"]
        environment = {**os.environ, "SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": sys.executable}
        arguments = [str(script), f"s3://{bucket}/{key}", f"s3://{bucket}/output/bench", "--top", "10"]
        started = time.perf_counter()
        subprocess.run([*command, *_S3_FILE_SYSTEM, *arguments], env=environment, check=True, capture_output=True)
        return time.perf_counter() - started

    def _wait_for_execution(self) -> dict[str, Any]:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            newest = self._states.list_executions(stateMachineArn=self._stack.pipeline_state_machine_arn, maxResults=1)[
                "executions"
            ]
            if newest and newest[0]["name"] not in self._seen and newest[0]["status"] != "RUNNING":
                self._seen.add(newest[0]["name"])
                return dict(newest[0])
            time.sleep(0.05)
        raise SystemExit(f"No run ended within {_DEADLINE_SECONDS:.0f} seconds.")

    def _entered(self, execution_arn: str) -> list[tuple[str, float]]:
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        return [
            (event["stateEnteredEventDetails"]["name"], event["timestamp"].timestamp())
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]


def _epoch(iso_time: str) -> float:
    return datetime.fromisoformat(iso_time).astimezone(UTC).timestamp()
