"""How long an epoch of a data set takes with each network, and what decides it: a table.

A network has a row for its step alone, as if batches were there, and one for every pipeline that
was measured and makes what it takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import feeding, recipes
from cnnbench.report.entry import entries, place
from cnnbench.report.fitting import STAYS
from cnnbench.report.table import Column, Table, apart, axes_told, captions, column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.feeding import Epoch
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry
    from cnnbench.store import StoredRun

# What pictures of a pipeline are held in, for people.
_BACKENDS = {"pil": "PIL", "tensor": "tensors"}

_FIGURES = (
    Column("fed_by", "fed by (workers)", detail=STAYS),
    Column("steps", "steps", "whole", 2),
    Column("epoch", "epoch", "span", STAYS),
    Column("limit", "decided by", detail=1),
)

# Axes that the rows tell by what feeds a network.
_TOLD_BESIDE = {"input", "workers"}
_NONE = "no network was measured, so there is no epoch"
# What decides -> a line that explains it, where a row says so.
_WHY = {
    feeding.IN_TURN: "sum: without workers, batches are made and used in turn",
    feeding.CROWDED: "cores: the network's threads and the workers are more than the cores here and"
    " would take them from each other, so nothing follows",
}
# Said of sums on a CUDA device.
_AT_MOST = "a sum is the most: a loop that does not wait for the GPU makes the next batch meanwhile"


def backend(record: Record) -> str:
    """What a pipeline's pictures are held in, for people."""
    known = recipes.backend(record.spec.mode)
    return record.spec.mode.text if known is None else _BACKENDS[known]


def recipe(record: Record) -> str:
    """The name of a pipeline's recipe."""
    return record.spec.workload.architecture.removeprefix(recipes.PREFIX)


def is_network(record: Record) -> bool:
    """Whether a record is of something that pictures are made for."""
    return not feeding.is_pipeline(record) and not record.spec.workload.is_layer


def to_table(runs: Sequence[StoredRun], pictures: int, *, people: bool) -> Table:
    """A row per network and pipeline of some runs.

    Args:
        runs: where they are.
        pictures: of the data set.
        people: intervals stand beside their numbers; otherwise columns hold their ends.
    """
    found = entries(runs)
    return table(found, pictures) if people else tidy(found, pictures)


Pair = tuple["Entry", "Record | None"]


def pairs(found: Sequence[Entry]) -> list[Pair]:
    """Every measured network by itself and with each pipeline that feeds it."""
    fed = feeding.feedings([one.record for one in found])
    return [
        (entry, pipeline)
        for entry in found
        if is_network(entry.record) and entry.latency is not None
        for pipeline in (None, *(one.pipeline for one in fed if one.network is entry.record))
    ]


def table(found: Sequence[Entry], pictures: int) -> Table:
    """For people: axes on which all networks agree stand in the caption."""
    some = pairs(found)
    told = [axis for axis in axes_told() if axis.name not in _TOLD_BESIDE]
    keep, shared = apart(told, [[place(axis, entry) for axis in told] for entry, _ in some])
    rows = tuple(
        (*(place(axis, entry) for axis in keep), *_figures(entry, pipeline, pictures))
        for entry, pipeline in some
    )
    amount = "1 picture" if pictures == 1 else f"{pictures:,} pictures"
    head = (
        f"an epoch of {amount}, from the times of steps and batches by the clock,"
        " with any waiting for a core in them"
    )
    decided = {row[-1] for row in rows}
    # What all rows say alike gives way to what tells them apart.
    alike = len(rows) > 1 == len(decided)
    last = replace(_FIGURES[-1], detail=3) if alike else _FIGURES[-1]
    columns = (*map(column, keep if some else ()), *_FIGURES[:-1], last)
    columns, rows = _told_apart(columns, rows, len(keep) + 1 if some else 0)
    left = [line for limit, line in _WHY.items() if limit in decided]
    if feeding.IN_TURN in decided and any(
        entry.record.spec.device.kind == "cuda" for entry in found
    ):
        left.append(_AT_MOST)
    left += [] if some else [_NONE]
    machine = captions([entry for entry, _ in some])[:1]
    return Table(columns, rows, (*shared, *machine, head), tuple(left))


def _told_apart(
    columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], names: int
) -> tuple[tuple[Column, ...], tuple[tuple[Any, ...], ...]]:
    """The columns and rows, of which the first ``names`` columns say what a row is about.

    Those without which two rows would look alike stay in any line. Runs are the least of a name:
    what they did differently says more, and then stands first.
    """
    runs = [index for index in range(names) if columns[index].name == "run"]
    needed = set(range(names))
    count = len({row[:names] for row in rows})
    for index in (*runs, *reversed(range(names))):
        left = needed - {index}
        if len({tuple(row[place] for place in left) for row in rows}) == count:
            needed = left
    idle = [index for index in runs if index not in needed]
    order = [*(index for index in range(len(columns)) if index not in idle), *idle]
    details = dict.fromkeys(needed, STAYS) | dict.fromkeys(idle, _RUN_DETAIL)
    details |= {index: 0 for index in range(names) if index not in details}
    return (
        tuple(replace(columns[index], detail=details.get(index, columns[index].detail))
              for index in order),
        tuple(tuple(row[index] for index in order) for row in rows),
    )  # fmt: skip


# Leaves before anything else.
_RUN_DETAIL = 4


def _figures(entry: Entry, pipeline: Record | None, pictures: int) -> tuple[Any, ...]:
    found = _epoch(entry, pipeline, pictures)
    made = None
    if pipeline is not None:
        workers = recipes.workers(pipeline.spec.workload)
        made = f"{recipe(pipeline)}, {backend(pipeline)} ({workers})"
    return (made, found.steps, found.seconds, found.limit)


def _epoch(entry: Entry, pipeline: Record | None, pictures: int) -> Epoch:
    cores = entry.environment.hard.get("cores_usable")
    known = cores if isinstance(cores, int) else None
    return feeding.epoch(entry.record, pipeline, pictures, known)


# Columns for machines, in order.
TIDY = ("network", "pipeline", "workers", "pictures", "steps", "epoch_s", "epoch_low_s",
        "epoch_high_s", "decided_by")  # fmt: skip


def tidy(found: Sequence[Entry], pictures: int) -> Table:
    """For machines: ids and numbers as they are."""
    columns = tuple(Column(name, name, "number") for name in TIDY)
    rows = [_row(entry, pipeline, pictures) for entry, pipeline in pairs(found)]
    return Table(columns, tuple(tuple(row[name] for name in TIDY) for row in rows))


def _row(entry: Entry, pipeline: Record | None, pictures: int) -> dict[str, Any]:
    epoch = _epoch(entry, pipeline, pictures)
    time = epoch.seconds
    return {
        "network": entry.record.id,
        "pipeline": None if pipeline is None else pipeline.id,
        "workers": None if pipeline is None else recipes.workers(pipeline.spec.workload),
        "pictures": pictures,
        "steps": epoch.steps,
        "epoch_s": None if time is None else time.point,
        "epoch_low_s": None if time is None else time.low,
        "epoch_high_s": None if time is None else time.high,
        "decided_by": epoch.limit,
    }
