"""Sections -> one HTML file that needs nothing else: no network, and for reading no scripts.

Jinja escapes every value; JSON inside the page is escaped so that no text of it can end its
element. A policy in the page itself forbids the browser to load anything.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnnbench.inert import inert
from cnnbench.report import cells
from cnnbench.report.conclusions import Sentence
from cnnbench.report.page import figures
from cnnbench.report.page.parts import Section
from cnnbench.report.table import Table
from cnnbench.stats import Estimate
from cnnbench.version import VERSION


@dataclass(frozen=True)
class Document:
    """The content of a page.

    Attributes:
        title: of the page.
        sentences: the summary.
        captions: what the numbers are numbers of.
        table: of all entries.
        sections: in order.
        absent: a line for each section there are no data for.
        method: sentences.
        downloads: file name -> its text.
        contents: what those hold.
    """

    title: str
    sentences: Sequence[Sentence]
    table: Table
    sections: Sequence[Section]
    absent: Sequence[str]
    method: Sequence[str]
    downloads: Mapping[str, str]
    contents: str = "one row per spec, every metric with its unit, nothing rounded"


# What a section derives from the raw numbers has no longer table; the browser has to lay it out.
_MOST_ROWS = 300

# Larger files are compressed, so that the page stays small.
_PLAIN = 200_000

_TYPES = {"csv": "text/csv", "json": "application/json", "gz": "application/gzip"}


def html(page: Document) -> str:
    """The page's text."""
    loader = Environment(
        loader=PackageLoader("cnnbench.report.page", "."),
        autoescape=True,
        finalize=lambda value: _visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plots = _plots(page)
    return loader.get_template("page.html").render(
        page=page,
        version=VERSION,
        grid=grid,
        most_rows=_MOST_ROWS,
        plots=plots,
        plots_json=inline_json([item for some in plots.values() for _, item in some]),
        library=_base64(_compressed(figures.library().encode())) if any(plots.values()) else "",
        downloads=[_download(name, text) for name, text in page.downloads.items()],
        style=_source(loader, "page.css"),
        script=_source(loader, "page.js"),
    )


def _source(loader: Environment, name: str) -> str:
    assert loader.loader is not None  # noqa: S101 - given above
    return loader.loader.get_source(loader, name)[0]


def _plots(page: Document) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """For each section, the ids of elements and the plots drawn into them."""
    return {
        section.name: [
            (target := f"plot-{section.name}-{number}", figures.draw(plot, title, target))
            for number, (title, plot) in enumerate(section.plots)
        ]
        for section in page.sections
    }


def inline_json(value: Any) -> str:
    """JSON that stays inside the script element that holds it, whatever its texts say."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return "".join(escapes.get(c, c) for c in text) if set(text) & set(escapes) else text


def grid(table: Table, sortable: bool, most: int) -> dict[str, Any]:
    """A table as the template takes it: header, and parts with their rows as one text.

    Args:
        table: of any length.
        sortable: cells carry the number that they are sorted by.
        most: rows of a table that has no parts; the others are left out.
    """
    table = table if sortable or table.groups else replace(table, rows=table.rows[:most])
    rows = [
        _row(some, values if sortable else ())
        for some, values in zip(cells.texts(table), table.rows, strict=True)
    ]
    return {
        "header": [(column.title, cells.numeric(column), column.name) for column in table.columns],
        "parts": [(head, Markup("".join(rows[a:b]))) for head, a, b in table.parts],  # noqa: S704 - escaped in _row
    }


def _row(texts: Sequence[str], values: Sequence[Any]) -> str:
    """A row, escaped here: by the template it would take most of the time of a large page."""
    keys = [_key(value) for value in values] or [""] * len(texts)
    # Without the end tags and quotes that HTML does not need, a fifth of the table. A line break
    # would be part of the last cell.
    found = [
        f"<td data-v={key}>{escape(_visible(text))}" if key else f"<td>{escape(_visible(text))}"
        for text, key in zip(texts, keys, strict=True)
    ]
    return f"<tr>{''.join(found)}"


def _visible(text: str) -> str:
    """The text without control characters and marks that change the direction of writing."""
    return inert(text, keep="\n")


def _key(value: Any) -> str:
    """The sort key of a number; texts sort by themselves."""
    if isinstance(value, Estimate):
        value = value.point
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _download(name: str, text: str) -> tuple[str, str]:
    """File name and data address."""
    data = text.encode("utf8", "replace")
    if len(data) > _PLAIN:
        name, data = f"{name}.gz", _compressed(data)
    kind = _TYPES[name.rpartition(".")[2]]
    return name, f"data:{kind};base64,{_base64(data)}"


def _compressed(data: bytes) -> bytes:
    # Without a time stamp, so that equal records make an equal page; the best compression takes
    # three times as long for two per cent.
    return gzip.compress(data, compresslevel=6, mtime=0)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
