"""Sections -> one HTML file that needs nothing else: no network, and for reading no scripts.

Jinja escapes every value; what is made here and in ``drawing`` is escaped there. A policy in the
page itself forbids the browser to load anything; a page of a site may load the two files of
``shared_files`` that lie beside it.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnnbench import flaws
from cnnbench.inert import inert
from cnnbench.report import cells
from cnnbench.report.answers import WITHIN
from cnnbench.report.conclusions import Sentence
from cnnbench.report.page import drawing
from cnnbench.report.page.heading import Heading
from cnnbench.report.page.offers import FLAW, WHY, Offer
from cnnbench.report.page.parts import Section
from cnnbench.report.remedies import Remedy
from cnnbench.report.table import Table
from cnnbench.stats import Estimate
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from cnnbench.report.table import Column


@dataclass(frozen=True)
class PageLink:
    """A link to another page of a site.

    Attributes:
        text: for people.
        address: relative.
    """

    text: str
    address: str


@dataclass(frozen=True)
class Document:
    """The content of a page.

    Attributes:
        heading: its title, date and badge, and what stands at the foot.
        sentences: the summary.
        warnings: what limits the numbers.
        remedies: commands against that.
        offers: networks within a budget, per setting.
        table: of all entries.
        sections: in order.
        absent: a line for each section there are no data for.
        method: sentences.
        downloads: file name -> its text.
        contents: what those hold.
        modes: that a reader can choose among.
        limits: field -> what stands in it when the page opens.
        listing: the heading of the table.
        trail: links to pages around this one.
        addresses: column -> text of a cell -> the page that the cell leads to.
        shared: the style and the script are files beside the page, as pages of a site have them.
    """

    heading: Heading
    sentences: Sequence[Sentence]
    table: Table
    sections: Sequence[Section]
    absent: Sequence[str]
    method: Sequence[str]
    downloads: Mapping[str, str]
    contents: str = "one row per spec, every metric with its unit, nothing rounded"
    warnings: Sequence[Sentence] = ()
    remedies: Sequence[Remedy] = ()
    offers: Sequence[Offer] = ()
    modes: Sequence[str] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    listing: str = "All measurements"
    trail: Sequence[PageLink] = ()
    addresses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shared: bool = False


# What a section derives from the raw numbers has no longer table; the browser has to lay it out.
_MOST_ROWS = 300
# More notes about single rows than these are sheet after sheet of paper.
_MOST_NOTES = 40

# Larger files are compressed, so that the page stays small.
_PLAIN = 200_000

_TYPES = {"csv": "text/csv", "json": "application/json", "gz": "application/gzip"}


# Sections that stand before the table, because they say where to look in it.
_EARLY = ("changes", "environments", "strips")

# What pages of a site share, each beside them.
_STYLE, _SCRIPT = "page.css", "page.js"


def html(page: Document) -> str:
    """The page's text."""
    files = _files()
    return (
        _templates()
        .get_template("page.html")
        .render(
            page=page,
            version=VERSION,
            grid=partial(grid, addresses=page.addresses),
            draw=lambda plot, title: Markup(drawing.draw(plot, title)),  # noqa: S704 - escaped there
            trust=trust,
            flaws=list(_FLAWS),
            command=command,
            unbroken=unbroken,
            most_rows=_MOST_ROWS,
            most_notes=_MOST_NOTES,
            near=f"{WITHIN:g}",
            early=_EARLY,
            columns=Markup(_columns(page.table)),  # noqa: S704 - escaped there
            off=[n for n, column in enumerate(page.table.columns) if _is_off(column, page.table)],
            downloads=[_download(name, text) for name, text in page.downloads.items()],
            style=files[_STYLE],
            script=files[_SCRIPT],
            shared_style=_STYLE,
            shared_script=_SCRIPT,
        )
    )


def shared_files() -> dict[str, str]:
    """File name -> text of what has to lie beside a page that is ``shared``."""
    return dict(_files())


@cache
def _files() -> Mapping[str, str]:
    script = "".join(_source(name) for name in ("limits.js", "page.js"))
    return {_STYLE: _source("page.css"), _SCRIPT: script}


