"""How the logs of drivers end, read from where EMR Serverless puts them in S3."""

import gzip
import time
import zlib

from botocore.config import Config
from botocore.exceptions import BotoCoreError

from emr_pipelines.errors import EmrPipelinesError
from emr_pipelines.gateways.aws import client, translated_errors

# A notification does not wait for its log: the mail then says where it will be.
_HASTY = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})
_DEADLINE_SECONDS = 15
_CHUNK = 1 << 16
_TAIL = 1 << 15
_MOST_BYTES = 1 << 26  # unpacked; the end of a longer log would take too long to get at


class LogTails:
    """Reads them; what cannot be read in time is None."""

    def __init__(self) -> None:
        self._s3 = client("s3", _HASTY)

    def read(self, folders: dict[str, str | None]) -> dict[str, str | None]:
        """Return how the log of each job ends, by the folders of their logs: what went to stdout, then stderr."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        return {job: self._tail(folder, deadline) if folder else None for job, folder in folders.items()}

    def _tail(self, folder: str, deadline: float) -> str | None:
        bucket, _, prefix = folder.removeprefix("s3://").partition("/")
        # An exception is in stderr; what a program prints of its own is as often in stdout.
        streams = [self._file(bucket, f"{prefix}{name}.gz", deadline) for name in ("stdout", "stderr")]
        told = [text for text in streams if text is not None]
        return "\n".join(told) if told else None

    def _file(self, bucket: str, key: str, deadline: float) -> str | None:
        if time.monotonic() > deadline:
            return None
        try:
            with translated_errors():
                body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
            with gzip.open(body) as content:
                return _end_of(content, deadline)
        # Not there yet, not ours to read, or being written.
        except (EmrPipelinesError, BotoCoreError, OSError, EOFError, zlib.error):
            return None


def _end_of(content: gzip.GzipFile, deadline: float) -> str | None:
    tail, size = b"", 0
    while chunk := content.read(_CHUNK):
        tail = (tail + chunk)[-_TAIL:]
        size += len(chunk)
        if size > _MOST_BYTES or time.monotonic() > deadline:
            return None
    return tail.decode(errors="replace")
