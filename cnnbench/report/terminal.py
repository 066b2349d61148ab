"""Table -> aligned plain text. Never cuts a name; a narrow terminal wraps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.inert import inert, lines
from cnnbench.report import cells
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from cnnbench.report.table import Column, Table, Value

_RED, _GREEN, _YELLOW = "31", "32", "33"
_STATUS = {"loose": _YELLOW, "unchecked": _YELLOW, "wrong": _RED, "failed": _RED}


def render(table: Table, *, colour: bool = False) -> str:
    """Captions, header, a rule, rows, notes.

    Args:
        table: what to show.
        colour: mark statuses that are not ok, and speed-ups whose interval excludes 1.
    """
    body = [[inert(cell) for cell in row] for row in cells.texts(table)]
    header = [inert(column.title) for column in table.columns]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    right = [cells.numeric(column) for column in table.columns]
    shown = [inert(caption) for caption in table.captions]
    if table.columns:
        shown += ["", _line(header, widths, right, []), "  ".join("-" * w for w in widths)]
    for heading, start, end in table.parts:
        shown += ["", inert(heading)] if heading else []
        for row, values in zip(body[start:end], table.rows[start:end], strict=True):
            marks = [_colour(*pair) for pair in zip(table.columns, values, strict=True)]
            shown.append(_line(row, widths, right, marks if colour else []))
    if table.notes:
        shown += ["", *(inert(note) for note in table.notes)]
    return lines("\n".join(shown).lstrip("\n")) + "\n"


def _line(row: list[str], widths: list[int], right: list[bool], marks: list[str]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    if marks:
        pairs = zip(padded, marks, strict=True)
        padded = [f"\x1b[{mark}m{cell}\x1b[0m" if mark else cell for cell, mark in pairs]
    return "  ".join(padded).rstrip()


def _colour(column: Column, value: Value | Estimate) -> str:
    """The colour of a cell; empty if it has none or its interval includes 1."""
    if column.name == "status":
        return _STATUS.get(str(value), "")
    if column.name.startswith("speedup") and isinstance(value, Estimate):
        low, high = value.low or 0.0, value.high or 0.0
        return _GREEN if low > 1 else _RED if 0 < high < 1 else ""
    return ""
