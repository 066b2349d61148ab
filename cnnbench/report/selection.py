"""Which rows and columns of the entries a table shows, in which order and parts.

Knows the names of columns, not how a format writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from cnnbench import catalogue
from cnnbench.errors import UnknownName
from cnnbench.metrics import METRICS
from cnnbench.report import cells, times
from cnnbench.report.filter import parse
from cnnbench.report.table import (
    Column,
    Table,
    captions,
    chosen,
    notes,
    summary,
    summary_columns,
    tidy,
    tidy_columns,
)
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cnnbench.report.table import Cell, Entry

Row = TypeVar("Row")


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


@cache
def _facts() -> Mapping[str, catalogue.CatalogueEntry]:
    return {one.name: one for one in catalogue.entries()}


def fact(entry: Entry, name: str) -> Any:
    """A fact from the catalogue about an entry's architecture; ``None`` if it has none."""
    known = _facts().get(entry.record.spec.workload.architecture)
    return getattr(known, name) if known is not None else None


# What the catalogue knows may be asked for too.
_CATALOGUE: tuple[Cell, ...] = (
    (Column("family", "family"), lambda e: fact(e, "family")),
    (Column("top1", "top-1 %", "number"), lambda e: fact(e, "top1")),
    (Column("year", "year", "whole"), lambda e: fact(e, "year")),
    (Column("task", "task"), lambda e: fact(e, "task")),
)


def known(*, people: bool) -> Mapping[str, Cell]:
    """Every name that may be asked for; a metric goes by its own name and by its column's.

    People get intervals with their numbers where the summary has them.
    """
    table = {column.name: (column, of) for column, of in tidy_columns()}
    short = {metric.name: table[metric.column] for metric in METRICS}
    facts = {column.name: (column, of) for column, of in _CATALOGUE}
    first = {column.name: (column, of) for column, of in summary_columns()} if people else {}
    return short | facts | table | first


def keep(found: Sequence[Entry], text: str) -> list[Entry]:
    """The entries that fit a filter.

    Raises:
        UsageError: not a filter.
    """
    table = known(people=False)
    conditions = parse(text, {name: column for name, (column, _) in table.items()})
    tests = [(one, table[one.column][1]) for one in conditions]
    return [entry for entry in found if all(test.holds(of(entry)) for test, of in tests)]


def view(found: Sequence[Entry], wanted: Selection, *, people: bool) -> Table:
    """The table that a selection of the entries makes.

    Args:
        found: all entries.
        wanted: what to show of it.
        people: intervals beside numbers and what all rows share above them; otherwise tidy.

    Raises:
        UsageError: not a filter.
        UnknownName: there is no such column.
    """
    some = keep(found, wanted.filter)
    rows, groups = _grouped(_ordered(some, wanted.sort), wanted.group_by)
    if not wanted.columns:
        table = (summary if people else tidy)(rows)
    else:
        table = chosen(rows, _distinct(wanted.columns, people=people))
        if people:
            lines = (*notes(rows), *times.remarks(rows))
            table = replace(table, captions=captions(rows), notes=lines)
    if people:
        table = explained(table, found, rows, wanted.filter)
    return replace(table, groups=groups)


def explained(table: Table, found: Sequence[Entry], kept: Sequence[Entry], text: str) -> Table:
    """The table, with the reason if a filter has left nothing for it."""
    if kept:
        return table
    why = f"no row of {len(found)} matches the filter {text}" if found else "no records"
    return replace(table, notes=(*table.notes, why))


def _distinct(names: Sequence[str], *, people: bool) -> list[Cell]:
    """Each column once, by whichever of its names it was asked for first."""
    table: dict[str, Cell] = {}
    for name in names:
        cell = _cell(name, people=people)
        table.setdefault(cell[0].name, cell)
    return list(table.values())


def _cell(name: str, *, people: bool) -> Cell:
    table = known(people=people)
    if name not in table:
        raise UnknownName("column", name, table)
    return table[name]


def _ordered(found: Sequence[Entry], names: Iterable[str]) -> list[Entry]:
    return ordered(found, names, lambda name: _cell(name, people=False)[1])


def ordered(
    found: Sequence[Row], names: Iterable[str], value: Callable[[str], Callable[[Row], Any]]
) -> list[Row]:
    """Rows in the order of their values; a name that begins with ``-`` from large to small.

    Args:
        found: the rows.
        names: of columns; the first decides first.
        value: how a column of that name is read off a row.
    """
    rows = list(found)
    # The last name first: sorting is stable, so the first name has the last word.
    for name in reversed(list(names)):
        of = value(name.removeprefix("-"))
        values = {id(row): _sortable(of(row)) for row in rows}
        present = [row for row in rows if values[id(row)] is not None]
        absent = [row for row in rows if values[id(row)] is None]
        present.sort(key=lambda row: values[id(row)], reverse=name.startswith("-"))
        rows = present + absent
    return rows


def _sortable(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.point
    return value.casefold() if isinstance(value, str) else value


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
