"""Records -> wide table: one row per workload, one column per value of a field, by pandas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cnnbench import axes, metrics
from cnnbench.errors import UnknownName
from cnnbench.inert import encodable
from cnnbench.metrics import Awake
from cnnbench.report import times
from cnnbench.report.cells import Marked
from cnnbench.report.entry import RUN
from cnnbench.report.table import Column, Table, captions, notes, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry
    from cnnbench.stats import Estimate


def frame(found: Sequence[Entry]) -> pd.DataFrame:
    """The tidy table as a data frame."""
    table = tidy(found)
    rows = [[encodable(cell) if isinstance(cell, str) else cell for cell in row]
            for row in table.rows]  # fmt: skip
    data = pd.DataFrame(rows, columns=[column.name for column in table.columns])
    # A key must be equal to itself, which what is missing is not.
    return data.assign(**{
        axis.name: ["" if pd.isna(value) else value for value in data[axis.name]]
        for axis in axes.AXES
        if axis.kind == "text" and axis.name in data
    })  # fmt: skip


def pivot(found: Sequence[Entry], field: str, name: str = "latency") -> Table:
    """A metric by workload and ``field``; by mode, the speed-up against eager stands beside it.

    Raises:
        UnknownName: no such field or metric.
    """
    if field not in axes.pivots():
        raise UnknownName("field", field, axes.pivots())
    (axis,) = [axis for axis in axes.AXES if axis.name == field]
    metric = metrics.metric(name)
    data = _as_shown(frame(found), found)
    keys = _keys(data, field)
    columns, parts = [Column(key, key) for key in keys], []
    for value in data[field].drop_duplicates():
        title = axis.phrase.format("none" if value == "" else value)
        parts.append((Column(f"{metric.column}:{value}", title, metric.kind), metric.column, value))
        if field == "mode" and value != "eager" and metric.name == "latency":
            parts.append(
                (Column(f"speedup:{value}", "vs eager", "ratio", detail=1), "speedup", value)
            )
    cells = {key: _cells(data, keys, field, key) for key in {part[1] for part in parts}}
    awake = _cells(data, keys, field, "awake")
    index = data[keys].drop_duplicates().itertuples(index=False, name=None)
    rows = [
        (
            *(None if key == "" else key for key in row),
            *(
                _plain(cells[column].get((*row, value)), awake.get((*row, value)), column)
                for _, column, value in parts
            ),
        )
        for row in index
    ]
    table = Table((*columns, *(column for column, _, _ in parts)), tuple(rows), captions(found))
    return replace(table, notes=(*notes(found), *times.remarks(found, table)))


def _keys(data: pd.DataFrame, field: str) -> list[str]:
    """The model, and whatever else differs between rows."""
    apart = {field, "input"} if field == "size" else {field}
    others = [axis for axis in (*axes.shown(), RUN) if axis.name not in apart]
    values = {axis.name: [value or None for value in data[axis.name]] for axis in others}
    return [
        axis.name
        for axis in others
        if axis.name == "model" or axes.tells(values[axis.name], axis.default)
    ]


def _cells(
    data: pd.DataFrame, keys: list[str], field: str, column: str
) -> dict[tuple[Any, ...], Any]:
    """(row keys…, field value) -> number; the last record of a cell counts."""
    chosen = data.drop_duplicates([*keys, field], keep="last")
    return dict(
        zip(zip(*(chosen[k] for k in [*keys, field]), strict=True), chosen[column], strict=True)
    )


def _as_shown(data: pd.DataFrame, found: Sequence[Entry]) -> pd.DataFrame:
    """With times and rates as every other table shows them, and where they are marked."""
    estimates: dict[str, list[Estimate | None]] = {
        "latency_median_s": [entry.latency for entry in found],
        "throughput_per_s": [entry.throughput for entry in found],
    }
    for name in metrics.RATES:
        column = metrics.metric(name).column
        estimates[column] = [metrics.seen(name, entry.record) for entry in found]
    shown: dict[str, list[Any]] = {
        name: [None if one is None else one.point for one in column]
        for name, column in estimates.items()
    }
    for axis in axes.AXES:
        if axis.name not in data:
            shown[axis.name] = [axis.of(entry.record.spec) or "" for entry in found]
    return data.assign(**shown, awake=[isinstance(entry.latency, Awake) for entry in found])


def _plain(value: Any, awake: Any, column: str) -> Any:
    if value is None or pd.isna(value):
        return None
    return Marked(value) if awake and column == "latency_median_s" else float(value)
