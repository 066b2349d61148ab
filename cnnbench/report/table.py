"""Records -> Table: what is shown, decided once for every format.

``tidy`` is for machines: one row per spec, every metric a column with its unit in its name.
``summary`` is for people: what is the same in all rows moves into the caption, intervals stand
beside their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from cnnbench import axes, metrics, units
from cnnbench.metrics import METRICS
from cnnbench.metrics.deployed import deployed_precision
from cnnbench.report import images, rows, times, training, usability
from cnnbench.report.entry import RUN, Entry, hoisted, place
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.axes import Axis
    from cnnbench.environment import Environment

# Where nothing was measured, no reader may think that it was.
FAKE = "FAKE EXECUTOR: every number here is made up"

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: stable, for machines.
        title: for people.
        kind: ``text``, or how ``units`` writes the number.
        detail: on a narrow terminal, columns of more detail are left out first; -1 stays.
    """

    name: str
    title: str
    kind: str = "text"
    detail: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of raw values; formats render them.

    Attributes:
        columns: in order.
        rows: a value per column; ``None`` is "not measured", an ``Estimate`` is a number with its
            interval.
        captions: lines that hold for all rows.
        notes: lines that explain single rows; an indented one belongs to the one before it.
        groups: heading and number of rows of each part, in order; formats for people show them.
        data: of each row what a page's script compares; empty elsewhere.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value | Estimate, ...], ...]
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    data: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def parts(self) -> list[tuple[str, int, int]]:
        """Heading, first row and row behind the last of every group; one without a heading."""
        if not self.groups:
            return [("", 0, len(self.rows))]
        found, start = [], 0
        for heading, count in self.groups:
            found.append((heading, start, start + count))
            start += count
        return found


# A column and how an entry fills it.
Cell = tuple[Column, "Callable[[Entry], Any]"]


def column(axis: Axis) -> Column:
    """The column of an axis."""
    return Column(axis.name, axis.name, axis.kind)


def _cell(axis: Axis) -> Cell:
    return column(axis), partial(place, axis)


_STATUS: tuple[Cell, ...] = (
    (Column("status", "status"), lambda e: e.record.status),
    (Column("error", "error"), lambda e: e.record.reason),
)

_ORIGIN: tuple[Cell, ...] = (
    (Column("measurement", "measurement"), lambda e: e.quality),
    (Column("usability", "usability"), lambda e: None if (u := e.usability) is None else u.use),
    (Column("roof", "roof"), lambda e: metrics.binding(e.record)),
    (Column("rounds", "rounds", "whole"), lambda e: e.record.rounds),
    (Column("subnormal_share", "subnormals", "fraction"),
     lambda e: _finite(e.record.reference.subnormal_share if e.record.reference else None)),
    (Column("weights", "weights"),
     lambda e: e.record.reference.weights if e.record.reference else None),
    (Column("loss", "loss"), lambda e: e.record.told("loss")),
    _cell(axes.settings()["train"]),
    (Column("trained", "trained"), lambda e: e.record.told("trained")),
    (Column("images", "images"), images.directory),
    (Column("notes", "notes"), lambda e: "; ".join(e.record.notes)),
    (Column("run", "run"), lambda e: e.run),
    (Column("environment", "environment"), lambda e: e.record.environment),
    (Column("torch", "torch"), lambda e: _torch(e.environment)),
    (Column("measured_at", "measured at"), lambda e: e.record.measured_at),
)  # fmt: skip


