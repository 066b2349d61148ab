"""What a page is made of: sections with a table and, where it helps, a plot.

Frozen values: a plot says what is drawn; ``drawing`` and ``pictures`` say how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.report.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class PlotAxis:
    """An axis.

    Attributes:
        title: with the unit.
        log: logarithmic.
        scale: values are multiplied by it to be in the title's unit.
        ranks: values are places in an order, which nobody reads as numbers.
        rows: names of the places 0, -1, -2, …, from the top.
    """

    title: str
    log: bool = False
    scale: float = 1.0
    ranks: bool = False
    rows: tuple[str, ...] = ()

    def scaled(self, values: Iterable[float]) -> list[float]:
        """Values in the title's unit, with the digits that a plot has points for."""
        return [float(f"{value * self.scale:.6g}") for value in values]


# How many times the low end of an interval its high end may be to be drawn.
_WIDEST = 100.0


@dataclass(frozen=True)
class PlotPoint:
    """A mark.

    Attributes:
        x, y: where.
        group: what the legend calls it.
        tip: lines shown when it is pointed at.
        low, high: ends of the interval along ``Points.interval``.
        size: diameter in screen units.
        label: written beside it, for the few that readers look for.
        hollow: drawn as a ring: it rests on one round.
        data: names and values for the page's script.
        spare: not shown until the script finds that it stands in for another.
    """

    x: float
    y: float
    group: str
    tip: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    size: float = 9.0
    label: str = ""
    hollow: bool = False
    data: tuple[tuple[str, str], ...] = ()
    spare: bool = False

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval, unless it is so wide that it would hide everything else on its axis."""
        if self.low is None or self.high is None or 0 < _WIDEST * self.low < self.high:
            return None
        return self.low, self.high


@dataclass(frozen=True)
class Line:
    """A line through points; ``dashed`` for what was not measured but follows."""

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    dashed: bool = False


@dataclass(frozen=True)
class Points:
    """Marks, their intervals along one axis, and lines.

    Attributes:
        x, y: the axes.
        points: the marks.
        lines: beneath them.
        interval: the axis along which intervals lie, ``x`` or ``y``.
        joined: the marks of a group are joined by a line.
        groups: their order, which decides their colours; by default that of appearance.
        grey: the groups that are drawn behind the others, in grey.
        height: of the area, in screen units.
        calm: intervals are shown when a mark is pointed at.
    """

    x: PlotAxis
    y: PlotAxis
    points: tuple[PlotPoint, ...]
    lines: tuple[Line, ...] = ()
    interval: str = "x"
    joined: bool = False
    groups: tuple[str, ...] = ()
    grey: tuple[str, ...] = ()
    height: int = 380
    calm: bool = False

    @property
    def painted(self) -> list[tuple[str, int | None, list[PlotPoint]]]:
        """Group, number of its colour, marks; the grey ones, which have no number, first."""
        known = dict.fromkeys((*self.groups, *(one.group for one in self.points)))
        coloured = [name for name in known if name not in self.grey]
        found: dict[str, list[PlotPoint]] = {name: [] for name in (*self.grey, *coloured)}
        for one in self.points:
            found[one.group].append(one)
        number = {name: index for index, name in enumerate(coloured)}
        return [(name, number.get(name), some) for name, some in found.items() if some]


@dataclass(frozen=True)
class Square:
    """A field of a heat map; one is neutral, above it is better."""

    row: str
    column: str
    value: float
    text: str
    tip: tuple[str, ...]


@dataclass(frozen=True)
class Heat:
    """Rows x columns of ratios."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class Box:
    """Five numbers of a distribution: 5 %, quartiles, 95 %."""

    row: str
    group: str
    numbers: tuple[float, float, float, float, float]
    tip: tuple[str, ...]


@dataclass(frozen=True)
class Boxes:
    """Distributions beside each other, several per row."""

    axis: PlotAxis
    boxes: tuple[Box, ...]


Plot = Points | Heat | Boxes


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its anchor.
        title: its heading.
        reading: how to read it.
        table: the numbers, for those without scripts too.
        plots: each with what it is a plot of.
        whole: the table is shown however long it is: nothing else on the page holds it.
        folded: evidence, which is opened by those who doubt.
    """

    name: str
    title: str
    reading: str
    table: Table | None = None
    plots: tuple[tuple[str, Plot], ...] = ()
    whole: bool = False
    folded: bool = False
