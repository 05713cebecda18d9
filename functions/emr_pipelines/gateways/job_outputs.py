"""The small JSON documents that job runs leave for the jobs after them."""

import json
from typing import Any

from emr_pipelines.errors import OutputUnavailableError, ResourceMissingError
from emr_pipelines.gateways.aws import client, translated_errors

_LARGEST_BYTES = 262_144


class JobOutputs:
    """Reads them from S3."""

    def __init__(self) -> None:
        self._s3 = client("s3")

    def read(self, job: str, uri: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return the output of a job; raises OutputUnavailableError when it is missing, too large or no JSON."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            with translated_errors():
                answer = self._s3.get_object(Bucket=bucket, Key=key)
                if answer["ContentLength"] > _LARGEST_BYTES:
                    raise OutputUnavailableError(job, uri, f"is larger than {_LARGEST_BYTES} bytes")
                return json.loads(answer["Body"].read())
        except ResourceMissingError as error:
            raise OutputUnavailableError(job, uri, "does not exist; the job must write it to job.outputUri") from error
        except ValueError as error:
            raise OutputUnavailableError(job, uri, f"is not JSON: {error}") from error
