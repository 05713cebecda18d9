"""Where the logs of a cluster go: below its LogUri, laid out and compressed as EMR does it.

<LogUri>/<cluster>/steps/<step>/{controller,stderr,stdout,syslog}.gz
<LogUri>/<cluster>/node/<instance>/bootstrap-actions/<number>/{controller,stderr,stdout}.gz
"""

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from emrp.local.emr_on_ec2.records import Record

REFRESH_SECONDS = 15.0
PutObject = Callable[[str, str, bytes, str], Awaitable[None]]

log = logging.getLogger(__name__)


class Logs:
    """The logs of one step or bootstrap action; what nobody has a LogUri for is not kept."""

    def __init__(self, cluster: Record, folder: str, put_object: PutObject, role_arn: str) -> None:
        uri = urlsplit(cluster.get("LogUri", ""))
        self._bucket = uri.netloc
        self._folder = f"{uri.path.strip('/')}/{cluster['Id']}/{folder}".lstrip("/")
        self._put_object = put_object
        self._role_arn = role_arn
        self._controller: list[str] = []

    def note(self, line: str) -> None:
        """Add a line to the log of what EMR itself does."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._controller.append(f"{moment} INFO {line}\n")

    def uri(self, name: str) -> str:
        """Return where a log is; empty if it is not kept."""
        return f"s3://{self._bucket}/{self._folder}/{name}.gz" if self._bucket else ""

    async def deliver_regularly(self, outputs: Mapping[str, Path]) -> None:
        """Refresh the logs until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.deliver(outputs)

    async def deliver(self, outputs: Mapping[str, Path]) -> None:
        """Store what there is by now of the outputs of a process, by name."""
        if not self._bucket:
            return
        contents = {"controller": "".join(self._controller).encode()}
        for name, path in outputs.items():
            contents[name] = await asyncio.to_thread(_read, path)
        await self._store(contents)

    async def deliver_text(self, stderr: str) -> None:
        """Store the logs of what did not come to run, with what there is to say."""
        await self._store({"controller": "".join(self._controller).encode(), "stderr": f"{stderr}\n".encode()})

    async def _store(self, contents: Mapping[str, bytes]) -> None:
        if not self._bucket:
            return
        for name, content in contents.items():
            key = f"{self._folder}/{name}.gz"
            try:
                await self._put_object(self._bucket, key, gzip.compress(content, mtime=0), self._role_arn)
            except OSError as error:
                log.warning("The log s3://%s/%s could not be delivered: %s", self._bucket, key, error)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
