"""Lists of many things, a line for each: cut where a terminal ends; in a pipe or a file nothing is cut."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.console import Console, OverflowMethod
from rich.text import Text

from emrp.glyphs import glyphs

_GAP = 2  # between columns


@dataclass(frozen=True)
class Line:
    """What stands in the columns, and below them what went wrong."""

    cells: Sequence[str | Text]
    problem: str = ""


def print_lines(console: Console, headings: Sequence[str], lines: Sequence[Line]) -> None:
    """Print lines below headings; the last columns are left out where a terminal has no room for them."""
    cut: OverflowMethod = "ellipsis" if glyphs(console).is_unicode else "crop"
    room = console.width if console.is_terminal else sys.maxsize
    widths = [max(map(_length, column)) for column in zip(headings, *(line.cells for line in lines), strict=True)]
    starts = accumulate((width + _GAP for width in widths), initial=0)
    shown = sum(start + len(heading) <= room for start, heading in zip(starts, headings, strict=False))
    for line in [Line(headings), *lines]:
        row = Text()
        for cell, width in zip(line.cells[:shown], widths, strict=False):
            row.append(cell).append(" " * (width + _GAP - _length(cell)))
        row.rstrip()
        for text in [row, Text(f"  {line.problem}", "red")] if line.problem else [row]:
            text.truncate(room, overflow=cut)
            console.print(text, soft_wrap=True)


def _length(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else Text(cell).cell_len
