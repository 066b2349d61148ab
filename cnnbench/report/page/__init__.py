"""Entries -> one offline HTML page: answers, tables, plots, method, raw numbers.

``sections`` lists what a page holds; each is a table, which reads without scripts, and mostly a
plot of it. ``drawing`` draws plots inside the page, ``document`` puts it together. For other
documents, ``pictures`` draws the same plots into files.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.errors import Unsupported
from cnnbench.report import csv, json, usability
from cnnbench.report.conclusions import Sentence, conclusions
from cnnbench.report.markdown import Illustration
from cnnbench.report.page import context
from cnnbench.report.page.heading import heading
from cnnbench.report.page.offers import offers
from cnnbench.report.page.sections import sections
from cnnbench.report.remedies import remedies
from cnnbench.report.table import tidy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cnnbench.gate.history import Series
    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry
    from cnnbench.report.page.context import PageChange
    from cnnbench.report.page.document import Document
    from cnnbench.report.page.parts import Plot
    from cnnbench.report.table import Table


def render(
    found: Sequence[Entry],
    table: Table,
    remarks: Sequence[str] = (),
    compared: Sequence[PageChange] = (),
    within: Budget | None = None,
) -> str:
    """The page as text.

    Args:
        found: what it is about.
        table: of all of it, as the reader wished.
        remarks: what must be known of the runs.
        compared: ratios to an older measurement, if there is one.
        within: the limits that the page opens with; the reader may change them.
    """
    # The library of templates takes a tenth of a second to import; only a page needs it.
    from cnnbench.report.page.document import html

    return html(content(found, table, remarks, compared, within))


def content(
    found: Sequence[Entry],
    table: Table,
    remarks: Sequence[str] = (),
    compared: Sequence[PageChange] = (),
    within: Budget | None = None,
) -> Document:
    """What stands on the page, as ``render`` takes it."""
    from cnnbench.report.page.document import Document

    made, absent = sections(found)
    verdicts = usability.lines(found)
    changed = context.changes(compared)
    said = conclusions(found, within)
    limits = [one for one in said if one.mark == "warn"]
    return Document(
        heading=heading(found),
        sentences=[*context.verdicts(compared), *(s for s in said if s.mark != "warn")],
        warnings=[*limits, *(Sentence(line, "warn") for line in remarks)],
        remedies=remedies(found),
        offers=offers(found),
        limits={} if within is None else within.words,
        modes=list(dict.fromkeys(one.mode for one in found)),
        # What a run is good for stands among the sentences.
        table=replace(table, notes=tuple(n for n in table.notes if n not in verdicts)),
        sections=[*([changed] if changed else []), *made],
        absent=absent,
        method=context.METHOD,
        downloads=_downloads(tidy(found)),
    )


# The same numbers twice would be most of a page of thousands.
_BOTH = 1000


def _downloads(numbers: Table) -> dict[str, str]:
    found = {"cnnbench.csv": csv.render(numbers)}
    if len(numbers.rows) <= _BOTH:
        found["cnnbench.json"] = json.render(numbers, compact=True)
    return found


def illustrations(found: Sequence[Entry], folder: Path) -> list[Illustration]:
    """The plots of the page as SVG files in a folder, which is made.

    Raises:
        Unsupported: the library that draws them is not installed.
        OSError: a file cannot be written.
    """
    with _library():
        from cnnbench.report.page import pictures
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "a link, which nothing is written through", str(folder))
    folder.mkdir(exist_ok=True)
    drawn = []
    for section in sections(found)[0]:
        for number, (title, plot) in enumerate(section.plots):
            path = folder / f"{section.name}-{number}.svg"
            pictures.save(plot, title, path)
            head = ("", "") if number else (section.title, section.reading)
            drawn.append(Illustration(*head, title, f"{folder.name}/{path.name}"))
    return drawn


def picture(plot: Plot, title: str, kind: str) -> bytes:
    """A plot as a file of one of ``report.PICTURES``.

    Raises:
        Unsupported: the library that draws it is not installed.
    """
    with _library():
        from cnnbench.report.page import pictures
    return pictures.content(plot, title, kind)


def over_runs(found: Sequence[Series]) -> str:
    """The page of one or more series over runs, as text."""
    from cnnbench.report.page import series

    return series.page(found)


@contextmanager
def _library() -> Iterator[None]:
    """The import of a plotting library, which takes half a second and may not be installed."""
    try:
        yield
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        raise Unsupported(
            f"pictures need {missing}; install it with: pip install 'cnnbench[pictures]'"
        ) from None
