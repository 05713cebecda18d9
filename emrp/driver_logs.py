"""The output of a job's driver, read from where EMR puts it: below the log URI in S3, or in CloudWatch Logs.

The layout is EMR's: `applications/<id>/jobs/<id>/SPARK_DRIVER/stdout.gz`, with `attempts/<n>/` in between for jobs that
may be retried, and `archived/stdout_<n>.gz` for what was rotated away. EMR writes the latest file every 15 seconds.
A cluster has `<cluster id>/steps/<step id>/stdout.gz`, every five minutes.
"""

import gzip
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

import boto3
from botocore.exceptions import ClientError
from emr_pipelines.run import Job

_DEFAULT_LOG_GROUP = "/aws/emr-serverless"
_CHUNK = 1 << 16
_FILE = re.compile(
    r"(?:attempts/(?P<attempt>\d+)/)?(?:(?:SPARK|HIVE)_DRIVER|steps/[^/]+)/(?:archived/)?(?P<name>stdout|stderr)"
    r"(?:_(?P<index>\d+))?(?:\.gz)?$",
    re.IGNORECASE,
)


class Chunk(NamedTuple):
    """Some output that has not been read before, and which stream of which job it belongs to."""

    job: str
    attempt: int | None
    stream: str
    content: bytes

    @property
    def title(self) -> str:
        """Say what it is the output of."""
        return f"{self.job} {self.stream}{f', attempt {self.attempt}' if self.attempt else ''}"


class DriverLogs(Protocol):
    """The logs of one job run."""

    def read(self) -> Iterator[Chunk]:
        """Yield what is new since the last time."""
        ...


def driver_logs(job: Job, streams: Collection[str], *, follow: bool) -> DriverLogs | None:
    """Return the logs of a job, or None when it keeps none where they can be read.

    S3 has all of them, also when CloudWatch has forgotten them; CloudWatch has them sooner.
    """
    if job.job_run_id is None:
        return None
    cloudwatch = _monitoring(job).get("cloudWatchLoggingConfiguration", {})
    if cloudwatch.get("enabled") and (follow or not job.log_uri):
        return _CloudWatchLogs(job, streams, cloudwatch)
    return _S3Logs(job, streams, job.log_uri) if job.log_uri else None


def _monitoring(job: Job) -> dict[str, Any]:
    monitoring = job.request.get("configurationOverrides", {}).get("monitoringConfiguration", {})
    return cast(dict[str, Any], monitoring)


def _folder(job: Job) -> str:
    if job.on_cluster:
        return f"{job.application_id}/steps/{job.job_run_id}/"
    return f"applications/{job.application_id}/jobs/{job.job_run_id}/"


@dataclass
class _Stream:
    """The files of one stream, one after the other; `read` of its bytes have been read."""

    read: int = 0
    sizes: dict[tuple[int, tuple[str, str]], int] = field(default_factory=dict)  # unpacked, by start, key and ETag


class _S3Logs:
    def __init__(self, job: Job, streams: Collection[str], log_uri: str) -> None:
        self._job = job
        self._wanted = streams
        self._s3 = boto3.client("s3")
        self._bucket, _, prefix = log_uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/{_folder(job)}".lstrip("/")
        self._streams: dict[tuple[int, str], _Stream] = defaultdict(_Stream)

    def read(self) -> Iterator[Chunk]:
        """Yield what is new since the last time."""
        for (attempt, name), files in sorted(self._files().items()):
            stream = self._streams[attempt, name]
            for content in self._new(stream, [version for _, version in sorted(files)]):
                yield Chunk(self._job.name, attempt or None, name, content)

    def _files(self) -> dict[tuple[int, str], list[tuple[float, tuple[str, str]]]]:
        """Return key and ETag of each stream's files; the archived ones have an index, the latest comes last."""
        files = defaultdict(list)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for item in (item for page in pages for item in page.get("Contents", [])):
            found = _FILE.search(item["Key"])
            if found and found["name"].lower() in self._wanted:
                index = float(found["index"] or "inf")
                files[int(found["attempt"] or 0), found["name"].lower()].append((index, (item["Key"], item["ETag"])))
        return files

    def _new(self, stream: _Stream, files: list[tuple[str, str]]) -> Iterator[bytes]:
        start = 0
        for version in files:
            if (start, version) not in stream.sizes:
                size = 0
                with gzip.open(self._s3.get_object(Bucket=self._bucket, Key=version[0])["Body"]) as content:
                    while chunk := content.read(_CHUNK):
                        new = chunk[max(0, stream.read - start - size) :]
                        size += len(chunk)
                        stream.read += len(new)
                        if new:
                            yield new
                stream.sizes[start, version] = size
            start += stream.sizes[start, version]


class _CloudWatchLogs:
    def __init__(self, job: Job, streams: Collection[str], configuration: dict[str, Any]) -> None:
        self._job = job
        self._wanted = streams
        self._logs = boto3.client("logs")
        self._group = configuration.get("logGroupName", _DEFAULT_LOG_GROUP)
        self._prefix = f"{configuration.get('logStreamNamePrefix', '')}/{_folder(job)}"
        self._tokens: dict[str, dict[str, str]] = defaultdict(dict)

    def read(self) -> Iterator[Chunk]:
        """Yield what is new since the last time."""
        for stream in self._stream_names():
            found = _FILE.search(stream)
            if found and found["name"].lower() in self._wanted:
                attempt = int(found["attempt"]) if found["attempt"] else None
                for content in self._new(stream):
                    yield Chunk(self._job.name, attempt, found["name"].lower(), content)

    def _stream_names(self) -> list[str]:
        pages = self._logs.get_paginator("describe_log_streams").paginate(
            logGroupName=self._group, logStreamNamePrefix=self._prefix
        )
        try:
            return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return []  # EMR makes the group with the first output
            raise

    def _new(self, stream: str) -> Iterator[bytes]:
        while True:
            token = self._tokens[stream]
            answer = self._logs.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=True, **token
            )
            self._tokens[stream] = {"nextToken": answer["nextForwardToken"]}
            if answer["events"]:
                yield "".join(f"{event['message']}\n" for event in answer["events"]).encode()
            if self._tokens[stream] == token:  # the end, as CloudWatch says it
                return
