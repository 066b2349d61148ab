"""Records -> tables -> text. ``table`` decides what is shown, once.

One file per format turns a table into text.

Imports no torch and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName
from cnnbench.report import csv, json, markdown, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.report.table import Table

# One line per format: name -> table to text.
FORMATS: dict[str, Callable[[Table], str]] = {
    "table": terminal.render,
    "csv": csv.render,
    "markdown": markdown.render,
    "json": json.render,
}


def render(table: Table, name: str) -> str:
    """A table in a format.

    Raises:
        UnknownName: no such format.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    return FORMATS[name](table)
