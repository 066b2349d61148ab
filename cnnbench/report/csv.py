"""Table -> CSV (RFC 4180): a header of stable names and a row per spec, numbers unrounded.

A row is a line: control characters in a text are written as escapes.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from cnnbench.inert import visible
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from cnnbench.report.table import Table, Value


def render(table: Table) -> str:
    """Header and rows; an estimate is its point, what was not measured is empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    # What most cells hold, numbers and nothing, the writer writes by itself.
    writer.writerows(
        [value if type(value) in _PLAIN else cell(value) for value in row] for row in table.rows
    )
    return out.getvalue()


_PLAIN = {float, int, type(None)}


def cell(value: Value | Estimate) -> Value:
    """A value as it stands in a cell that nothing obeys."""
    if isinstance(value, Estimate):
        return value.point
    if isinstance(value, str):
        # A spreadsheet takes a cell that begins like this for a formula and runs it; a CI system
        # takes a line of its log that begins with two colons for a command.
        obeyed = value[:1] in {"=", "+", "-", "@", "\t", "\r"} or value.lstrip().startswith("::")
        return f"'{visible(value)}" if obeyed else visible(value)
    return value
