"""Table -> aligned plain text. Never cuts a name or a word; a narrow line has fewer columns."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

from cnnbench.inert import inert, lines
from cnnbench.report import cells
from cnnbench.report.cells import NOT_MEASURED
from cnnbench.report.fitting import fit, wrapped
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.fitting import Fitting
    from cnnbench.report.table import Column, Table, Value

# Before the names of columns that did not fit; every command with tables has that option.
MORE = "not shown (--wide)"

_RED, _GREEN, _YELLOW = "31", "32", "33"
_STATUS = {"loose": _YELLOW, "unchecked": _YELLOW, "wrong": _RED, "failed": _RED}


def render(table: Table, *, colour: bool = False, width: int | None = None) -> str:
    """Captions, header, a rule, rows, notes.

    Args:
        table: what to show.
        colour: mark statuses that are not ok, and speed-ups whose interval excludes 1.
        width: of a line, ``None`` for any; columns that do not fit are left out and named.
    """
    body = [[inert(cell) for cell in row] for row in cells.texts(table)]
    header = [inert(column.title) for column in table.columns]
    fitting = fit(header, body, [column.detail for column in table.columns], width)
    right = [cells.numeric(table.columns[i]) for i in fitting.kept]
    captions = (*table.captions, *_same(header, body, fitting))
    shown = [line for text in captions for line in wrapped(inert(text), width)]
    if table.columns:
        rule = "  ".join("-" * w for w in fitting.widths)
        shown += ["", *_line([header[i] for i in fitting.kept], fitting.widths, right, []), rule]
    for heading, start, end in table.parts:
        shown += ["", inert(heading)] if heading else []
        for row, values in zip(body[start:end], table.rows[start:end], strict=True):
            marks = [_colour(table.columns[i], values[i]) for i in fitting.kept]
            texts = [row[i] for i in fitting.kept]
            shown += _line(texts, fitting.widths, right, marks if colour else [])
    notes = (*table.notes, *_left_out(header, fitting))
    if notes:
        shown += ["", *(line for text in notes for line in wrapped(inert(text), width))]
    return lines("\n".join(shown).lstrip("\n")) + "\n"


def _same(header: Sequence[str], body: Sequence[Sequence[str]], fitting: Fitting) -> list[str]:
    told = [i for i in fitting.constant if body[0][i] not in {"", NOT_MEASURED}]
    found = [f"{header[i]} {body[0][i]}" for i in told]
    return [f"in every row: {', '.join(found)}"] if found else []


def _left_out(header: Sequence[str], fitting: Fitting) -> list[str]:
    counts = Counter(header[i] for i in fitting.left_out)
    found = [f"{name} ({count} columns)" if count > 1 else name for name, count in counts.items()]
    return [f"{MORE}: {', '.join(found)}"] if found else []


def _line(
    row: Sequence[str], widths: Sequence[int], right: Sequence[bool], marks: Sequence[str]
) -> list[str]:
    """A row; its name has a line of its own if it is too long, and sentences are wrapped."""
    if row and len(row[0]) > widths[0]:
        name = f"\x1b[{marks[0]}m{row[0]}\x1b[0m" if marks and marks[0] else row[0]
        return [name, *_line(["", *row[1:]], widths, right, marks)] if len(row) > 1 else [name]
    parts = [
        wrapped(cell, width, hang=0) if len(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    found = []
    for texts in zip_longest(*parts, fillvalue=""):
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(texts, widths, right, strict=True)
        ]
        if marks:
            pairs = zip(padded, marks, strict=True)
            padded = [f"\x1b[{mark}m{cell}\x1b[0m" if mark else cell for cell, mark in pairs]
        found.append("  ".join(padded).rstrip())
    return found


def _colour(column: Column, value: Value | Estimate) -> str:
    """The colour of a cell; empty if it has none or its interval includes 1."""
    if column.name == "status":
        return _STATUS.get(str(value), "")
    if column.kind == "ratio" and isinstance(value, str):
        return {"+": _GREEN, "-": _RED}.get(value[-1:], "") if " " in value else ""
    if column.kind == "seconds" and isinstance(value, str):
        return _RED if value.endswith(" x") or value == "failed" else ""
    if column.name.startswith("speedup") and isinstance(value, Estimate):
        low, high = value.low or 0.0, value.high or 0.0
        return _GREEN if low > 1 else _RED if 0 < high < 1 else ""
    return ""
