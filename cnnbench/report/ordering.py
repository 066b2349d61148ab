"""Rows in the order that a reader asks for. Imports little: a list of names is sorted by it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = TypeVar("Row")


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
