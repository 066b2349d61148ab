"""Runs -> rows, one run after another, so that no more than one is held."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from cnnbench.reading import Copies
from cnnbench.report.entry import entries
from cnnbench.report.variables.sampled import slices_in
from cnnbench.report.variables.variable import StoredEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cnnbench.report.table import Value
    from cnnbench.report.variables.sampled import StoredSlice
    from cnnbench.report.variables.variable import Variable
    from cnnbench.store import StoredRun

Item = TypeVar("Item")


def records_of(
    runs: Iterable[StoredRun], left_out: Callable[[StoredRun, int], None] = lambda *_: None
) -> Iterator[StoredEntry]:
    """Every record once, with its context; failed ones too.

    Args:
        runs: in order; a record that two of them hold is that of the first.
        left_out: told of every run how many of its records came before, if any did.
    """
    copies = Copies()
    for run in runs:
        before = 0
        for entry in entries([run]):
            if copies.has(entry.record):
                before += 1
                continue
            # A copy, whose answers go with it: those of thousands would take more than the records.
            yield StoredEntry(replace(entry), run.manifest)
        if before:
            left_out(run, before)


def _slices_of(found: Iterable[StoredEntry]) -> Iterator[StoredSlice]:
    for row in found:
        yield from slices_in(row)


# Table -> its rows of some records.
ROWS: Mapping[str, Callable[[Iterable[StoredEntry]], Iterator[object]]] = {
    "records": iter,
    "slices": _slices_of,
}


def values(variables: Sequence[Variable], rows: Iterable[object]) -> Iterator[tuple[Value, ...]]:
    """The values of rows, in the order of the variables."""
    for row in rows:
        yield tuple([one.value(row) for one in variables])


def portions(found: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """As many as are written at once."""
    left = iter(found)
    while some := list(islice(left, size)):
        yield some
