"""The section about a choice: what was predicted as rings, what was measured as discs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.report import cells
from cnnbench.report.page.offers import TIME
from cnnbench.report.page.parts import Line, PlotAxis, PlotPoint, Points, Section
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.prediction.contenders import Contender
    from cnnbench.prediction.kept import KeptChoice
    from cnnbench.report.entry import Entry

_MEASURED, _PREDICTED = "measured", "predicted, not measured"
# Predictions beyond this multiple of the limit would only squeeze the plot.
_FAR = 5.0
_HEIGHT = 520


def choices(found: Sequence[Entry]) -> Section | None:
    """Published top-1 against latency, of every network of a choice; a plot per run."""
    rows: list[tuple[str | float | None, ...]] = []
    plots = []
    for run, entries in _by_run(found).items():
        choice = entries[0].choice()
        if choice is None:
            continue
        known = {one.record.id: one for one in entries if one.latency is not None}
        some = [
            one
            for one in choice.contenders.values()
            if one.seconds is not None or one.spec in known
        ]
        if some:
            rows += [_cells(one, known.get(one.spec)) for one in _sorted(some)]
            plots.append((run, _plot(choice, some, known)))
    if not plots:
        return None
    columns = (Column("model", "model"), Column("mode", "mode"),
               Column("top1", "top-1 %", "number"), Column("predicted", "predicted", "seconds"),
               Column("low", "from", "seconds"), Column("high", "to", "seconds"), TIME)  # fmt: skip
    return Section(
        "choice",
        "Predicted and measured",
        "Every network that was predicted or measured to find the most accurate one within the"
        " limit, which is the dashed line; up and to the left is better. A ring is a prediction"
        " from operators timed alone, with the interval that is to hold 90 % of them; a disc was"
        f" measured. Predictions beyond {_FAR:g} times the limit are in the table alone.",
        Table(columns, tuple(rows)),
        tuple(plots),
    )


def _by_run(found: Sequence[Entry]) -> dict[str, list[Entry]]:
    runs: dict[str, list[Entry]] = {}
    for entry in found:
        runs.setdefault(entry.run, []).append(entry)
    return runs


def _sorted(some: Sequence[Contender]) -> list[Contender]:
    return sorted(some, key=lambda one: -one.top1)


def _cells(one: Contender, entry: Entry | None) -> tuple[str | float | None, ...]:
    time = None if entry is None else entry.latency
    return (
        units.readable(one.network), one.mode, one.top1, one.seconds, one.low, one.high,
        None if time is None else time.point,
    )  # fmt: skip


def _plot(choice: KeptChoice, some: Sequence[Contender], known: dict[str, Entry]) -> Points:
    limit = choice.limits.seconds
    shown = [
        _point(one, known.get(one.spec), limit)
        for one in some
        if one.spec in known or (one.seconds or 0.0) <= _FAR * limit
    ]
    # What was measured is drawn last, over the rings.
    shown.sort(key=lambda point: not point.hollow)
    heights = [point.y for point in shown] or [0.0]
    line = Line(
        f"at most {units.seconds(limit)}", (limit, limit), (min(heights), max(heights)), dashed=True
    )
    return Points(
        PlotAxis("latency of a call, ms", log=True, scale=1e3),
        PlotAxis("ImageNet top-1, %"),
        tuple(shown),
        (line,),
        groups=(_MEASURED, _PREDICTED),
        height=_HEIGHT,
        calm=True,
    )


def _point(one: Contender, entry: Entry | None, limit: float) -> PlotPoint:
    time = None if entry is None else entry.latency
    name = units.readable(one.network)
    tip = [f"{name}, {one.mode}", f"top-1 {one.top1:g} %"]
    if time is not None:
        tip.append(f"{cells.text(TIME, time)} measured")
    if one.seconds is not None and one.low is not None and one.high is not None:
        ends = f"{units.seconds(one.low)} to {units.seconds(one.high)}"
        tip.append(f"{units.seconds(one.seconds)} predicted, {ends}")
    if time is None:
        return PlotPoint(one.seconds or 0.0, one.top1, _PREDICTED, tuple(tip), one.low, one.high,
                         hollow=True)  # fmt: skip
    return PlotPoint(time.point, one.top1, _MEASURED, tuple(tip), time.low, time.high,
                     label=name if time.point <= limit else "")  # fmt: skip
