"""Plots -> SVG and tables inside the page: whole without scripts, in the dark, and on paper.

Places across are shares of the width, so that a plot fits every window; heights, names and marks
are in screen units. The style sheet colours everything.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.inert import inert
from cnnbench.report.page import labels
from cnnbench.report.page.palette import colour, strength
from cnnbench.report.page.parts import Boxes, Heat, Points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnbench.report.page.parts import Box, Line, Plot, PlotAxis, PlotPoint, Square

# Share of an axis that stays free at both ends.
_ROOM = 0.05
# And above, where there are names.
_ABOVE = 0.1
# A legend with more entries than this would be larger than the plot.
_LEGEND = 12
# Widths of plots, in screen units: names fit at all of the first, numbers at all of the second.
_WIDE, _NARROW = (840.0, 1000.0, 1250.0), (300.0, 360.0, 450.0, 620.0, 840.0)
# Height of a named row, its name included.
_ROW = 34
# Rows of a heat map that are shown at first.
_FIRST = 25


def draw(plot: Plot, title: str) -> str:
    """A plot as HTML."""
    if isinstance(plot, Heat):
        return _heat(plot)
    return _boxes(plot, title) if isinstance(plot, Boxes) else _points(plot, title)


def text(value: str) -> str:
    """A text as HTML, on one line and in one direction."""
    return escape(inert(value, keep="\n"))


_MOST = 1e100


@dataclass(frozen=True)
class _Scale:
    """An axis on which values have places from 0 to 1."""

    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, values: Iterable[float], log: bool) -> _Scale:
        """A scale with room at both ends."""
        # What a damaged file holds beyond these stands at the end of the axis.
        sane = [value for value in values if abs(value) < _MOST and (not log or value > 1 / _MOST)]
        some = [_to(value, log) for value in sane] or [0.0, 1.0]
        low, high = min(some), max(some)
        room = _ROOM * (high - low) or (0.3 if log else abs(high) * _ROOM or 1.0)
        return cls(low - room, high + room, log)

    def share(self, value: float) -> float:
        """The place of a value; below a logarithmic axis is its beginning."""
        if math.isnan(value) or (self.log and value <= 0):
            return 0.0
        found = (_to(value, self.log) - self.low) / (self.high - self.low)
        return min(max(found, -0.02), 1.02)

    def ticks(self) -> list[float]:
        """Round values along it."""
        if not self.log:
            return _linear(self.low, self.high)
        low, high = 10**self.low, 10**self.high
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            some = [step * 10.0**power for power in powers for step in steps]
            inside = [value for value in some if low <= value <= high]
            if len(inside) <= 9:
                break
        return inside if len(inside) >= 3 else _linear(low, high)


def _to(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _linear(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 in a power of ten, at most seven."""
    if high - low < 1 / _MOST:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(k * power for k in (1, 2, 5, 10, 20) if (high - low) / (k * power) <= 7)
    first = math.ceil(low / step)
    return [round(step * k, 12) for k in range(first, math.floor(high / step) + 1)]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _frame(title: str, height: float, body: str, x: _Scale, left: bool = True) -> str:
    """An area of full width with room for the numbers beside it."""
    sort = "" if left else " bare"
    ends = f' data-low="{x.low:.6g}" data-high="{x.high:.6g}"' if x.log else ""
    return (
        f'<div class="area{sort}"{ends}><svg role="img" aria-label="{text(title)}" width="100%"'
        f' height="{height:g}">{body}</svg></div>'
    )


def _points(plot: Points, title: str) -> str:
    x, y = _scales(plot)
    height = _ROW * len(plot.y.rows) if plot.y.rows else plot.height
    body = "".join(
        (*_across(plot.x, x, height), *_down(plot.y, y, height),
         *(_line(plot, line, index, x, y, height) for index, line in enumerate(plot.lines)),
         *_marks(plot, x, y, height), *_names(plot, x, y, height),
         *_line_names(plot, x, y, height))
    )  # fmt: skip
    side = "" if plot.y.rows else f'<p class="side">{text(plot.y.title)}</p>'
    foot = f'<p class="foot">{text(plot.x.title)}</p>'
    area = _frame(title, height, body, x, left=not plot.y.rows)
    return f"{_legend(plot)}{side}{area}{foot}{_key(plot)}"


