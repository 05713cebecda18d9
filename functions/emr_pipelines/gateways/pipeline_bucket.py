"""The pipeline files in the bucket of the stack."""

from dataclasses import dataclass

from emr_pipelines.errors import PipelineNotFoundError, ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

_PREFIX = "pipelines/"
_SUFFIXES = (".yaml", ".yml", ".json")
_REPORT = ".errors"


@dataclass(frozen=True)
class StoredFile:
    """The text of a pipeline file; `version` is the S3 version id, or the ETag in an unversioned bucket."""

    key: str
    version: str
    text: str

    @property
    def name(self) -> str:
        """The name that the pipeline must have."""
        return self.key.removeprefix(_PREFIX).rsplit(".", 1)[0]


@dataclass(frozen=True)
class PipelineFiles:
    """What the bucket holds for one pipeline: its files, the oldest first, and by key the reports on bad ones."""

    files: list[StoredFile]
    reports: dict[str, str]


class PipelineBucket:
    """Reads pipeline files, and reads each version only once."""

    def __init__(self, bucket: str) -> None:
        self._s3 = client("s3")
        self._bucket = bucket
        self._read: dict[str, tuple[str, StoredFile]] = {}

    def read(self, name: str) -> StoredFile:
        """Return the file of the pipeline `name`; raises PipelineNotFoundError, which lists the names there are."""
        for suffix in _SUFFIXES:
            try:
                return self._get(f"{_PREFIX}{name}{suffix}")
            except ResourceMissingError:
                continue
        raise PipelineNotFoundError(name, [key_name(key) for key, _ in self._list()])

    def files_of(self, name: str) -> PipelineFiles:
        """Return what is there now for the pipeline `name`."""
        keys = [f"{_PREFIX}{name}{suffix}" for suffix in _SUFFIXES]
        with translated_errors():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{_PREFIX}{name}.")
            present = {item["Key"]: item["LastModified"] for page in pages for item in page.get("Contents", [])}
        found = [
            self._find(key) for key in sorted(keys, key=lambda key: (str(present.get(key)), key)) if key in present
        ]
        reports = {key: self._find(key + _REPORT) for key in keys if key + _REPORT in present}
        return PipelineFiles(
            files=[file for file in found if file],
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

    def read_all(self) -> list[StoredFile]:
        """Return every pipeline file."""
        files = []
        for key, etag in self._list():
            cached = self._read.get(key)
            if cached is None or cached[0] != etag:
                try:
                    cached = (etag, self._get(key))
                except ResourceMissingError:  # deleted since it was listed
                    continue
                self._read[key] = cached
            files.append(cached[1])
        return files

    def _list(self) -> list[tuple[str, str]]:
        with translated_errors():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_PREFIX)
            objects = [item for page in pages for item in page.get("Contents", [])]
        return [(item["Key"], item["ETag"]) for item in objects if item["Key"].endswith(_SUFFIXES)]

    def _find(self, key: str) -> StoredFile | None:
        try:
            return self._get(key)
        except ResourceMissingError:  # deleted since it was listed
            return None

    def _get(self, key: str) -> StoredFile:
        with translated_errors():
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            body = answer["Body"].read()
        version = answer.get("VersionId", "null")  # "null" also while versioning is suspended
        if version == "null":
            version = answer["ETag"].strip('"')
        return StoredFile(key, version, body.decode(errors="replace"))


def key_name(key: str) -> str:
    """Return the pipeline name that a key stands for."""
    return StoredFile(key, "", "").name
