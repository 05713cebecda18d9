"""Texts that lie in S3."""

from emr_pipelines.errors import RequestRefusedError
from emr_pipelines.gateways.aws import client, translated_errors

_MOST_BYTES = 1 << 20  # more than any of AWS's limits for what is read here


class S3Texts:
    """Reads them."""

    def __init__(self) -> None:
        self._s3 = client("s3")

    def read(self, uri: str) -> str:
        """Return the text at an s3:// address; refused when it is none."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with translated_errors():
            content: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read(_MOST_BYTES)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise RequestRefusedError("GetObject", "NoText", f"{uri} is no text: {error}") from error