def _scales(plot: Points) -> tuple[_Scale, _Scale]:
    xs = [one.x for one in plot.points] + [value for line in plot.lines for value in line.xs]
    ys = [one.y for one in plot.points] + [value for line in plot.lines for value in line.ys]
    ends = [end for one in plot.points if not plot.calm for end in one.ends or ()]
    (xs if plot.interval == "x" else ys).extend(ends)
    x = _Scale.over(plot.x.scaled(xs), plot.x.log)
    if plot.y.rows:
        return x, _Scale(0.5 - len(plot.y.rows), 0.5, log=False)
    y = _Scale.over(plot.y.scaled(ys), plot.y.log)
    # Names stand above a front.
    above = _ABOVE * (y.high - y.low) if any(one.label for one in plot.points) else 0.0
    return x, replace(y, high=y.high + above)


def _across(axis: PlotAxis, scale: _Scale, height: float) -> Iterator[str]:
    for value in () if axis.ranks else scale.ticks():
        at = _percent(scale.share(value))
        yield f'<line class="g" x1="{at}" x2="{at}" y1="0" y2="{height:g}"/>'
        yield f'<text class="tx" x="{at}" y="{height + 15:g}">{_number(value)}</text>'


def _down(axis: PlotAxis, scale: _Scale, height: float) -> Iterator[str]:
    if axis.rows:
        for index, name in enumerate(axis.rows):
            yield f'<text class="row" x="0" y="{_ROW * index + 12}">{text(name)}</text>'
        return
    for value in () if axis.ranks else scale.ticks():
        at = f"{height * (1 - scale.share(value)):.1f}"
        yield f'<line class="g" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        yield f'<text class="ty" x="-7" y="{at}" dy="4">{_number(value)}</text>'


def _line(plot: Points, line: Line, index: int, x: _Scale, y: _Scale, height: float) -> str:
    """A line piece by piece: a path has no places in shares of the width."""
    paint = colour(-1 - index)
    places = _places(plot, line.xs, line.ys, x, y, height)
    dashed = " dashed" if line.dashed else ""
    pieces = "".join(_piece(a, b) for a, b in itertools.pairwise(places))
    return f'<g class="line{dashed}" style="color:{paint}">{pieces}</g>'


def _line_names(plot: Points, x: _Scale, y: _Scale, height: float) -> Iterator[str]:
    """The names of several lines where they begin; that of a single one is in the legend."""
    some = [line for line in plot.lines if line.xs] if len(plot.lines) > 1 else []
    xs = plot.x.scaled([line.xs[0] for line in some])
    ys = plot.y.scaled([line.ys[0] for line in some])
    named = [
        labels.PlotName(x.share(a), height * (1 - y.share(b)), line.name, 0.0)
        for a, b, line in zip(xs, ys, some, strict=True)
    ]
    for one, spot in zip(named, labels.place(named, _NARROW, height), strict=True):
        yield _label(one, spot)


def _piece(a: tuple[str, str], b: tuple[str, str]) -> str:
    return f'<line x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}"/>'


def _places(
    plot: Points, xs: Sequence[float], ys: Sequence[float], x: _Scale, y: _Scale, height: float
) -> list[tuple[str, str]]:
    pairs = zip(plot.x.scaled(xs), plot.y.scaled(ys), strict=True)
    return [(_percent(x.share(a)), f"{height * (1 - y.share(b)):.1f}") for a, b in pairs]


def _marks(plot: Points, x: _Scale, y: _Scale, height: float) -> Iterator[str]:
    for index, (name, number, some) in enumerate(plot.painted):
        places = _places(plot, [one.x for one in some], [one.y for one in some], x, y, height)
        drawn = [_mark(plot, one, at, x, y, height) for one, at in zip(some, places, strict=True)]
        order = sorted(range(len(some)), key=lambda k: some[k].x)
        joined = [_piece(places[a], places[b]) for a, b in itertools.pairwise(order)]
        line = f'<g class="line">{"".join(joined)}</g>' if plot.joined else ""
        grey = " grey" if number is None else ""
        yield (f'<g class="group{grey}" data-g="{index}" data-name="{text(name)}"'
               f' style="color:{colour(number)}">{line}{"".join(drawn)}</g>')  # fmt: skip


