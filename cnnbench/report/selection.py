"""Which rows and columns of the entries a table shows, in which order and parts.

Knows the names of columns, not how a format writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench import catalogue, metrics
from cnnbench.errors import UnknownName
from cnnbench.metrics import METRICS
from cnnbench.report import cells, times
from cnnbench.report.budget import MEMORY
from cnnbench.report.entry import place
from cnnbench.report.filter import parse
from cnnbench.report.fitting import STAYS
from cnnbench.report.ordering import ordered
from cnnbench.report.table import (
    Column,
    Table,
    apart,
    axes_told,
    captions,
    chosen,
    notes,
    summary,
    summary_columns,
    tidy,
    tidy_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.report.filter import Condition
    from cnnbench.report.table import Cell


@dataclass(frozen=True)
class Selection:
    """What a reader wants to see; an empty selection shows everything.

    Attributes:
        columns: names, in the order wanted; none for those that the format shows by itself.
        sort: names, the first decides first; one that begins with ``-`` from large to small.
        group_by: the name whose every value begins a part of its own.
        filter: conditions in the language of ``filter``.
    """

    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    group_by: str | None = None
    filter: str = ""


def fact(entry: Entry, name: str) -> Any:
    """A fact from the catalogue about an entry's architecture; ``None`` if it has none."""
    return getattr(catalogue.known(entry.record.spec.workload.architecture), name, None)


# What the catalogue knows may be asked for too.
_CATALOGUE: tuple[Cell, ...] = (
    (Column("family", "family"), lambda e: fact(e, "family")),
    (Column("top1", "top-1 %", "number"), lambda e: fact(e, "top1")),
    (Column("year", "year", "whole"), lambda e: fact(e, "year")),
    (Column("task", "task"), lambda e: fact(e, "task")),
)


# Headings of the overview -> what they are called elsewhere.
_OVERVIEW = {"top-1": "top1", "gain": "speedup"}


def known(*, people: bool) -> Mapping[str, Cell]:
    """Every name that may be asked for; a metric goes by its own name and by its column's.

    Headings are names too, as they stand or with ``_`` for spaces. People get intervals with their
    numbers where the summary has them.
    """
    own = {column.name: (column, of) for column, of in summary_columns()}
    table = {column.name: (column, of) for column, of in tidy_columns()}
    table |= {column.name: (column, of) for column, of in (*_CATALOGUE, MEMORY)} | (
        own if people else {}
    )
    short = {metric.name: table[metric.column] for metric in METRICS}
    if people:
        short |= _RATES_SHOWN
    headings = {
        heading: table.get(column.name, cell)
        for cell in (*own.values(), *table.values())
        for column, _ in (cell,)
        for heading in (column.title, column.title.replace(" ", "_"))
    }
    return headings | {name: table[of] for name, of in _OVERVIEW.items()} | short | table


def keep(found: Sequence[Entry], text: str) -> list[Entry]:
    """The entries that fit a filter.

    Raises:
        UsageError: not a filter.
    """
    tests = _tests(text)
    return [entry for entry in found if all(test.holds(of(entry)) for test, (_, of) in tests)]


def _seen(name: str) -> Cell:
    """A rate at the latency that tables show."""
    table = {column.name: column for column, _ in tidy_columns()}
    return table[metrics.metric(name).column], lambda e: metrics.seen(name, e.record)


_RATES_SHOWN: Mapping[str, Cell] = {name: _seen(name) for name in metrics.RATES}
# What tables show, by which rows are sorted and kept; tidy columns have the clock's under their own
# names.
_AS_SHOWN: Mapping[str, Cell] = {
    "latency": (Column("latency", "latency", "seconds"), lambda e: e.latency),
    "throughput": (Column("throughput", "samples/s", "rate"), lambda e: e.throughput),
    **_RATES_SHOWN,
}


def _as_shown() -> Mapping[str, Cell]:
    return {**known(people=False), **_AS_SHOWN}


def _tests(text: str) -> list[tuple[Condition, Cell]]:
    table = _as_shown()
    conditions = parse(text, {name: column for name, (column, _) in table.items()})
    return [(one, table[one.column]) for one in conditions]


