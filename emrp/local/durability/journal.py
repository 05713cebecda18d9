"""The journal: batches of changes in a file, each on a line of its own with a checksum.

A batch is there as a whole or not at all: what a kill has torn off the end is not read. Files are numbered; a new one
begins when ministack saves its whole state, and the older ones go when that is done.
"""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from ministack.core.persistence import _json_default, _json_object_hook

Change = list[Any]
"""Service, store, key, part of the entry ("" for its rest), and the value; without a value it is gone."""


class Journal:
    """The files of one server's journal, in the order in which they were written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None

    def read(self) -> Iterator[Change]:
        """Yield every change of every whole batch, oldest first."""
        for path in self._paths():
            for line in path.read_bytes().splitlines(keepends=True):
                if not _is_whole(line):
                    break
                yield from json.loads(line[9:], object_hook=_json_object_hook)

    def begin(self) -> list[Path]:
        """Write to a new file from now on; returns the older ones."""
        older = self._paths()
        self._folder.mkdir(parents=True, exist_ok=True)
        number = int(older[-1].stem) + 1 if older else 1
        path = self._folder / f"{number:06}.journal"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file is not None:
            os.close(self._file)
        self._file = file
        return older

    def append(self, batch: Sequence[str]) -> None:
        """Write the changes of a batch, each as `encoded`; all of them or, with an exception, none."""
        if self._file is None:
            raise ValueError("The journal has not begun.")
        line = _line(f"[{','.join(batch)}]".encode())
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            written = os.write(self._file, line)
        except OSError:
            written = 0
            raise
        finally:
            if written < len(line):
                os.ftruncate(self._file, end)
                os.lseek(self._file, end, os.SEEK_SET)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.journal"))


def encoded(change: Change) -> str:
    """Return a change as it is written."""
    return json.dumps(change, default=_json_default)


def _is_whole(line: bytes) -> bool:
    return line == _line(line[9:-1])


def _line(text: bytes) -> bytes:
    return b"%08x %b\n" % (crc32(text), text)
