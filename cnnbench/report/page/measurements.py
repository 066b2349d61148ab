"""The large table of the page: what is on a front first, with its published accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.report import selection
from cnnbench.report.page.offers import FLAW, WHY, compared, offers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.report.selection import Selection
    from cnnbench.report.table import Table


def measurements(found: Sequence[Entry], wanted: Selection) -> Table:
    """The table that a selection makes; in the order of the front where none is asked for.

    Raises:
        UsageError: not a filter.
        UnknownName: there is no such column.
    """
    rows = found if wanted.sort else front_first(found)
    table = selection.view(rows, wanted, people=True, also=("top1",))
    # Limits hold whichever columns are shown.
    data = tuple(map(carried, selection.chosen_rows(rows, wanted)[0]))
    table = replace(table, data=data)
    return table if wanted.columns else _named_first(table)


def carried(entry: Entry) -> tuple[tuple[str, str], ...]:
    """What a row carries: what limits are compared with, and its flaw."""
    flaw = () if entry.flaw is None else ((FLAW, entry.flaw.name), (WHY, entry.trust))
    return (*compared(entry), *flaw)


def _named_first(table: Table) -> Table:
    """The table with the network in front, which is the column that does not scroll away."""
    names = [column.name for column in table.columns]
    if "model" not in names:
        return table
    order = sorted(range(len(names)), key=lambda n: names[n] != "model")
    columns = tuple(table.columns[n] for n in order)
    return replace(
        table, columns=columns, rows=tuple(tuple(row[n] for n in order) for row in table.rows)
    )


def front_first(found: Sequence[Entry]) -> list[Entry]:
    """The entries on a front by latency, then the others as they were."""
    order = sorted((one for offer in offers(found) for one in offer.fit.front), key=_seconds)
    known = {id(entry) for entry in order}
    return [*order, *(entry for entry in found if id(entry) not in known)]


def _seconds(entry: Entry) -> float:
    return float("inf") if entry.latency is None else entry.latency.point
