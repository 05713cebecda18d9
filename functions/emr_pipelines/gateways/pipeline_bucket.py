"""The pipeline files in the bucket of the stack, and the reports beside those that are bad."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emr_pipelines.errors import ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

SUFFIXES = (".yaml", ".yml", ".json")

_PREFIX = "pipelines/"
_REPORT = ".errors"


@dataclass(frozen=True)
class StoredFile:
    """The text of a file; `version` is the S3 version id, or the ETag in an unversioned bucket."""

    key: str
    version: str
    text: str


@dataclass(frozen=True)
class PipelineFiles:
    """What the bucket holds for one pipeline: its files, the oldest first, and by key the reports on bad ones."""

    files: list[StoredFile]
    reports: dict[str, str]


class PipelineBucket:
    """Reads pipeline files; reads and writes reports."""

    def __init__(self, bucket: str) -> None:
        self._s3 = client("s3")
        self._bucket = bucket

    def list(self) -> list[str]:
        """Return the key of every pipeline file."""
        return [key for key in self._list(_PREFIX) if key.endswith(SUFFIXES)]

    def files_of(self, name: str) -> PipelineFiles:
        """Return what is there now for the pipeline `name`."""
        keys = [f"{_PREFIX}{name}{suffix}" for suffix in SUFFIXES]
        modified = self._list(f"{_PREFIX}{name}.")
        files = [self._find(key) for key in sorted(modified.keys() & keys, key=lambda key: (modified[key], key))]
        reports = {key: self._find(key + _REPORT) for key in keys if key + _REPORT in modified}
        return PipelineFiles(
            files=[file for file in files if file],
            reports={key: report.text for key, report in reports.items() if report},
        )

    def write_report(self, key: str, text: str) -> None:
        """Leave a report beside the file that it is about."""
        with translated_errors():
            self._s3.put_object(
                Bucket=self._bucket, Key=key + _REPORT, Body=text.encode(), ContentType="text/plain; charset=utf-8"
            )

    def delete_report(self, key: str) -> None:
        """Remove the report on a file."""
        with translated_errors():
            self._s3.delete_object(Bucket=self._bucket, Key=key + _REPORT)

    def _list(self, prefix: str) -> dict[str, Any]:
        with translated_errors():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return {item["Key"]: item["LastModified"] for page in pages for item in page.get("Contents", [])}

    def _find(self, key: str) -> StoredFile | None:
        try:
            with translated_errors():
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
                body = answer["Body"].read()
        except ResourceMissingError:  # deleted since it was listed
            return None
        return StoredFile(key, version_of(answer), body.decode(errors="replace"))


def name_of(key: str) -> str:
    """Return the name of the pipeline that a file is for."""
    return key.removeprefix(_PREFIX).rsplit(".", 1)[0]


def version_of(answer: Mapping[str, Any]) -> str:
    """Return the version that S3 tells of an object."""
    version = answer.get("VersionId", "null")  # "null" also while versioning is suspended
    return str(answer["ETag"].strip('"') if version == "null" else version)
