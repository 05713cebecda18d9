"""The main job with the sample data, on any AWS: upload, find the run that this starts, read back and check its result.

`emrp demo` does it on this machine, `emrp smoke` in a real account.
"""

import csv
import gzip
import io
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from emr_pipelines.run import Job
from rich.table import Table

from emrp.errors import RunFailedError
from emrp.follow import Picture, RunFollower
from emrp.progress import Stages
from emrp.sample_data import write_salaries
from emrp.stack import Stack
from emrp.watch import show_run

KEY = "landing/salaries/salaries.csv"
_HEADER = ["job_title", "maximum_salary", "minimum_salary", "count"]
_SHOWN_ROWS = 10
_SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Pace:
    """How fast things are expected to go: quick on this machine, unhurried in the cloud."""

    run_starts_seconds: float
    look_seconds: float


@dataclass(frozen=True)
class Upload:
    """The sample file as it now is in the bucket."""

    bucket: str
    key: str
    version_id: str

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"s3://{self.bucket}/{self.key}"

    def started(self, run_input: dict[str, Any]) -> bool:
        """Tell whether a run with this input was started by the upload."""
        trigger = run_input.get("trigger") or {}
        # An event without a version is that of a bucket without versions, or of the local S3, which leaves it out.
        return trigger.get("uri") == self.uri and trigger.get("versionId") in {None, "", self.version_id}


def upload_sample(stack: Stack, file: Path) -> Upload:
    """Put the sample file where the pipeline waits for it."""
    with file.open("rb") as body:
        answer = boto3.client("s3").put_object(Bucket=stack.bucket, Key=KEY, Body=body, ContentType="text/csv")
    return Upload(stack.bucket, KEY, answer.get("VersionId", ""))


def find_run(stack: Stack, upload: Upload, within_seconds: float) -> str:
    """Return the id of the run that the upload starts; raises RunFailedError when it starts none in time."""
    states = boto3.client("stepfunctions")
    looked_at: set[str] = set()
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        found = states.list_executions(stateMachineArn=stack.pipeline_state_machine_arn, maxResults=20)["executions"]
        for execution in found:
            if execution["executionArn"] in looked_at:
                continue
            looked_at.add(execution["executionArn"])
            described = states.describe_execution(executionArn=execution["executionArn"])
            if upload.started(json.loads(described["input"])):
                return execution["name"]
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise RunFailedError(
        f"The upload of {upload.uri} started no run within {within_seconds:.0f} seconds: look at the log of the "
        f"function start_pipeline and at the dead-letter queue {stack.trigger_dead_letter_queue_url}."
    )


def run_sample(stages: Stages, stack: Stack, pace: Pace) -> Picture:
    """Upload the sample, follow the run that it starts to its end, and show its result.

    Raises RunFailedError when no run starts, or when one succeeds with a wrong result or none.
    """
    console = stages.console
    with TemporaryDirectory(prefix="emrp-") as folder:
        sample = Path(folder) / "salaries.csv"
        with stages.stage("Upload the sample, find the run that it starts"):
            write_salaries(sample)
            upload = upload_sample(stack, sample)
            run_id = find_run(stack, upload, pace.run_starts_seconds)
        console.print(f"\n{upload.uri} started the run {run_id}", markup=False, soft_wrap=True)
        with stages.quiet_stage("Run the pipeline"):
            picture = show_run(console, RunFollower(stack, run_id), pace.look_seconds)
        if picture.succeeded and picture.run and picture.run.output:
            rows = read_result(picture.run.output)
            check_result(rows, sample)
            console.print(f"\n[bold]Result[/bold] in {picture.run.output}", soft_wrap=True)
            console.print(_as_table(rows))
    return picture


def read_result(output: str) -> list[list[str]]:
    """Read the rows (the header first) of the CSV files below `output`; raises RunFailedError when there are none."""
    rows: list[list[str]] = []
    for _, body in _objects(output, ".csv"):
        lines = list(csv.reader(io.StringIO(body.decode())))
        rows += lines[1:] if rows else lines
    if len(rows) < 2:  # noqa: PLR2004 - the header and something below it
        raise RunFailedError(f"The run succeeded, but there is no result in {output}.")
    return rows


def check_result(rows: Sequence[Sequence[str]], sample: Path) -> None:
    """Compare the result with what the sample really contains, computed without Spark."""
    salaries: dict[str, list[int]] = defaultdict(list)
    with sample.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            salaries[row["job_title"]].append(int(row["salary_in_usd"]))
    expected = {(title, float(max(values)), float(min(values)), len(values)) for title, values in salaries.items()}
    header, *body = rows
    if list(header) != _HEADER:
        raise RunFailedError(f"The result has the columns {', '.join(header)} instead of {', '.join(_HEADER)}.")
    for title, maximum, minimum, count in body:
        if (title, float(maximum), float(minimum), int(count)) not in expected:
            raise RunFailedError(f"The result is wrong for {title!r}: {maximum}, {minimum}, {count}.")


def save_logs(jobs: Iterable[Job], folder: Path) -> list[Path]:
    """Copy the driver logs of jobs into a folder, unpacked, and return the files."""
    saved = []
    for job in jobs:
        for key, body in _objects(job.log_location or "", ".gz"):
            file = folder / job.name / Path(key).stem
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.decompress(body))
            saved.append(file)
    return saved


def _objects(uri: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield key and content of the objects below an s3:// address whose keys have a suffix."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        return
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/"):
        for item in page.get("Contents", []):
            if item["Key"].endswith(suffix):
                yield item["Key"], s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()


def _as_table(rows: Sequence[Sequence[str]]) -> Table:
    header, *body = rows
    table = Table()
    for position, name in enumerate(header):
        table.add_column(name, justify="right" if position else "left")
    for row in body[:_SHOWN_ROWS]:
        table.add_row(*row)
    return table
