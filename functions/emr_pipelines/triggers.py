"""What can start a run: the messages of the trigger queue, the pipelines they are for, and the names of their runs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, Self

from emr_pipelines.errors import InvalidTriggerError

_DIGEST_CHARACTERS = 24
# What a deployment or a run writes; the rule of the stack keeps it from the queue, too.
_OWN_PREFIXES = ("jobs/", "logs/", "output/", "pipelines/")
# What Hadoop writes on its way to a result, and the markers by which tools show folders.
_TEMPORARY = "_temporary"
_FOLDER_MARKERS = ("/", "_$folder$")


@dataclass(frozen=True)
class Upload:
    """An object that was created in the bucket."""

    bucket: str
    key: str
    size: int
    version_id: str
    sequencer: str
    time: str

    @property
    def uri(self) -> str:
        """Where the object is."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def cause(self) -> tuple[str, ...]:
        """The same for every delivery of the upload: a new version of the key has a new sequencer."""
        return ("upload", self.bucket, self.key, self.version_id, self.sequencer)

    @property
    def is_data(self) -> bool:
        """Tell whether somebody may have meant to upload this."""
        return (
            not self.key.startswith(_OWN_PREFIXES)
            and not self.key.endswith(_FOLDER_MARKERS)
            and _TEMPORARY not in self.key.split("/")
        )

    def as_trigger(self) -> dict[str, Any]:
        """Return what templates see as `trigger`."""
        return {
            "type": "upload",
            "uri": self.uri,
            "bucket": self.bucket,
            "key": self.key,
            "size": self.size,
            "versionId": self.version_id,
            "time": self.time,
        }


@dataclass(frozen=True, kw_only=True)
class Request:
    """A message that names the pipeline to run: a tick of a schedule, an SNS message or an event.

    `trigger` is what templates see. `cause` is the same for every delivery of the same message.
    """

    pipeline: str
    trigger: dict[str, Any]
    cause: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        """The name of the execution that the message starts."""
        return run_name(self.pipeline, self.cause)

    @property
    def run_input(self) -> dict[str, Any]:
        """The input of that execution."""
        return {"pipeline": self.pipeline, "trigger": self.trigger, "parameters": self.parameters}


@dataclass(frozen=True, kw_only=True)
class Collection:
    """The uploads that a rule with `batch` collects for a pipeline; the rule's prefix and suffix tell them apart."""

    pipeline: str
    prefix: str
    suffix: str
    max_files: int

    @property
    def name(self) -> str:
        """The name under which the uploads wait."""
        return f"{self.pipeline}-{digest((self.prefix, self.suffix))}"


@dataclass(frozen=True)
class Flush:
    """The message that `start_pipeline` leaves for later: a collected file has waited long enough."""

    collection: Collection
    file: str

    def as_message(self) -> dict[str, Any]:
        """Return the message that `parse_message` reads."""
        return {
            "batch": {
                "pipeline": self.collection.pipeline,
                "prefix": self.collection.prefix,
                "suffix": self.collection.suffix,
                "maxFiles": self.collection.max_files,
                "file": self.file,
            }
        }


@dataclass(frozen=True)
class UploadRule:
    """An entry below `triggers.uploads` of a pipeline file; without `max_files` each upload starts a run."""

    prefix: str
    suffix: str = ""
    max_files: int | None = None
    max_wait_seconds: int = 0

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Self:
        """Read an entry of a checked pipeline file."""
        batch = entry.get("batch") or {}
        return cls(entry["prefix"], entry.get("suffix", ""), batch.get("maxFiles"), batch.get("maxWaitSeconds", 0))

    def matches(self, upload: Upload) -> bool:
        """Tell whether the rule is for an upload."""
        return upload.is_data and upload.key.startswith(self.prefix) and upload.key.endswith(self.suffix)

    def collection(self, pipeline: str) -> Collection | None:
        """Return where uploads for the pipeline are collected, or None when each starts a run at once."""
        if self.max_files is None:
            return None
        return Collection(pipeline=pipeline, prefix=self.prefix, suffix=self.suffix, max_files=self.max_files)


def run_name(pipeline: str, cause: Sequence[str]) -> str:
    """Return the name of the execution that a cause leads to: the same cause always gives the same one."""
    return f"{pipeline}-{digest(cause)}"


def digest(cause: Sequence[str]) -> str:
    """Return a short text that no other cause has."""
    return hashlib.sha256(json.dumps(list(cause)).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def parse_message(body: str) -> Upload | Request | Flush:
    """Read a message of the trigger queue; raises InvalidTriggerError with the reason."""
    match _json(body):
        case {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "time": str(time),
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)} as created},
        }:
            size, version_id = created.get("size", 0), created.get("version-id", "")
            return Upload(bucket, key, size, version_id, created.get("sequencer", ""), time)
        case {"schedule": {"pipeline": str(pipeline), "scheduledTime": str(time), "digest": str()} as tick, **more}:
            return _tick(pipeline, time, tick, more.get("parameters"))
        case {"Type": "Notification", "MessageId": str(message_id), "Message": str(text)} as envelope:
            return _requested(message_id, text, envelope)
        case {"pipeline": str(pipeline), "event": {"id": str(event_id)} as event, **more}:
            return Request(
                pipeline=pipeline,
                trigger={"type": "event", "time": event.get("time"), "event": event},
                cause=("event", event_id),
                parameters=_parameters(pipeline, "event", more.get("parameters")),
            )
        case {
            "batch": {
                "pipeline": str(pipeline),
                "prefix": str(prefix),
                "suffix": str(suffix),
                "maxFiles": int(max_files),
                "file": str(file),
            }
        }:
            return Flush(Collection(pipeline=pipeline, prefix=prefix, suffix=suffix, max_files=max_files), file)
    raise InvalidTriggerError(
        "it is none of the messages that start a pipeline: "
        "an S3 event, a tick of a schedule, an SNS message, or the event of a rule"
    )


def _tick(pipeline: str, scheduled_time: str, tick: dict[str, Any], parameters: object) -> Request:
    try:
        moment = datetime.fromisoformat(scheduled_time).astimezone(UTC)
    except ValueError as error:
        raise InvalidTriggerError(f"scheduledTime is not a time: {scheduled_time!r}", "schedule", pipeline) from error
    time = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Request(
        pipeline=pipeline,
        trigger={"type": "schedule", "scheduledTime": time, "expression": tick.get("expression")},
        cause=("schedule", time, tick["digest"]),
        parameters=_parameters(pipeline, "schedule", parameters),
    )


def _requested(message_id: str, text: str, envelope: dict[str, Any]) -> Request:
    match _json(text, "message"):
        case {"pipeline": str(pipeline), **more}:
            return Request(
                pipeline=pipeline,
                trigger={
                    "type": "message",
                    "messageId": message_id,
                    "time": envelope.get("Timestamp"),
                    "topicArn": envelope.get("TopicArn"),
                },
                cause=("message", message_id),
                parameters=_parameters(pipeline, "message", more.get("parameters")),
            )
    raise InvalidTriggerError('the message is not like {"pipeline": "salaries", "parameters": {"top": 5}}', "message")


def _parameters(pipeline: str, source: str, given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidTriggerError(f"parameters must be a mapping, not {json.dumps(given)}", source, pipeline)
    return given


def _json(text: str, source: str = "unknown") -> Any:  # noqa: ANN401 - whatever somebody sent
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidTriggerError(f"it is not JSON: {error}", source) from error


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which no JSON has and Step Functions refuses."""
    raise ValueError(f"{constant} is not a value")
