"""Plots drawn by Bokeh, as JSON for the library that the page carries inside it.

The one module that knows Bokeh.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bokeh.embed import json_item
from bokeh.models import (
    ColumnDataSource,
    FactorRange,
    HoverTool,
    Legend,
    LegendItem,
    NumeralTickFormatter,
    Span,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from cnnbench.report.page.palette import GREY, colour, ink, shade
from cnnbench.report.page.parts import Boxes, Heat, Points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.page.parts import Plot, PlotAxis, PlotPoint

_MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "plus", "star")
# A legend with more entries than this would be larger than the plot.
_LEGEND = 12
# Values are escaped by Bokeh unless marked safe, and here none is.
_TIP = '<div style="white-space: pre-line; max-width: 40em">@tip</div>'
_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


def library() -> str:
    """The text of the plotting library."""
    raw: list[str] = Resources(mode="inline", components=["bokeh"], minified=True).js_raw
    return "\n".join(raw)


def draw(plot: Plot, title: str, target: str) -> dict[str, Any]:
    """A plot as the JSON that ``Bokeh.embed.embed_item`` takes."""
    kinds = {Points: _points, Heat: _heat, Boxes: _boxes}
    drawn = kinds[type(plot)](plot, title)  # type: ignore[operator]
    drawn.toolbar.logo = None
    drawn.background_fill_color = None
    drawn.border_fill_color = None
    drawn.outline_line_color = None
    return dict(json_item(drawn, target))


def _canvas(title: str, **more: Any) -> Any:
    fields = {"height": 420, "sizing_mode": "stretch_width", "tools": _TOOLS, "title": title}
    drawn = figure(**(fields | more))
    # Scrolling over a plot scrolls the page.
    drawn.toolbar.active_scroll = None
    return drawn


def _side(axis: PlotAxis) -> str:
    return "log" if axis.log else "linear"


def _points(plot: Points, title: str) -> Any:
    drawn = _canvas(title, x_axis_type=_side(plot.x), y_axis_type=_side(plot.y),
                    x_axis_label=plot.x.title, y_axis_label=plot.y.title)  # fmt: skip
    _plain_ticks(drawn, plot)
    # Room for large marks and for names beside them.
    drawn.x_range.range_padding = drawn.y_range.range_padding = 0.2
    items = []
    for index, line in enumerate(plot.lines):
        style = "dashed" if line.dashed else "solid"
        xs, ys = plot.x.scaled(line.xs), plot.y.scaled(line.ys)
        mark = drawn.line(xs, ys, line_width=2, line_dash=style, line_alpha=0.6,
                          line_color=colour(-1 - index))  # fmt: skip
        if len(plot.lines) == 1:
            items.append(LegendItem(label=line.name, renderers=[mark]))
        else:
            _write(drawn, xs[:1], ys[:1], [line.name])
    groups = list(dict.fromkeys(point.group for point in plot.points))
    marks = []
    for index, group in enumerate(groups):
        some = [point for point in plot.points if point.group == group]
        renderers = _group(drawn, plot, some, index)
        marks.append(renderers[0])
        items.append(LegendItem(label=group, renderers=renderers))
    _names(drawn, plot)
    drawn.add_tools(HoverTool(renderers=marks, tooltips=_TIP, point_policy="snap_to_data"))
    if 1 < len(items) <= _LEGEND:
        _legend(drawn, items)
    return drawn


def _plain_ticks(drawn: Any, plot: Points) -> None:
    """Numbers as people write them, where a logarithmic axis would show powers of ten."""
    for axis, side in ((plot.x, drawn.xaxis), (plot.y, drawn.yaxis)):
        if axis.log:
            side.formatter = _plain()
        if axis.ranks:
            side.major_label_text_font_size = "0px"
            side.major_tick_line_color = side.minor_tick_line_color = None


def _plain() -> NumeralTickFormatter:
    # Not by a piece of JavaScript: Bokeh would evaluate it, which the page's policy forbids.
    return NumeralTickFormatter(format="0,0.[00000]")


def _group(drawn: Any, plot: Points, some: Sequence[PlotPoint], index: int) -> list[Any]:
    paint = colour(index)
    data: dict[str, list[Any]] = {
        "x": plot.x.scaled([one.x for one in some]),
        "y": plot.y.scaled([one.y for one in some]),
        "size": [one.size for one in some],
        "tip": ["\n".join(one.tip) for one in some],
    }
    mark = drawn.scatter("x", "y", size="size", marker=_MARKERS[index % len(_MARKERS)],
                         source=ColumnDataSource(data), fill_color=paint, line_color=paint,
                         fill_alpha=0.55)  # fmt: skip
    found = [mark]
    if plot.joined:
        line = sorted(zip(data["x"], data["y"], strict=True))
        found.append(drawn.line(*zip(*line, strict=True), line_color=paint, line_width=1.5))
    spans = [one for one in some if one.ends is not None]
    if spans:
        found.append(drawn.segment(**_span(plot, spans), line_color=paint, line_alpha=0.7))
    return found


def _names(drawn: Any, plot: Points) -> None:
    named = [one for one in plot.points if one.label]
    xs, ys = plot.x.scaled([one.x for one in named]), plot.y.scaled([one.y for one in named])
    _write(drawn, xs, ys, [one.label for one in named])


def _write(drawn: Any, xs: Sequence[float], ys: Sequence[float], texts: Sequence[str]) -> None:
    drawn.text(xs, ys, text=texts, text_color=GREY, text_font_size="11px", x_offset=6,
               y_offset=-6)  # fmt: skip


def _span(plot: Points, some: Sequence[PlotPoint]) -> dict[str, list[float]]:
    """Ends of the intervals as the segments that Bokeh draws."""
    lows, highs = zip(*(one.ends for one in some if one.ends is not None), strict=True)
    xs, ys = plot.x.scaled([one.x for one in some]), plot.y.scaled([one.y for one in some])
    if plot.interval == "x":
        return {"x0": plot.x.scaled(lows), "x1": plot.x.scaled(highs), "y0": ys, "y1": ys}
    return {"x0": xs, "x1": xs, "y0": plot.y.scaled(lows), "y1": plot.y.scaled(highs)}


def _legend(drawn: Any, items: list[LegendItem]) -> None:
    legend = Legend(items=items, click_policy="hide", orientation="horizontal", ncols="auto",
                    background_fill_alpha=0, border_line_alpha=0)  # fmt: skip
    drawn.add_layout(legend, "above")


def _heat(plot: Heat, title: str) -> Any:
    wide = max((len(name) for name in plot.columns), default=0) > 12 or len(plot.columns) > 8
    height = 22 * len(plot.rows) + (190 if wide else 120)
    drawn = _canvas(title, x_range=FactorRange(*plot.columns), x_axis_location="above",
                    y_range=FactorRange(*reversed(plot.rows)), height=height,
                    tools="save")  # fmt: skip
    source = ColumnDataSource(
        {
            "x": [one.column for one in plot.squares],
            "y": [one.row for one in plot.squares],
            "text": [one.text for one in plot.squares],
            "tip": ["\n".join(one.tip) for one in plot.squares],
            "colour": [shade(one.value) for one in plot.squares],
            "ink": [ink(one.value) for one in plot.squares],
        }
    )
    mark = drawn.rect("x", "y", 1, 1, source=source, fill_color="colour", line_color=None)
    drawn.text("x", "y", text="text", source=source, text_color="ink", text_align="center",
               text_baseline="middle", text_font_size="11px")  # fmt: skip
    drawn.add_tools(HoverTool(renderers=[mark], tooltips=_TIP))
    drawn.grid.grid_line_color = None
    if wide:
        drawn.xaxis.major_label_orientation = 0.6
    return drawn


def _boxes(plot: Boxes, title: str) -> Any:
    rows = list(dict.fromkeys(box.row for box in plot.boxes))
    groups = list(dict.fromkeys(box.group for box in plot.boxes))
    drawn = _canvas(title, y_range=FactorRange(*reversed(rows)), height=60 + 44 * len(rows),
                    x_axis_type="log", x_axis_label=plot.axis.title)  # fmt: skip
    high, step = 0.8 / len(groups), 0.8 / len(groups)
    data: dict[str, list[Any]] = {name: [] for name in ("y", "tip", "a", "b", "c", "d", "e", "w")}
    for box in plot.boxes:
        offset = (groups.index(box.group) - (len(groups) - 1) / 2) * -step
        values = [(box.row, offset), "\n".join(box.tip), *box.numbers, 0.7 * high]
        for name, value in zip(("y", "tip", "a", "b", "c", "d", "e", "w"), values, strict=True):
            data[name].append(value)
    source = ColumnDataSource(data)
    drawn.segment("a", "y", "e", "y", source=source, line_color=colour(0))
    mark = drawn.hbar(y="y", left="b", right="d", height="w", source=source, line_color=colour(0),
                      fill_color=colour(0), fill_alpha=0.5)  # fmt: skip
    drawn.scatter("c", "y", source=source, marker="dash", angle=math.pi / 2, size=8,
                  line_color=colour(1), line_width=2)  # fmt: skip
    drawn.add_layout(Span(location=1, dimension="height", line_dash="dotted", line_alpha=0.6))
    drawn.add_tools(HoverTool(renderers=[mark], tooltips=_TIP))
    drawn.xaxis.formatter = _plain()
    return drawn
