"""The convolution lab's records -> tables and lines of advice.

On a terminal people get the answer and one table (``lab_overview``); where the width is free, three
tables: speed and accuracy of implementations, the work that they do, and the gain of substitutes.
``tidy`` is one table for machines.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import metrics
from cnnbench.codec import encode
from cnnbench.conv import dialects, known_bad, results
from cnnbench.inert import in_json
from cnnbench.report import lab_advice, lab_overview, render, rows, times, usability
from cnnbench.report.entry import entries
from cnnbench.report.json import render as to_list
from cnnbench.report.table import Column, Table, captions, notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cnnbench.conv.results import Advice, ConvResult, LayerResults, SubstituteResult
    from cnnbench.record import Record
    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Value
    from cnnbench.stats import Estimate
    from cnnbench.store import StoredRun

    Content = Value | Estimate
    CellColumn = tuple[Column, Callable[[ConvResult], Content]]


def _status(record: Record, refusal: str) -> str:
    if refusal:
        return f"not applicable: {refusal}"
    case = known_bad.seen(record)
    return outcome(record) + (f" (known: {case.report})" if case is not None else "")


def outcome(record: Record) -> str:
    """The status; for a failure its kind, because dying is not the same as raising."""
    failure = record.failure
    return record.status if failure is None else f"{record.status}: {failure.kind}"


def _known(record: Record) -> str:
    case = known_bad.seen(record)
    return "" if case is None else f"{case.name}: {case.report}"


def _error(record: Record) -> float | None:
    return record.check.error_float64 if record.check is not None else None


def _algorithm(field: str) -> Callable[[ConvResult], Content]:
    return lambda cell: getattr(cell.record.algorithm, field, None)


def _point(name: str) -> Callable[[ConvResult], Content]:
    def point(cell: ConvResult) -> Content:
        found = metrics.metric(name).of(cell.record)
        return None if found is None else found.point

    return point


# Parts of names of operators that do arithmetic, where no kernel has a name of its own.
_ARITHMETIC = ("mm", "mv", "conv", "fft", "addcmul", "linear")


def _kernels(record: Record) -> str | None:
    """Kernels by name and calls; without kernels, the operators that do the arithmetic."""
    if record.structure is None:
        return None
    found = record.structure.kernels or {
        name: calls
        for name, calls in record.structure.operators.items()
        if any(part in name for part in _ARITHMETIC)
    }
    return ", ".join(f"{n}x {name}" if n > 1 else name for name, n in found.items()) or None


def _way(cell: ConvResult) -> str:
    mode = cell.record.spec.mode
    return mode.text.removeprefix("impl=")


_SPEED: tuple[CellColumn, ...] = (
    (Column("way", "implementation"), _way),
    (Column("latency", "latency", "seconds"), lambda cell: metrics.latency(cell.record)),
    (Column("speedup", "vs default", "ratio"), lambda cell: cell.speedup),
    (Column("speedup_library", "vs best library", "ratio"), lambda cell: cell.library_speedup),
    (Column("error", "error (float64)", "error"), lambda cell: _error(cell.record)),
    (Column("workspace", "workspace", "bytes"), _algorithm("workspace_bytes")),
    (Column("measured_workspace", "measured", "bytes"), _algorithm("measured_workspace_bytes")),
    (
        Column("preparation", "preparation", "seconds"),
        lambda cell: results.preparation(cell.record),
    ),
    (Column("status", "output"), lambda cell: _status(cell.record, cell.refusal)),
)

_WORK: tuple[CellColumn, ...] = (
    (Column("way", "implementation"), _way),
    (Column("effective", "FLOP/s", "count"), _point("effective_flops")),
    (Column("executed", "executed", "count"), _point("executed_flops")),
    (Column("intensity", "FLOP/byte", "number"), _point("intensity")),
    (Column("roof_share", "of roofline", "fraction"), _point("roof_share")),
    (Column("roof", "bound by"), lambda cell: metrics.binding(cell.record) or ""),
    (Column("reorders", "reorders", "whole"), _point("reorders")),
    (Column("reorder_share", "reorder time", "fraction"), _point("reorder_share")),
    (Column("faults", "faults/call", "number"), _point("faults")),
    (Column("kernel", "ran"), lambda cell: _kernels(cell.record) or ""),
)

_STANDINS: tuple[tuple[Column, Callable[[SubstituteResult], Content]], ...] = (
    (Column("substitute", "substitute"), lambda one: one.name),
    (Column("mode", "mode"), lambda one: one.record.spec.mode.text),
    (Column("params", "params", "count"), lambda one: _cost(one, "params")),
    (Column("macs", "MACs", "count"), lambda one: _cost(one, "macs")),
    (Column("promised", "promised by MACs", "ratio"), lambda one: one.promised),
    (Column("measured", "measured, same mode", "ratio"), lambda one: one.measured),
    (Column("latency", "latency", "seconds"), lambda one: metrics.latency(one.record)),
    (Column("error", "error (own float64)", "error"), lambda one: _error(one.record)),
    (Column("status", "output"), lambda one: _status(one.record, one.refusal)),
)


def _cost(one: SubstituteResult, field: str) -> int | None:
    return getattr(one.record.cost, field, None)


def ways(found: Sequence[LayerResults]) -> Table:
    """Speed and accuracy: a part per layer, a row per implementation; or why it does not apply."""
    return _parts(_SPEED, [(lab_advice.title(bench), bench.cells) for bench in found])


def work(found: Sequence[LayerResults]) -> Table:
    """The work of each implementation that has a number: arithmetic, roofline bound, kernels."""
    table = _parts(
        _WORK, [(lab_advice.title(b), [c for c in b.cells if not c.refusal]) for b in found]
    )
    done = (cell.record.algorithm for bench in found for cell in bench.cells)
    memory = dict.fromkeys(one.allocator for one in done if one is not None and one.allocator)
    return replace(table, notes=tuple(f"memory comes from {name}" for name in memory))


def substitutes(found: Sequence[LayerResults]) -> Table:
    """Substitutes for each layer, promised and measured, each against the layer in its mode."""
    return _parts(_STANDINS, [(lab_advice.title(bench), bench.standins) for bench in found])


def _parts(
    columns: Sequence[tuple[Column, Callable[[Any], Content]]],
    parts: Iterable[tuple[str, Sequence[Any]]],
) -> Table:
    filled = [(heading, rows) for heading, rows in parts if rows]
    return Table(
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(of(row) for _, of in columns) for _, rows in filled for row in rows),
        groups=tuple((heading, len(rows)) for heading, rows in filled),
    )


def tidy(found: Sequence[LayerResults]) -> Table:
    """A row per implementation and substitute, with bounds and units in the names."""
    rows = [
        row for b in found for row in (*map(_tidy_cell, b.cells), *map(_tidy_standin, b.standins))
    ]
    columns = tuple(Column(name, name, "number") for name in TIDY)
    return Table(columns, tuple(tuple(row.get(name) for name in TIDY) for row in rows))


# Columns for machines, in order; docs/conv.md says what each is.
TIDY = (
    "spec", "layer", "input", "batch", "mode", "implementation", "substitute", "device", "threads",
    "environment", "status", "reason", "known_bug",
    "latency_median_s", "latency_low_s", "latency_high_s",
    "speedup", "speedup_low", "speedup_high",
    "best_library", "speedup_library", "speedup_library_low", "speedup_library_high",
    "relative_error_float64", "workspace_bytes", "measured_workspace_bytes", "prepared_bytes",
    "preparation_s", "params", "macs", "executed_macs", "moved_bytes",
    "effective_flops_per_s", "executed_flops_per_s", "flops_per_byte", "roof_share", "roof",
    "kernels", "reorders", "reorder_share", "minor_faults_per_call", "allocator", "l2",
    "promised_by_macs", "benchdnn",
)  # fmt: skip


def _common(record: Record, refusal: str) -> dict[str, Any]:
    spec, done = record.spec, record.algorithm
    failure = record.failure.message if record.failure is not None else ""
    checked = record.check.reason if record.check is not None else ""
    row: dict[str, Any] = {
        "spec": record.id,
        "layer": spec.workload.group.architecture,
        "input": spec.workload.shape_text,
        "batch": spec.workload.batch,
        "mode": spec.mode.text,
        "implementation": spec.mode.implementation,
        "device": spec.device.text,
        "threads": spec.threads,
        "environment": record.environment,
        "status": "not applicable" if refusal else record.status,
        "reason": failure or checked,
        "known_bug": _known(record),
        "relative_error_float64": _error(record),
        "roof": metrics.binding(record),
        "kernels": _kernels(record),
        "allocator": getattr(done, "allocator", None) or None,
        "l2": ("cold" if metrics.cold(record) else "warm") if record.rounds else None,
    }
    row |= _bounds("latency_median_s", metrics.latency(record), "latency_low_s", "latency_high_s")
    for name in ("executed_macs", "moved_bytes", "workspace_bytes", "measured_workspace_bytes",
                 "prepared_bytes"):  # fmt: skip
        row[name] = getattr(done, name, None)
    for name in ("params", "macs", "effective_flops", "executed_flops", "intensity", "roof_share",
                 "reorders", "reorder_share", "faults"):  # fmt: skip
        found = metrics.metric(name).of(record)
        row[metrics.metric(name).column] = None if found is None else found.point
    return row


def _bounds(name: str, value: Estimate | None, low: str = "", high: str = "") -> dict[str, Any]:
    if value is None:
        return {}
    return {name: value.point, low or f"{name}_low": value.low, high or f"{name}_high": value.high}


def _tidy_cell(cell: ConvResult) -> dict[str, Any]:
    return {
        **_common(cell.record, cell.refusal),
        **_bounds("speedup", cell.speedup),
        **_bounds("speedup_library", cell.library_speedup),
        "best_library": cell.library.spec.mode.text if cell.library is not None else None,
        "preparation_s": results.preparation(cell.record),
        "benchdnn": dialects.to_benchdnn(cell.problem),
    }


def _tidy_standin(one: SubstituteResult) -> dict[str, Any]:
    return {
        **_common(one.record, one.refusal),
        **_bounds("speedup", one.measured),
        "substitute": one.name,
        "promised_by_macs": one.promised,
    }


def benches(runs: Sequence[StoredRun]) -> tuple[LayerResults, ...]:
    """Every layer of the runs, in the order of the request."""
    records = []
    for run in runs:
        table = {record.id: record for record in run.records}
        records += [table[name] for name in run.manifest.specs if name in table]
    return results.layer_results(records)


def to_text(
    runs: Sequence[StoredRun],
    kind: str = "table",
    extra: Sequence[Table] = (),
    width: int | None = None,
) -> str:
    """Records of the lab in a format: tidy for machines, else tables and advice.

    Args:
        runs: where they are.
        kind: a format of tables.
        extra: tables that follow those of the layers.
        width: of a line of plain text; ``None`` for any.
    """
    found = benches(runs)
    if kind == "csv":
        return render(tidy(found), kind)
    if kind == "json":
        return to_json(runs)
    read = _beside_tables(runs)
    if kind == "table" and width is not None:
        return _opening(found, read, extra, width)
    first = ways(found)
    tables = [
        Table(first.columns, first.rows, captions(read, "default"), groups=first.groups),
        work(found),
        *([substitutes(found)] if any(bench.standins for bench in found) else []),
        *extra,
        Table((), (), ("Recommendations and their gains, with intervals over rounds:",),
              tuple(lab_advice.advice(found))),
    ]  # fmt: skip
    tables.append(Table((), (), ("Notes:",), _remarks(read, tables)))
    return "\n".join(render(table, kind, width) for table in tables if table.rows or table.notes)


def _opening(
    found: Sequence[LayerResults], read: Sequence[Entry], extra: Sequence[Table], width: int
) -> str:
    """What fits a line: of a single layer the answer, then its ways by time; else advice."""
    table = lab_overview.overview(found, read)
    alone = len(found) == 1
    said = lab_overview.sentences(found[0]) if alone else lab_advice.advice(found)
    head = "" if alone else "Recommendations and their gains, with intervals over rounds:"
    some = [entry for entry in read if not entry.record.refused]
    verdict = usability.lines(some)
    # An answer that nobody should use does not come first.
    doubtful = alone and any(one.use == "not usable" for one in usability.by_run(some).values())
    if doubtful:
        said = [*(f"{line[:1].upper()}{line[1:]}." for line in verdict), *said]
    told = Table((), (), (head,) if head else (), tuple(said))
    tables = [replace(table, captions=captions(read, "default")), *extra]
    tables.insert(0 if alone else len(tables), told)
    lines = (*(verdict * (not doubtful)), *rows.together(some), *times.remarks(some, *tables))
    tables.append(Table((), (), ("Notes:",), lines))
    return "\n".join(render(one, "table", width) for one in tables if one.rows or one.notes)


def _beside_tables(runs: Sequence[StoredRun]) -> list[Entry]:
    """Entries whose latency is the clock's, as rates and gains in these tables are."""
    found: list[Entry] = []
    for run in runs:
        # A run is judged as a whole: a network whose layers these are belongs to it.
        whole = [replace(one, by_clock=True) for one in entries([run])]
        judge = functools.cache(functools.partial(usability.judge, whole))
        found += [replace(e, judge=judge) for e in whole if e.record.spec.workload.is_layer]
    return found


