"""Series over runs -> an HTML page with every level and every step change."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.report import csv
from cnnbench.report import history as shown
from cnnbench.report.conclusions import Sentence
from cnnbench.report.page.document import Document, html
from cnnbench.report.page.heading import Heading
from cnnbench.report.page.parts import Line, PlotAxis, PlotPoint, Points, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate.history import Series

# Plots that fit on a page; those with steps come first.
_MOST = 40

METHOD = (
    "Each series is cut into levels so that the squared distances of its runs from their level, in"
    " units of the noise of this very series and each counted up to a limit, plus a price per step,"
    " are smallest (after Fearnhead and Rigaill, JASA 114, 2019). One run that differs is an"
    " outlier; two at the end that agree are a step, marked young. Brackets are 95 % intervals.",
    "Runs were measured on different days: a step may be the machine's and not the code's. To see"
    " the effect of a change, measure both revisions side by side: cnnbench ab.",
)


def page(found: Sequence[Series]) -> str:
    """The page as text; of all series the table, of those that fit a plot."""
    drawn = sorted(found, key=lambda one: not one.steps)[:_MOST]
    left = len(found) - len(drawn)
    name = metrics.metric(found[0].metric).name
    overview = shown.overview(found)
    sentences = [Sentence(line, "warn" if "step of" in line else "") for line in overview.notes]
    if not any(one.steps for one in found):
        sentences.insert(0, Sentence(f"No step in {len(found)} series."))
    reading = (
        "A mark is a run with its interval, oldest to the left; the line is the median of a level,"
        " and a jump of it is a step."
    )
    if left:
        reading += f" {left} series without a plot stand in the table above."
    section = Section(
        "series",
        "Series",
        reading,
        shown.points(found),
        tuple((one.spec, plot(one)) for one in drawn),
    )
    return html(
        Document(
            heading=Heading(f"{name} over runs"),
            sentences=sentences,
            # Its notes are the sentences.
            table=replace(overview, notes=()),
            sections=[section],
            absent=(),
            method=METHOD,
            downloads={"series.csv": csv.render(shown.points(found))},
            contents="one row per spec and run, nothing rounded",
        )
    )


def plot(one: Series) -> Points:
    """Its runs, and the median of each level between its steps."""
    metric = metrics.metric(one.metric)
    title, scale = _UNITS.get(metric.kind, (metric.name, 1.0))
    marks = tuple(
        PlotPoint(
            x=number,
            y=point.seen.point,
            group="runs",
            tip=(point.run, point.created, units.significant(point.seen.point * scale, 4)),
            low=point.seen.low,
            high=point.seen.high,
        )
        for number, point in enumerate(one.points, 1)
    )
    y = PlotAxis(f"{metric.name}, {title}" if title != metric.name else title, scale=scale)
    return Points(PlotAxis("run, oldest first"), y, marks, (_levels(one),), interval="y")


# What the axis of a kind of metric counts in, and how many of them its own unit is.
_UNITS = {"seconds": ("ms", 1e3), "bytes": ("MiB", 1 / 2**20)}


def _levels(one: Series) -> Line:
    borders = [0, *(step.index for step in one.steps), len(one.points)]
    xs: list[float] = []
    ys: list[float] = []
    for first, end in itertools.pairwise(borders):
        level = statistics.median(point.seen.point for point in one.points[first:end])
        xs += [first + 0.5, end + 0.5]
        ys += [level, level]
    return Line("median of a level", tuple(xs), tuple(ys))