def _mark(
    plot: Points, one: PlotPoint, at: tuple[str, str], x: _Scale, y: _Scale, height: float
) -> str:
    data = "".join(f' data-{name}="{text(value)}"' for name, value in one.data)
    tip = text("\n".join(one.tip)).replace("\n", "&#10;")
    look = " hollow" * one.hollow + " spare" * one.spare
    whisker = ""
    if one.ends is not None:
        calm = " calm" if plot.calm else ""
        if plot.interval == "x":
            a, b = (_percent(x.share(end)) for end in plot.x.scaled(one.ends))
            ends = f'x1="{a}" x2="{b}" y1="{at[1]}" y2="{at[1]}"'
        else:
            tops = [height * (1 - y.share(end)) for end in plot.y.scaled(one.ends)]
            ends = f'x1="{at[0]}" x2="{at[0]}" y1="{tops[0]:.1f}" y2="{tops[1]:.1f}"'
        whisker = f'<line class="w{calm}" {ends}/>'
    # Without a leading space in the tip, which is read out.
    circle = f'<circle cx="{at[0]}" cy="{at[1]}" r="{one.size / 2:.1f}"/>'
    return f'<g class="m{look}" data-tip="{tip}"{data}>{whisker}{circle}</g>'


def _names(plot: Points, x: _Scale, y: _Scale, height: float) -> Iterator[str]:
    """Names of marks where there is room for them, on a phone numbers that the key explains."""
    some = _labelled(plot)
    if not some:
        return
    xs, ys = plot.x.scaled([one.x for one in some]), plot.y.scaled([one.y for one in some])
    at = [(x.share(a), height * (1 - y.share(b))) for a, b in zip(xs, ys, strict=True)]
    kinds = (("wide", _WIDE, [one.label for one in some]),
             ("narrow", _NARROW, [str(n) for n in range(1, len(some) + 1)]))  # fmt: skip
    for kind, widths, texts in kinds:
        named = [
            labels.PlotName(*where, name, one.size / 2)
            for where, name, one in zip(at, texts, some, strict=True)
        ]
        spots = labels.place(named, widths, height)
        yield f'<g class="{kind}">'
        for one, name, spot in zip(some, named, spots, strict=True):
            yield _label(name, spot, one.data)
        yield "</g>"


def _labelled(plot: Points) -> list[PlotPoint]:
    return sorted((one for one in plot.points if one.label), key=lambda one: one.x)


def _label(
    name: labels.PlotName, spot: labels.PlacedLabel, data: Sequence[tuple[str, str]] = ()
) -> str:
    # A nested svg has its origin at the mark, so that distances from it can be in screen units.
    network = "".join(f' data-n="{text(value)}"' for key, value in data if key == "n")
    right, down = labels.end(name, spot)
    leader = f'<line x2="{right:.0f}" y2="{down:.0f}"/>' if spot.far else ""
    return (
        f'<svg class="label" overflow="visible" x="{_percent(name.across)}" y="{name.down:.1f}"'
        f'{network}>{leader}<text x="{spot.right:.0f}" y="{spot.down:.0f}" dy="4">'
        f"{text(name.text)}</text></svg>"
    )


def _key(plot: Points) -> str:
    items = "".join(f"<li>{text(one.label)}</li>" for one in _labelled(plot))
    return f'<ol class="key">{items}</ol>' if items else ""


