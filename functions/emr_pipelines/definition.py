"""A pipeline as planning takes it: what a checked pipeline file says, with every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INLINE = "the definition in the input of the execution"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A pipeline file that has passed every check.

    `data` has the file's own structure, every default filled in. `lines` tells on which line a path like
    `jobs[0].name` stands. `version` is the S3 version id of the file, or its ETag in an unversioned bucket.
    """

    name: str
    file: str
    version: str
    data: dict[str, Any]
    lines: dict[str, int]

    def line_of(self, path: str) -> int | None:
        """Return the line of a path, or of the nearest thing around it that is in the file."""
        return nearest_line(self.lines, path)


def nearest_line(lines: Mapping[str, int], path: str) -> int | None:
    """Return the line of a path like `jobs[0].name`, or of the nearest thing around it that has one."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)