@cache
def _templates() -> Environment:
    # A site is hundreds of pages, for which the template is compiled once.
    return Environment(
        loader=PackageLoader("cnnbench.report.page", "."),
        autoescape=True,
        finalize=lambda value: _visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# Columns that are a click away, where there are more than fit.
_OFF = {"input", "throughput", "relative_error", "measurement", "top1_agreement", "top1_pictures"}
_FIT = 8


def _is_off(column: Column, table: Table) -> bool:
    return column.name in _OFF and len(table.columns) > _FIT


# A heading that is longer, as one that names a machine is, is broken into lines.
_LONG_TITLE = 30


def _columns(table: Table) -> str:
    """Rules that name the cells of a card on a phone, align numbers, and hide a column."""
    rules = [
        f"#all td:nth-child({number}){{text-align:right}}"
        for number, column in enumerate(table.columns, 1)
        if cells.numeric(column)
    ]
    rules += [
        f"@media print{{#all td:nth-child({number}){{white-space:nowrap}}}}"
        for number, column in enumerate(table.columns, 1)
        if cells.numeric(column) and not _has_ends(table, number - 1)
    ]
    rules += [
        f"#all th:nth-child({number}){{white-space:normal;min-width:9rem}}"
        for number, column in enumerate(table.columns, 1)
        if len(column.title) > _LONG_TITLE
    ]
    for number, column in enumerate(table.columns, 1):
        rules.append(
            f"@media screen and (max-width:640px){{#all td:nth-child({number})::before"
            f"{{content:{_css(column.title)}}}}}"
            f".scripted #all.h{number - 1} :is(td,thead th):nth-child({number}){{display:none}}"
        )
    return "".join(rules)


def _has_ends(table: Table, place: int) -> bool:
    """Whether an interval stands behind a number of a column, which makes it long."""
    return any(isinstance(row[place], Estimate) for row in table.rows)


def _css(value: str) -> str:
    """A text as a string of a style sheet: every letter that could end it by its number."""
    return '"' + "".join(c if c.isalnum() else f"\\{ord(c):x} " for c in _visible(value)) + '"'


_FLAWS = {one.name: one for one in flaws.FLAWS if one.mark}


@lru_cache(maxsize=4096)
def trust(name: str, why: str = "") -> Markup:
    """The sign of a flaw that stands beside a latency; pointed at, it says why.

    Args:
        name: of the flaw; nothing for none.
        why: more than the flaw says.
    """
    if name not in _FLAWS:
        return Markup('<b class="t"></b>')
    flaw = _FLAWS[name]
    kind = "held" if flaw.withheld else "told"
    tip = Markup(' data-tip="{}"').format(why or name)
    return Markup('<b class="t {}"{}>{}</b>').format(kind, tip, flaw.mark)


# An option, which a browser would break behind its hyphens; and the longest word of a command that
# is kept in one line.
_OPTION, _LONG = re.compile(r"--[a-z][\w-]*"), 60


def unbroken(text: str) -> Markup:
    """A sentence whose options are never broken into two lines; it is copied as it is."""
    return Markup(_in_one_piece(escape(_visible(text))))  # noqa: S704 - escaped before


def _in_one_piece(escaped: str) -> str:
    if "--" not in escaped:
        return escaped
    return _OPTION.sub(lambda found: f'<span class="u">{found[0]}</span>', escaped)


def command(text: str) -> Markup:
    """A command that is broken between its words, and a long list behind its commas."""
    words = [
        Markup("<wbr>").join(
            Markup('<span class="u">{}</span>').format(part)
            for part in ([word] if len(word) <= _LONG else re.split(r"(?<=,)", word))
        )
        for word in _visible(text).split(" ")
    ]
    return Markup(" ").join(words)


def _source(name: str) -> str:
    templates = _templates()
    assert templates.loader is not None  # noqa: S101 - given above
    return templates.loader.get_source(templates, name)[0]


def grid(
    table: Table,
    sortable: bool,
    most: int,
    addresses: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """A table as the template takes it: header, and parts with their rows as one text.

    Args:
        table: of any length.
        sortable: cells carry the number that they are sorted by.
        most: rows of a table that has no parts; the others are left out.
        addresses: column -> text of a cell -> where the cell leads.
    """
    table = table if sortable or table.groups else replace(table, rows=table.rows[:most], data=())
    marked = _marked(table) if sortable else None
    names = [column.name for column in table.columns]
    linked = {names.index(name): known for name, known in addresses.items() if name in names}
    rows = [
        _row(some, values if sortable else (), marked, data, linked)
        for some, values, data in zip(
            cells.texts(table), table.rows, table.data or [()] * len(table.rows), strict=True
        )
    ]
    return {
        "header": [(column.title, cells.numeric(column), column.name) for column in table.columns],
        "parts": [(head, Markup("".join(rows[a:b]))) for head, a, b in table.parts],  # noqa: S704 - escaped in _row
    }


def _marked(table: Table) -> int | None:
    """The place of the latency, behind which stands how far to trust it."""
    names = [column.name for column in table.columns]
    return names.index("latency") if "latency" in names else None


def _row(
    texts: Sequence[str],
    values: Sequence[Any],
    marked: int | None,
    data: Sequence[tuple[str, str]],
    linked: Mapping[int, Mapping[str, str]],
) -> str:
    """A row, escaped here: by the template it would take most of the time of a large page."""
    keys = [_key(value) for value in values] or [""] * len(texts)
    # Without the end tags and quotes that HTML does not need, a fifth of the table. A line break
    # would be part of the last cell.
    found = [
        f"<td data-v={key}>{escape(_visible(text))}"
        if key
        else f"<td>{_in_one_piece(escape(_visible(text)))}"
        for text, key in zip(texts, keys, strict=True)
    ]
    for place, addresses in linked.items():
        if texts[place] in addresses:
            shown = escape(_visible(texts[place]))
            found[place] = f'<td><a href="{escape(addresses[texts[place]])}">{shown}</a>'
    if marked is not None and values[marked] is not None:
        known = dict(data)
        found[marked] += str(trust(known.get(FLAW, ""), known.get(WHY, "")))
    numbers = "".join(
        f' data-{name}="{escape(_visible(value))}"' for name, value in data if name != WHY
    )
    return f"<tr{numbers}>{''.join(found)}"


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
