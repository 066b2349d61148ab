"""A table as a notebook shows it: HTML in the notebook's own style, and a text that stays short."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import cells, terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.report.table import Table

# Rows of an output cell; and lines under it.
_ROWS, _NOTES = 15, 12
_WIDTH = 80


def as_text(table: Table) -> str:
    """The beginning of a table and what is said under it."""
    return terminal.render(_short(table), width=_WIDTH).rstrip("\n")


def as_html(table: Table) -> str:
    """The same as HTML, without scripts and styles of its own."""
    short = _short(table)
    head = "".join(f"<div>{html.escape(line)}</div>" for line in short.captions)
    notes = "".join(f"<li>{html.escape(line.strip())}</li>" for line in short.notes)
    rows = [_row((one.title for one in short.columns), "th")]
    rows += [_row(row, "td") for row in cells.texts(short)]
    listed = f"<ul>{notes}</ul>" if notes else ""
    return f"<div>{head}<table>{''.join(rows)}</table>{listed}</div>"


def _row(texts: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"


def _short(table: Table) -> Table:
    left = len(table.rows) - _ROWS
    more = (f"and {units.number(left, 'row')} more: report(), frame()",) if left > 0 else ()
    return replace(table, rows=table.rows[:_ROWS], groups=(), notes=(*more, *table.notes[:_NOTES]))