def view(
    found: Sequence[Entry], wanted: Selection, *, people: bool, also: Sequence[str] = ()
) -> Table:
    """The table that a selection of the entries makes.

    Args:
        found: all entries.
        wanted: what to show of it.
        people: intervals beside numbers and what all rows share above them; otherwise tidy.
        also: columns beyond those that the format shows by itself, where a row has a value.

    Raises:
        UsageError: not a filter.
        UnknownName: there is no such column.
    """
    rows, groups = chosen_rows(found, wanted)
    if not wanted.columns:
        table = _beside((summary if people else tidy)(rows), rows, also)
    else:
        table = chosen(rows, _distinct(wanted.columns, people=people))
        if people:
            lines = (*notes(rows), *times.remarks(rows, table))
            shared = apart(axes_told(), [[place(axis, e) for axis in axes_told()] for e in rows])[1]
            table = replace(table, captions=(*shared, *captions(rows)), notes=lines)
    if people:
        table = explained(table, found, rows, wanted.filter)
    return replace(table, groups=groups)


def _beside(table: Table, rows: Sequence[Entry], names: Sequence[str]) -> Table:
    """The table with more columns, behind those that compare times; none without a value."""
    have = [column.name for column in table.columns]
    more = chosen(rows, _distinct([name for name in names if name not in have], people=True))
    keep = [n for n in range(len(more.columns)) if any(row[n] is not None for row in more.rows)]
    at = have.index("speedup") + 1 if "speedup" in have else len(have)
    return replace(
        table,
        columns=(*table.columns[:at], *(more.columns[n] for n in keep), *table.columns[at:]),
        rows=tuple(
            (*row[:at], *(extra[n] for n in keep), *row[at:])
            for row, extra in zip(table.rows, more.rows, strict=True)
        ),
    )


def chosen_rows(
    found: Sequence[Entry], wanted: Selection
) -> tuple[list[Entry], tuple[tuple[str, int], ...]]:
    """The entries that a selection keeps, in its order; heading and size of each of its groups.

    Raises:
        UsageError: not a filter.
        UnknownName: there is no such column.
    """
    return _grouped(_ordered(keep(found, wanted.filter), wanted.sort), wanted.group_by)


def explained(table: Table, found: Sequence[Entry], kept: Sequence[Entry], text: str) -> Table:
    """The table, with the reason if a filter has left nothing for it."""
    if kept:
        return table
    why = f"no row of {len(found)} matches the filter {text}" if found else "no records"
    near = "; ".join(_nearest(found, text))
    return replace(table, notes=(*table.notes, f"{why}; nearest: {near}" if near else why))


def _nearest(found: Sequence[Entry], text: str) -> list[str]:
    """The nearest value for a condition that lets nothing through, among what the others keep."""
    tests = _tests(text)
    for test, (column, of) in tests:
        others = [pair for pair in tests if pair[0] is not test]
        some = [e for e in found if all(one.holds(fill(e)) for one, (_, fill) in others)]
        value = test.nearest([of(entry) for entry in some])
        if value is not None:
            names = {metric.column: metric.name for metric in METRICS}
            return [f"{names.get(column.name, column.name)} {cells.text(column, value)}"]
    return []


def _distinct(names: Sequence[str], *, people: bool) -> list[Cell]:
    """Each column once, by whichever of its names it was asked for first."""
    table: dict[str, Cell] = {}
    for name in names:
        cell = _cell(name, people=people)
        table.setdefault(cell[0].name, (replace(cell[0], detail=STAYS), cell[1]))
    return list(table.values())


def _cell(name: str, *, people: bool) -> Cell:
    return _named(name, known(people=people))


def _named(name: str, table: Mapping[str, Cell]) -> Cell:
    if name not in table:
        raise UnknownName("column", name, table)
    return table[name]


def _ordered(found: Sequence[Entry], names: Iterable[str]) -> list[Entry]:
    return ordered(found, names, lambda name: _named(name, _as_shown())[1])


def _grouped(
    found: Sequence[Entry], name: str | None
) -> tuple[list[Entry], tuple[tuple[str, int], ...]]:
    """The entries group by group, groups in the order of their first; and how many in each."""
    if name is None:
        return list(found), ()
    column, of = _cell(name, people=False)
    groups: dict[str, list[Entry]] = {}
    for entry in found:
        value = cells.text(column, of(entry))
        groups.setdefault(f"{column.title} {value}", []).append(entry)
    rows = [entry for group in groups.values() for entry in group]
    return rows, tuple((heading, len(group)) for heading, group in groups.items())
