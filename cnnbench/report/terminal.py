"""Table -> aligned plain text. Never cuts a name; a narrow terminal wraps."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from cnnbench.report import cells

if TYPE_CHECKING:
    from cnnbench.report.table import Table


def render(table: Table) -> str:
    """Captions, header, a rule, rows, notes."""
    body = [[inert(cell) for cell in row] for row in cells.texts(table)]
    header = [inert(column.title) for column in table.columns]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    right = [cells.numeric(column) for column in table.columns]
    lines = [inert(caption) for caption in table.captions]
    lines += ["", _line(header, widths, right), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths, right) for row in body]
    if table.notes:
        lines += ["", *(inert(note) for note in table.notes)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _line(row: list[str], widths: list[int], right: list[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def inert(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
