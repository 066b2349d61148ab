"""Records -> tables -> text. ``table`` decides what is shown, once.

One file per format turns a table into text; a page is made of many tables.

Imports no torch and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName
from cnnbench.report import csv, json, latex, markdown, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry
    from cnnbench.report.page.context import PageChange
    from cnnbench.report.table import Table

# One line per format: name -> table to text.
FORMATS: dict[str, Callable[[Table], str]] = {
    "table": terminal.render,
    "csv": csv.render,
    "markdown": markdown.render,
    "json": json.render,
    "latex": latex.render,
}

# Formats that show intervals beside numbers; the others are tidy.
FOR_PEOPLE = frozenset({"table", "markdown", "latex"})


def _html(
    found: Sequence[Entry],
    table: Table,
    remarks: Sequence[str],
    compared: Sequence[PageChange] = (),
    within: Budget | None = None,
) -> str:
    # The plotting library takes half a second to import; only a page needs it.
    from cnnbench.report.page import render as page

    return page(found, table, remarks, compared, within)


# Formats that show more than one table: name -> entries, their table, what must be known beside,
# changes against an older run, if there is one, and the limits that a reader asked for.
PAGES: dict[str, Callable[..., str]] = {"html": _html}


# Formats of a plot by itself, drawn by Matplotlib; each is a suffix of a file.
PICTURES = ("svg", "png", "pdf")


def render(table: Table, name: str, width: int | None = None) -> str:
    """A table in a format.

    Args:
        table: what to show.
        name: of the format.
        width: of a line in plain text; ``None`` for any. Other formats take none.

    Raises:
        UnknownName: no such format.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    return terminal.render(table, width=width) if name == "table" else FORMATS[name](table)
