"""Records of several batches -> throughput by batch, and the batch where it saturates.

Uses the point estimates: whether the difference of two batches is significant is not tested.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import axes
from cnnbench.report import times
from cnnbench.report.entry import RUN, place
from cnnbench.report.table import Column, Table, apart, captions, column, notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Value
    from cnnbench.stats import Estimate

# Throughput that is this close to the best is as good as the best.
CLOSE = 0.05

NOT_YET = "not yet"

# Names of the columns of single batches begin with it.
_BATCH = "throughput_per_s:"


def scaling(found: Sequence[Entry]) -> Table:
    """Throughput in samples per second by batch.

    The last columns are the best throughput, and the smallest batch that comes within 5 % of it:
    "not yet" if that is the largest batch tried and it still beats the next smaller by more than
    5 %.
    """
    batches = sorted({entry.record.spec.workload.batch for entry in found})
    told = [RUN, *(axis for axis in axes.shown() if axis.name != "batch")]
    curves: dict[tuple[Value, ...], dict[int, float]] = {}
    for entry in found:
        curve = curves.setdefault(tuple(place(axis, entry) for axis in told), {})
        rate = entry.throughput
        if rate is not None:
            curve[entry.record.spec.workload.batch] = rate.point
    kept, shared = apart(told, [*curves])
    keep = [told.index(axis) for axis in kept]
    return Table(
        columns=(
            *map(column, kept),
            *(Column(f"{_BATCH}{b}", f"batch {b}", "rate") for b in batches),
            Column("best_per_s", "best", "rate"),
            Column("saturates_at", "saturates at batch", "whole"),
        ),
        rows=tuple(
            (
                *(key[i] for i in keep),
                *(curve.get(batch) for batch in batches),
                max(curve.values(), default=None),
                saturation(curve),
            )
            for key, curve in curves.items()
        ),
        captions=(
            "samples per second by batch; saturates: the smallest batch within 5 % of the best",
            *shared,
            *captions(found),
        ),
        notes=(*notes(found), *times.remarks(found)),
    )


def ending(found: Sequence[Entry]) -> tuple[Table, ...]:
    """What a run ends with beside its rows: the curves if a workload has two batches."""
    curves = scaling(found)
    if not any(_points(curves, row) > 1 for row in curves.rows):
        return ()
    # What holds for the whole run stands above the first table already.
    return (replace(curves, captions=curves.captions[:1], notes=()),)


def _points(curves: Table, row: Sequence[Value | Estimate]) -> int:
    pairs = zip(curves.columns, row, strict=True)
    return sum(value is not None for column, value in pairs if column.name.startswith(_BATCH))


def saturation(curve: Mapping[int, float]) -> int | str | None:
    """The batch where throughput saturates.

    Args:
        curve: batch -> samples per second.

    Returns:
        The smallest batch within 5 % of the best; "not yet" if throughput still grows by more than
        5 % at the end; ``None`` with fewer than two batches.
    """
    if len(curve) < 2:
        return None
    *_, before, last = sorted(curve)
    best = max(curve.values())
    if curve[last] == best and curve[last] > (1 + CLOSE) * curve[before]:
        return NOT_YET
    return min(batch for batch, rate in curve.items() if rate >= (1 - CLOSE) * best)
