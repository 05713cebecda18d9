"""What can start a run: a message of the trigger queue, the runs it asks for and their names."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emr_pipelines.errors import InvalidTriggerError
from emr_pipelines.yaml_document import parse_yaml

_DIGEST_CHARACTERS = 24


@dataclass(frozen=True)
class Upload:
    """An object that was created in the bucket."""

    bucket: str
    key: str
    size: int
    version_id: str
    sequencer: str
    time: str

    def as_trigger(self) -> dict[str, Any]:
        """Return what templates see as `trigger`."""
        return {
            "type": "upload",
            "uri": f"s3://{self.bucket}/{self.key}",
            "bucket": self.bucket,
            "key": self.key,
            "size": self.size,
            "versionId": self.version_id,
            "time": self.time,
        }

    def run_name(self, pipeline: str) -> str:
        """Return the execution name: the same upload always gives the same one, another never does.

        S3 may deliver an event more than once; a new version of the key has a new sequencer.
        """
        cause = json.dumps(["upload", self.bucket, self.key, self.version_id, self.sequencer])
        return f"{pipeline}-{hashlib.sha256(cause.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"


@dataclass(frozen=True)
class UploadRule:
    """A prefix and a suffix under `triggers.uploads` of a pipeline file."""

    prefix: str
    suffix: str = ""

    def matches(self, upload: Upload) -> bool:
        """Tell whether an upload starts a run; folder markers never do."""
        return upload.key.startswith(self.prefix) and upload.key.endswith(self.suffix) and not upload.key.endswith("/")


def parse_message(body: str) -> Upload:
    """Read an EventBridge "Object Created" event as SQS delivers it; raises InvalidTriggerError."""
    try:
        event = json.loads(body)
        if event["source"] != "aws.s3" or event["detail-type"] != "Object Created":
            raise InvalidTriggerError(f"Nothing can start from {event['source']} {event['detail-type']!r}.")
        created = event["detail"]["object"]
        return Upload(
            bucket=event["detail"]["bucket"]["name"],
            key=created["key"],
            size=created.get("size", 0),
            version_id=created.get("version-id", ""),
            sequencer=created.get("sequencer", ""),
            time=event["time"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidTriggerError(f"Not an S3 event of EventBridge: {error!r}") from error


def upload_rules(text: str) -> Sequence[UploadRule] | None:
    """Return the upload rules of a pipeline file, or None when they cannot be read.

    Only the rules are looked at: whatever else is wrong with the file fails the run, where people see it.
    """
    try:
        triggers = parse_yaml(text).data.get("triggers", {})
        return [UploadRule(rule["prefix"], rule.get("suffix", "")) for rule in triggers.get("uploads", [])]
    except (AttributeError, KeyError, TypeError):
        return None