def _finite(value: float | None) -> float | None:
    """The value, or ``None`` if it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def _torch(environment: Environment) -> str | None:
    version = (environment.hard.get("torch") or {}).get("version")
    return None if version is None else str(version)


def tidy(found: Sequence[Entry]) -> Table:
    """One row per spec with every metric; names and order are stable."""
    return chosen(found, tidy_columns())


def tidy_columns() -> list[Cell]:
    """The columns for machines, in order, each with how an entry fills it."""
    spec: Cell = (Column("spec", "spec"), lambda e: e.record.id)
    identity = [spec, *map(_cell, axes.tidy()), *_STATUS]
    return [*identity, *_metric_columns(), *_speedup_columns(), *_ORIGIN]


def summary_columns() -> list[Cell]:
    """The columns for people, in order."""
    return [*map(_cell, axes_told()), *_FIGURES]


def chosen(found: Sequence[Entry], cells: Sequence[Cell]) -> Table:
    """A row per entry of exactly these columns."""
    fillers = [of for _, of in cells]
    return Table(
        columns=tuple(column for column, _ in cells),
        rows=tuple([tuple([of(entry) for of in fillers]) for entry in found]),
    )


def _metric_columns() -> list[Cell]:
    columns: list[Cell] = []
    for metric in METRICS:
        names = (metric.column, *(metric.interval or ()))
        for name, part in zip(names, ("point", "low", "high"), strict=False):
            columns.append((Column(name, name, metric.kind), _exact(metric.name, part)))
    return columns


def _part(of: Callable[[Entry], Estimate | None], part: str) -> Callable[[Entry], Value]:
    def value(entry: Entry) -> Value:
        estimate = of(entry)
        return None if estimate is None else getattr(estimate, part)

    return value


def _speedup_columns() -> list[Cell]:
    """The columns that compare an entry with its reference mode."""
    beside: tuple[tuple[str, str, Callable[[Entry], Estimate | None]], ...] = (
        ("speedup", "ratio", lambda e: e.speedup),
        ("break_even_calls", "number", lambda e: e.break_even),
    )
    ends = (("", "point"), ("_low", "low"), ("_high", "high"))
    return [
        (Column(name + end, name + end, kind), _part(of, field))
        for name, kind, of in beside
        for end, field in ends
    ]


def _of(name: str) -> Callable[[Entry], Estimate | None]:
    metrics.metric(name)
    return lambda entry: entry.estimates[name]


def _exact(name: str, part: str = "point") -> Callable[[Entry], Value]:
    """A metric without its uncertainty, or another part of it, as a bare number."""
    metrics.metric(name)
    of = attrgetter(part)

    def value(entry: Entry) -> Value:
        estimate = entry.estimates[name]
        return None if estimate is None else of(estimate)

    return value


def axes_told() -> list[Axis]:
    """The axes that people are told of, in order."""
    return [RUN, *axes.shown()]


# What people look at; columns without a single value are left out.
_FIGURES: tuple[Cell, ...] = (
    (Column("latency", "latency", "seconds"), lambda e: e.latency),
    (Column("speedup", "vs eager", "ratio"), lambda e: e.speedup),
    (Column("throughput", "samples/s", "rate"), _part(lambda e: e.throughput, "point")),
    (Column("cpu_peak_bytes", "peak memory", "bytes"), _exact("peak_memory")),
    (Column("gpu_busy_share", "GPU busy", "fraction"), _exact("gpu_busy")),
    (Column("cuda_peak_bytes", "CUDA peak", "bytes"), _exact("cuda_memory")),
    (Column("energy_per_sample_j", "J/sample", "number"), _exact("energy")),
    (Column("params", "params", "count"), _exact("params")),
    (Column("trainable_params", "trainable", "count"), training.trainable),
    (Column("macs", "MACs", "count"), _exact("macs")),
    (Column("training_macs", "training MACs", "count"), training.macs),
    (Column("compile_cold_s", "compile", "seconds"), _exact("compile_cold")),
    (Column("export_s", "export", "seconds"), _exact("export_time")),
    (Column("load_s", "import+load", "seconds"), _exact("load_time")),
    (Column("artefact_bytes", "artefact", "bytes"), _exact("artefact")),
    (Column("precision", "computes in"), lambda e: deployed_precision(e.record)),
    (Column("cold_start_s", "cold start", "seconds"), _exact("cold_start")),
    (Column("cold_import_s", "import", "seconds"), _exact("cold_import")),
    (Column("cold_load_s", "load", "seconds"), _exact("cold_load")),
    (Column("cold_first_s", "first call", "seconds"), _exact("cold_first")),
    (Column("relative_error", "rel. error", "error"), _exact("error")),
    (Column("accuracy_top1", "accuracy", "share"), _of("accuracy_top1")),
    (Column("top1_agreement", "agreement", "share"), images.agreement),
    (Column("top1_pictures", "pictures", "whole"), images.count),
    (Column("status", "output"), lambda e: e.record.status),
    (Column("measurement", "measurement"), lambda e: e.quality),
)

# A column that holds nothing else says nothing.
_UNREMARKABLE = (None, "clean")


def summary(found: Sequence[Entry]) -> Table:
    """The table that a run prints at its end."""
    keep, shared = apart(axes_told(), [[place(axis, one) for axis in axes_told()] for one in found])
    figures = [
        cell for cell in _FIGURES if any(cell[1](entry) not in _UNREMARKABLE for entry in found)
    ]
    table = chosen(found, [*map(_cell, keep if found else ()), *figures])
    lines = (*notes(found), *times.remarks(found, table))
    return replace(table, captions=(*shared, *captions(found)), notes=lines)


def apart(told: Sequence[Axis], rows: Sequence[Sequence[Value]]) -> tuple[list[Axis], list[str]]:
    """Which axes need a column, and the caption for the others, in at most one line.

    Args:
        told: axes, in the order in which they are told.
        rows: a value per axis.
    """
    values = {axis.name: {row[index] for row in rows} for index, axis in enumerate(told)}
    keep = [axis for axis in told if axis.always or axes.tells(values[axis.name], axis.default)]
    shared = [hoisted(axis, values[axis.name]) for axis in told if not axis.always]
    line = ", ".join(filter(None, shared))
    return keep, [line] if line else []


def captions(found: Sequence[Entry], over: str = "eager") -> tuple[str, ...]:
    """Captions: machine, software, and how the numbers were measured; gains ``over`` what."""
    lines = [where(one) for one in {id(e.environment): e.environment for e in found}.values()]
    counts = {entry.record.rounds for entry in found if entry.record.failure is None}
    if counts - {0}:
        lines.append(
            f"latency: median over {_span(counts - {0})}, 95 % interval over rounds;"
            f" vs {over}: from slices measured side by side"
        )
    cold = {metrics.cold(entry.record) for entry in found if entry.record.rounds}
    if True in cold:
        some = "" if len(cold) == 1 else " of some rows"
        lines.append(f"caches flushed before every sample{some} (--l2 cold)")
    return tuple(dict.fromkeys([*lines, *training.captions(found)]))


def _span(counts: set[int]) -> str:
    if counts == {1}:
        return "1 round"
    return "-".join(str(count) for count in sorted({min(counts), max(counts)})) + " rounds"


def where(environment: Environment) -> str:
    """An environment in a line, or that nothing was measured in it."""
    hard = environment.hard
    if hard.get("fake"):
        return FAKE
    torch = hard.get("torch") or {}
    parts = [
        str(hard.get("cpu") or "unknown processor"),
        units.number(hard.get("cores_usable", 0), "core"),
        *environment.gpus,
        f"torch {torch.get('version')}",
        f"Python {hard.get('python')}",
        f"environment {environment.fingerprint}",
    ]
    return ", ".join(parts)


def notes(found: Sequence[Entry]) -> tuple[str, ...]:
    """What each run is good for; a line for every row that is not ok and every note."""
    lines = [*usability.lines(found), *training.lines(found)]
    lines += [
        f"{entry.record.id}: {text}" for entry in found for text in rows.remarks(entry.record)
    ]
    return tuple(dict.fromkeys(lines))
