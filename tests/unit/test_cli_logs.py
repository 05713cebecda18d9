import gzip
import json
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from unittest import mock

import boto3
import pytest
from emr_pipelines.gateways.run_record import RunRecord
from emr_pipelines.run import FAILED, Job
from hypothesis import given
from hypothesis import strategies as st

from emrp.driver_logs import driver_logs
from emrp.errors import EXIT_ENVIRONMENT, EXIT_USAGE
from emrp.stack import Stack
from tests.unit.conftest import Command
from tests.unit.test_cli_runs import at, job, recorded, save, start_execution

FOLDER = "logs/applications/app1/jobs/run1"
DRIVER = f"{FOLDER}/SPARK_DRIVER"
STEP: dict[str, Any] = {"request": {"Steps": [{}]}, "application_id": "j-1", "job_run_id": "s-1"}


@pytest.fixture
def bucket(aws: None) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    return client


def submitted(name: str = "process", state: str = "RUNNING", **values: Any) -> Job:
    linked = {"application_id": "app1", "job_run_id": "run1", "log_uri": "s3://bucket/logs/"}
    return job(name, ("SUBMITTED", 1), (state, 2), **{**linked, **values})


def put(bucket: Any, key: str, text: str) -> None:
    bucket.put_object(Bucket="bucket", Key=key, Body=gzip.compress(text.encode()))


def run_with(record: RunRecord, *jobs: Job, **values: Any) -> None:
    save(record, recorded(record, "salaries-1", **values), *jobs)


def ended(record: RunRecord, *jobs: Job) -> None:
    run_with(record, *jobs, state=FAILED, ended_at=at(9))


