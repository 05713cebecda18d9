"""The manifests of batches in the bucket of the stack: which files a run is for."""

import json

from emr_pipelines.gateways.aws import client, translated_errors
from emr_pipelines.triggers import Upload


class Manifests:
    """Writes manifests to `output/<pipeline>/_manifests/<run>.json`, a list with one object for each file."""

    def __init__(self, bucket: str) -> None:
        self._s3 = client("s3")
        self._bucket = bucket

    def put(self, pipeline: str, run_id: str, uploads: list[Upload]) -> str:
        """Write the manifest of a run and return its URI; the same again when it is repeated."""
        key = f"output/{pipeline}/_manifests/{run_id}.json"
        files = [
            {"uri": upload.uri, "size": upload.size, "versionId": upload.version_id, "time": upload.time}
            for upload in uploads
        ]
        with translated_errors():
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=json.dumps(files).encode(), ContentType="application/json"
            )
        return f"s3://{self._bucket}/{key}"