def _legend(plot: Points) -> str:
    groups = plot.painted
    single = [line.name for line in plot.lines] if len(plot.lines) == 1 else []
    if not 1 < len(groups) + len(single) <= _LEGEND:
        return ""
    order = sorted(enumerate(groups), key=lambda pair: pair[1][1] is None)
    items = [
        f'<li data-g="{index}">{_dot(number)}{text(name)}</li>'
        for index, (name, number, _) in order
    ]
    items += [f'<li class="stroke">{_dot(-1)}{text(name)}</li>' for name in single]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _dot(number: int | None) -> str:
    return f'<i style="color:{colour(number)}"></i>'


# A plot of rows is cut in pieces that fit a sheet of paper.
_SHEET = 720


def _boxes(plot: Boxes, title: str) -> str:
    rows = list(dict.fromkeys(box.row for box in plot.boxes))
    tall = 20 + 11 * len({box.group for box in plot.boxes})
    scale = _Scale.over([end for box in plot.boxes for end in (box.numbers[0], box.numbers[-1])] +
                        [1.0], log=True)  # fmt: skip
    each = max(1, _SHEET // tall)
    pieces = [rows[place : place + each] for place in range(0, len(rows), each)]
    foot = f'<p class="foot">{text(plot.axis.title)}</p>'
    return "".join(_rows(plot, title, some, tall, scale) for some in pieces) + foot


def _rows(plot: Boxes, title: str, rows: Sequence[str], tall: int, scale: _Scale) -> str:
    """Some rows of boxes with an axis of their own."""
    groups = list(dict.fromkeys(box.group for box in plot.boxes))
    height = tall * len(rows)
    one = _percent(scale.share(1))
    body = [*_across(plot.axis, scale, height)]
    body.append(f'<line class="one" x1="{one}" x2="{one}" y1="0" y2="{height}"/>')
    places = {name: tall * index for index, name in enumerate(rows)}
    for name, top in places.items():
        body.append(f'<text class="row" x="0" y="{top + 13}">{text(name)}</text>')
    for box in plot.boxes:
        if box.row in places:
            top = places[box.row] + 18 + 11 * groups.index(box.group)
            body.append(_box(box, top, scale))
    return _frame(title, height, "".join(body), scale, left=False)


def _box(box: Box, top: float, scale: _Scale) -> str:
    low, first, middle, third, high = (scale.share(value) for value in box.numbers)
    tip = text("\n".join(box.tip)).replace("\n", "&#10;")
    mid = top + 4
    return (
        f'<g class="m box" style="color:{colour(0)}" data-tip="{tip}">'
        f'<line class="w" x1="{_percent(low)}" x2="{_percent(high)}" y1="{mid}" y2="{mid}"/>'
        f'<rect x="{_percent(first)}" width="{_percent(max(third - first, 0.001))}" y="{top}"'
        f' height="8"/><line class="mid" x1="{_percent(middle)}" x2="{_percent(middle)}"'
        f' y1="{top - 1}" y2="{top + 9}" style="color:{colour(1)}"/></g>'
    )


def _heat(plot: Heat) -> str:
    """A table: it scrolls, prints and is searched as text."""
    fields = {(one.row, one.column): one for one in plot.squares}
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in ("", *plot.columns))
    lines = []
    for row in plot.rows:
        cells = "".join(_field(fields.get((row, name))) for name in plot.columns)
        lines.append(f'<tr><th scope="row">{text(row)}</th>{cells}')
    more = "".join(lines[_FIRST:])
    rest = f'<tbody class="more">{more}</tbody>' if more else ""
    button = ""
    if more:
        button = (f'<p class="script"><button type="button" class="all">all'
                  f" {units.number(len(lines), 'row')}</button></p>")  # fmt: skip
    return (f'<div class="scroll"><table class="heat"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines[:_FIRST])}</tbody>{rest}</table></div>{button}")  # fmt: skip


# How many shades a colour has; the style sheet mixes them.
_SHADES = 8


def _field(one: Square | None) -> str:
    if one is None:
        return "<td>"
    much = strength(one.value)
    step = round(abs(much) * _SHADES)
    kind = f' class="{"f" if much > 0 else "s"}{step}"' if step else ""
    tip = text("\n".join(one.tip)).replace("\n", "&#10;")
    return f'<td{kind} data-tip="{tip}">{text(one.text)}'
