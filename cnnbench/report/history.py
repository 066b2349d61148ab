"""Series over runs -> Table: a row per spec with a small picture, or a row per run.

What must be said of them (``step_notes``) stands below.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import metrics, units
from cnnbench.report import cells, step_notes
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate.history import Series, StepChange

_BARS = "▁▂▃▄▅▆▇█"
# A longer series is drawn with its last points only.
_WIDTH = 60


def overview(found: Sequence[Series]) -> Table:
    """One row per spec; steps below the table."""
    metric = metrics.metric(found[0].metric) if found else None
    kind = metric.kind if metric is not None else "number"
    columns = (
        Column("spec", "spec"),
        Column("runs", "runs", "whole", detail=1),
        Column("first", "first", kind, detail=2),
        Column("last", "last", kind),
        Column("change", "last/first", "change"),
        Column("steps", "steps", "whole"),
        Column("picture", "oldest to newest"),
    )
    rows = [
        (
            one.spec,
            len(one.points),
            cells.point(one.points[0].seen),
            cells.point(one.points[-1].seen),
            _over(one.points[-1].seen.point, one.points[0].seen.point),
            len(one.steps),
            sparkline(one),
        )
        for one in found
    ]
    name = metric.name if metric is not None else ""
    table = Table(columns, tuple(rows), (f"{name} over runs; | marks a step",))
    return replace(table, notes=notes(found, marked=cells.marked(table)))


def _over(new: float, old: float) -> float | None:
    return new / old if old else None


def notes(found: Sequence[Series], *, marked: bool) -> tuple[str, ...]:
    """A line per step, and of what the values are; ``marked``: those in the table bear a mark."""
    lines = step_notes.lines(found)
    waited = sum(point.seen != point.estimate for one in found for point in one.points)
    if waited:
        mark = f" ({cells.AWAKE})" if marked else ""
        lines.append(
            f"{units.number(waited, 'point')} in series with a disturbed one: the time that the"
            f" process waited for a core is taken out{mark}; CSV and JSON have the clock's"
        )
    return tuple(lines)


def points(found: Sequence[Series], *, exact: bool = True) -> Table:
    """One row per spec and run; ``exact`` by the clock, for machines, else as people see it."""
    kind = metrics.metric(found[0].metric).kind if found else "number"
    columns = (
        Column("spec", "spec"),
        Column("metric", "metric"),
        Column("run", "run"),
        Column("created", "created"),
        Column("environment", "environment"),
        Column("value", "value", kind),
        Column("low", "low", kind),
        Column("high", "high", kind),
        Column("step", "step", "change"),
        Column("step_low", "step low", "change"),
        Column("step_high", "step high", "change"),
        Column("young", "young"),
        Column("revision", "revision"),
        Column("dirty", "dirty"),
    )
    rows: list[tuple[Any, ...]] = []
    for one in found:
        steps = {step.index: step for step in one.steps}
        for number, point in enumerate(one.points):
            step = steps.get(number)
            estimate = point.estimate if exact else point.seen
            rows.append((
                one.spec, one.metric, point.run, point.created, point.environment,
                cells.point(estimate), estimate.low, estimate.high,
                *_of_step(step),
                point.revision or None,
                point.dirty if point.revision else None,
            ))  # fmt: skip
    table = Table(columns, tuple(rows))
    return table if exact else replace(table, notes=notes(found, marked=cells.marked(table)))


def _of_step(step: StepChange | None) -> tuple[float | bool | None, ...]:
    if step is None:
        return None, None, None, None
    return step.ratio.point, step.ratio.low, step.ratio.high, step.young


def sparkline(one: Series) -> str:
    """The series as bars from its lowest to its highest value, a stroke before every step."""
    values = [point.seen.point for point in one.points]
    low, span = min(values), max(values) - min(values)
    steps = {step.index for step in one.steps}
    bars = [
        ("|" if number in steps else "")
        + _BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 0]
        for number, value in enumerate(values)
    ]
    return "".join(bars[-_WIDTH:])