def _remarks(found: Sequence[Entry], tables: Sequence[Table]) -> tuple[str, ...]:
    """Why a row is not ok, beyond what the tables already say."""
    some = [entry for entry in found if not entry.record.refused]
    return (*notes(some), *times.remarks(some, *tables))


def to_json(runs: Sequence[StoredRun], networks: Sequence[dict[str, Any]] = ()) -> str:
    """Tidy rows, the advice for every layer by class, and the networks of the layers."""
    found = benches(runs)
    told = [one for bench in found for one in results.advice(bench)]
    whole: dict[str, Any] = {
        "rows": json.loads(to_list(tidy(found))),
        "advice": [_advice(one) for one in told],
        "networks": list(networks),
        "usability": encode(usability.by_run(_beside_tables(runs))),
    }
    return in_json(json.dumps(whole, indent=1, allow_nan=False)) + "\n"


def _advice(one: Advice) -> dict[str, Any]:
    return {
        "layer": one.bench.workload.architecture,
        "input": one.bench.workload.shape_text,
        "batch": one.bench.workload.batch,
        "phase": one.bench.workload.phase,
        "threads": one.bench.threads,
        "environment": one.bench.environment,
        "class": one.kind,
        "dtype": one.dtype,
        "spec": None if one.chosen is None else one.chosen.id,
        **_bounds("gain", one.gain),
        **_bounds("against_best_library", one.beside),
        "promised_by_macs": one.promised,
        "tried": one.tried,
        "wrong": one.wrong,
        "text": lab_advice.line(one),
    }