def test_output_is_printed_stream_by_stream_when_the_job_has_ended(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    ended(record, submitted(state="SUCCESS"))
    put(bucket, f"{DRIVER}/stdout.gz", "result\n")
    put(bucket, f"{DRIVER}/stderr.gz", "warning\n")
    put(bucket, f"{FOLDER}/SPARK_EXECUTOR/1/stdout.gz", "an executor's\n")

    assert emrp("logs", "salaries-1") == (0, "warning\nresult\n", "==> process stderr <==\n==> process stdout <==\n")
    assert emrp("logs", "salaries-1", "process", "--stdout")[1] == "result\n"
    assert emrp("logs", "salaries-1", "process", "--stderr")[1] == "warning\n"


def test_output_of_a_step_is_printed_when_the_job_has_run_on_a_cluster(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    ended(record, submitted(state="FAILED", **STEP))
    assert "nothing is in s3://bucket/logs/j-1/steps/s-1/" in emrp("logs", "salaries-1")[2]
    put(bucket, "logs/j-1/steps/s-1/stderr.gz", "Traceback\n")
    put(bucket, "logs/j-1/steps/s-1/controller.gz", "of EMR\n")
    put(bucket, "logs/j-1/node/i-1/stderr.gz", "of a node\n")

    assert emrp("logs", "salaries-1") == (0, "Traceback\n", "==> process stderr <==\n")


def test_reason_is_given_when_a_cluster_keeps_no_logs(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    ended(record, submitted(state="FAILED", log_uri=None, **STEP))

    assert "its cluster has no LogUri" in emrp("logs", "salaries-1")[2]


def test_only_failed_jobs_are_printed_when_no_job_is_named(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    fine = submitted("fine", "SUCCESS", job_run_id="run2")
    ended(record, fine, submitted("broken", "FAILED", position=1))
    put(bucket, f"{DRIVER}/stdout.gz", "broken\n")
    put(bucket, "logs/applications/app1/jobs/run2/SPARK_DRIVER/stdout.gz", "fine\n")

    assert emrp("logs", "salaries-1")[1] == "broken\n"
    assert emrp("logs", "salaries-1", "fine")[1] == "fine\n"


def test_attempts_are_told_apart_when_a_job_was_retried(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    ended(record, submitted(state="FAILED"))
    for attempt in (10, 2):
        put(bucket, f"{FOLDER}/attempts/{attempt}/SPARK_DRIVER/stdout.gz", f"try {attempt}\n")

    _, printed, _ = emrp("logs", "salaries-1", "--json")

    assert json.loads(printed) == {
        "runId": "salaries-1",
        "logs": [
            {"job": "process", "attempt": 2, "stream": "stdout", "text": "try 2\n"},
            {"job": "process", "attempt": 10, "stream": "stdout", "text": "try 10\n"},
        ],
    }


def test_all_iterations_are_printed_when_a_loop_is_named(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    loop = {"definition": "count", "loop": "count"}
    first = submitted("count.1", "SUCCESS", **loop)
    ended(record, first, submitted("count.2", "SUCCESS", **loop, job_run_id="run2", position=1))
    put(bucket, f"{DRIVER}/stdout.gz", "one\n")
    put(bucket, "logs/applications/app1/jobs/run2/SPARK_DRIVER/stdout.gz", "two\n")

    assert emrp("logs", "salaries-1", "count")[1] == "one\ntwo\n"


def test_output_of_hive_is_printed_when_the_application_is_of_hive(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    ended(record, submitted(state="SUCCESS"))
    put(bucket, f"{FOLDER}/HIVE_DRIVER/stdout.gz", "a row\n")

    assert emrp("logs", "salaries-1")[1] == "a row\n"


@pytest.mark.parametrize(
    ("the_job", "reason"),
    [
        (job("process", waiting_for=["clean"]), "it has not been submitted yet; it waits for clean."),
        (job("process"), "it has not been submitted yet; its application is being started."),
        (
            job("process", ("FAILED", 3), state_details="EMR said no"),
            "it was never submitted (FAILED: EMR said no).",
        ),
        (submitted(), f"it is RUNNING; EMR writes them to s3://bucket/{DRIVER}/ once the driver runs"),
        (submitted(state="FAILED"), f"nothing is in s3://bucket/{DRIVER}/; FAILED"),
        (submitted(log_uri=None), "get-dashboard-for-job-run --application-id app1 --job-run-id run1"),
    ],
    ids=["waiting", "first", "refused", "running", "expired", "managed storage"],
)
def test_reason_is_given_when_there_are_no_logs(
    the_job: Job, reason: str, emrp: Command, deployed: Stack, record: RunRecord, bucket: Any
) -> None:
    run_with(record, the_job)
    start_execution(deployed, "salaries-1", {})

    code, printed, complaint = emrp("logs", "salaries-1")

    assert (code, printed) == (EXIT_ENVIRONMENT, "")
    assert complaint.startswith(f"process has no logs: {reason}") or reason in complaint


def test_usage_is_wrong_when_a_document_is_to_be_followed(emrp: Command, deployed: Stack) -> None:
    assert emrp("logs", "salaries-1", "--follow", "--json")[0] == EXIT_USAGE


def test_what_comes_later_is_printed_when_logs_are_followed(
    emrp: Command, deployed: Stack, record: RunRecord, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with(record, job("process"))
    start_execution(deployed, "salaries-1", {})

    def submit() -> None:
        the_job = record.link_job_run(record.get_job("salaries-1", "process"), "app1", "run1")
        record.record_state(the_job, "RUNNING", at(2))

    def end() -> None:
        record.record_state(record.get_job("salaries-1", "process"), "FAILED", at(9), state_details="It broke.")

    save(record, recorded(record, "salaries-1"), job("process", log_uri="s3://bucket/logs/"))
    happens: Iterator[Callable[[], None]] = iter(
        [
            submit,
            lambda: put(bucket, f"{DRIVER}/stdout.gz", "one\n"),
            lambda: put(bucket, f"{DRIVER}/stdout.gz", "one\ntwo\n"),
            end,
            lambda: put(bucket, f"{DRIVER}/stdout.gz", "one\ntwo\nthree\n"),
        ]
    )
    monkeypatch.setattr(time, "sleep", lambda _: next(happens)())

    code, printed, said = emrp("logs", "salaries-1", "--follow")

    assert (code, printed) == (0, "one\ntwo\nthree\n")
    assert said.splitlines()[0].startswith("process has no logs: it has not been submitted yet")
    assert said.splitlines()[-1] == "process FAILED: It broke."


@pytest.mark.parametrize(
    ("request_", "attempts", "folder"),
    [
        ({}, 1, "SPARK_DRIVER"),
        ({"jobDriver": {"hive": {"query": "s3://bucket/a.sql"}}}, 1, "HIVE_DRIVER"),
        ({"retryPolicy": {"maxAttempts": 3}}, 2, "attempts/2/SPARK_DRIVER"),
        ({"retryPolicy": {"maxAttempts": 1}}, 1, "SPARK_DRIVER"),
        ({"mode": "STREAMING"}, None, "attempts/1/SPARK_DRIVER"),
    ],
)
def test_log_location_is_where_emr_writes_when_a_job_is_of_any_kind(
    request_: dict[str, Any], attempts: int | None, folder: str
) -> None:
    assert submitted(request=request_, attempts=attempts).log_location == f"s3://bucket/{FOLDER}/{folder}/"


@pytest.mark.parametrize("prefix", ["", "mine"])
def test_cloudwatch_is_tailed_when_the_job_logs_there(prefix: str, aws: None) -> None:
    cloudwatch = {"enabled": True, "logGroupName": "group", "logStreamNamePrefix": prefix}
    request = {"configurationOverrides": {"monitoringConfiguration": {"cloudWatchLoggingConfiguration": cloudwatch}}}
    source = driver_logs(submitted(request=request), ("stdout",), follow=True)
    assert source is not None
    assert list(source.read()) == []  # EMR has not made the log group yet

    client = boto3.client("logs")
    client.create_log_group(logGroupName="group")
    for stream in (
        f"{prefix}/applications/app1/jobs/run1/SPARK_DRIVER/stdout",
        f"{prefix}/applications/app1/jobs/run2",
    ):
        client.create_log_stream(logGroupName="group", logStreamName=stream)
    stream = f"{prefix}/applications/app1/jobs/run1/SPARK_DRIVER/stdout"

    def say(*lines: str) -> None:
        events = [{"timestamp": 1_795_262_400_000, "message": line} for line in lines]
        client.put_log_events(logGroupName="group", logStreamName=stream, logEvents=events)

    say("one", "two")
    first = b"".join(chunk.content for chunk in source.read())
    say("three")
    second = b"".join(chunk.content for chunk in source.read())

    assert (first, second) == (b"one\ntwo\n", b"three\n")
    assert list(source.read()) == []


def test_reason_is_given_when_a_run_has_no_jobs(emrp: Command, deployed: Stack, record: RunRecord) -> None:
    start_execution(deployed, "salaries-1", {})
    recorded(record, "salaries-1")
    planned_yet = emrp("logs", "salaries-1")
    record.end_run("salaries-1", FAILED, "InvalidPipelineError", "It is bad.")
    over = emrp("logs", "salaries-1")

    assert planned_yet[2].endswith("has no jobs yet, so it has no logs; `emrp show salaries-1` tells how far it is.\n")
    assert over[2].endswith("ended before it was planned, so it has no logs; `emrp show salaries-1` tells why.\n")


class FakeS3:
    """As much of S3 as reading logs takes, without moto's time."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_paginator(self, _operation: str) -> "FakeS3":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's names
        found = [{"Key": key, "ETag": str(hash(body))} for key, body in self.objects.items() if key.startswith(Prefix)]
        return [{"Contents": found}] if found else [{}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        return {"Body": BytesIO(gzip.compress(self.objects[Key]))}


@given(outputs=st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.booleans()), max_size=12))
def test_every_byte_is_read_once_when_files_grow_and_are_rotated(outputs: list[tuple[bytes, bool, bool]]) -> None:
    """EMR archives the latest file when it is large enough, and starts it anew."""
    s3 = FakeS3()
    with mock.patch.object(boto3, "client", return_value=s3):
        source = driver_logs(submitted(), ("stdout",), follow=True)
    assert source is not None
    read, latest, archived = b"", b"", 0
    for output, rotate, look in outputs:
        if rotate:
            s3.objects[f"{DRIVER}/archived/stdout_{archived}.gz"] = latest
            latest, archived = b"", archived + 1
        latest += output
        s3.objects[f"{DRIVER}/stdout.gz"] = latest
        if look:
            read += b"".join(chunk.content for chunk in source.read())
    read += b"".join(chunk.content for chunk in source.read())

    assert read == b"".join(output for output, _, _ in outputs)
