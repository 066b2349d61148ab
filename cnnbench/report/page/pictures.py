"""Plots drawn by Matplotlib as SVG, for documents that run no scripts.

The one module that knows Matplotlib, which only pictures need: ``pip install cnnbench[pictures]``.
"""

from __future__ import annotations

import contextlib
import io
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from cnnbench import files
from cnnbench.report.markdown import plain
from cnnbench.report.page.palette import GREY, colour, ink, shade
from cnnbench.report.page.parts import Boxes, Heat, Points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cnnbench.report.page.parts import Plot, PlotAxis, PlotPoint

_STYLE = {
    # Texts stay texts: small, and found by whoever searches.
    "svg.fonttype": "none",
    # Equal records make equal files.
    "svg.hashsalt": "cnnbench",
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
}
_WIDTH = 8.0
_MARKERS = ("o", "s", "^", "D", "v", "h", "P", "*")
# A legend with more entries than this would be larger than the plot.
_LEGEND = 24
# Letters in a line of a name, of a title, and in all of a name.
_LINE, _TITLE, _LONG = 40, 90, 150
# Points of 1/72 inch in a pixel of a screen, in which sizes of marks are given.
_PIXEL = 0.75


def save(plot: Plot, title: str, path: Path) -> None:
    """Draw a plot into an SVG file.

    Raises:
        OSError: the file cannot be written.
    """
    files.replace(path, content(plot, title))


# Formats, and what of the day and the program is left out of their files.
_DATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def content(plot: Plot, title: str, kind: str = "svg") -> bytes:
    """A plot as the content of a file; equal plots give equal files."""
    with _styled():
        figure(plot, title).savefig(data := io.BytesIO(), format=kind, dpi=150,
                                    metadata=_DATED[kind])  # fmt: skip
    return data.getvalue()


def figure(plot: Plot, title: str) -> Figure:
    """A plot as a figure of Matplotlib, which notebooks show."""
    kinds = {Points: _points, Heat: _heat, Boxes: _boxes}
    with _styled():
        drawn: Figure = kinds[type(plot)](plot)  # type: ignore[operator]
        drawn.axes[0].set_title(_lines(title, _TITLE))
    return drawn


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    with rc_context():
        # What a user has set for papers of their own is not for these.
        rcdefaults()
        rcParams.update(_STYLE)
        yield


def _short(text: str) -> str:
    """A name; of a very long one both ends, because names that are alike differ at the end."""
    line = plain(text)
    return line if len(line) <= _LONG else f"{line[: _LONG // 2]} … {line[-_LONG // 2 :]}"


def _lines(text: str, width: int = _LINE) -> str:
    """A name in lines, so that it leaves room for the plot beside it."""
    return textwrap.fill(_short(text), width, break_on_hyphens=False)


def _canvas(height: float) -> tuple[Figure, Any]:
    drawn = Figure(figsize=(_WIDTH, height), layout="constrained")
    return drawn, drawn.add_subplot()


def _points(plot: Points) -> Figure:
    drawn, axes = _canvas(4.5)
    legend: list[tuple[Any, str]] = []
    axes.grid(visible=True)
    axes.margins(0.08)
    axes.set(xlabel=plain(plot.x.title), ylabel=plain(plot.y.title),
             xscale=_side(plot.x), yscale=_side(plot.y))  # fmt: skip
    for index, line in enumerate(plot.lines):
        xs, ys = plot.x.scaled(line.xs), plot.y.scaled(line.ys)
        (mark,) = axes.plot(xs, ys, "--" if line.dashed else "-", linewidth=2, alpha=0.6,
                            color=colour(-1 - index))  # fmt: skip
        if len(plot.lines) == 1:
            legend.append((mark, line.name))
        else:
            _write(axes, xs[0], ys[0], line.name)
    seen = [(group, n, [one for one in some if not one.spare]) for group, n, some in plot.painted]
    groups = [shown for shown in seen if shown[-1]]
    for group, number, some in groups:
        legend.append((_group(axes, plot, some, number), group))
        if plot.joined and len(groups) > _LEGEND:
            last = max(some, key=lambda one: one.x)
            _write(axes, last.x * plot.x.scale, last.y * plot.y.scale, group)
    for point in plot.points:
        if point.label:
            _write(axes, point.x * plot.x.scale, point.y * plot.y.scale, point.label)
    for axis, side in ((plot.x, axes.xaxis), (plot.y, axes.yaxis)):
        if axis.log:
            _plain_ticks(side)
        if axis.ranks:
            side.set_ticks([])
        if axis.rows:
            side.set_ticks([-place for place in range(len(axis.rows))], map(_lines, axis.rows))
    if 1 < len(legend) <= _LEGEND:
        _legend(drawn, legend)
    return drawn


def _legend(drawn: Figure, items: list[tuple[Any, str]]) -> None:
    # Matplotlib leaves out what begins with an underscore.
    names = [f" {_lines(name)}" for _, name in items]
    longest = max(len(line) for name in names for line in name.splitlines())
    columns = max(1, min(4, int(_WIDTH / (0.5 + 0.08 * longest))))
    lines = sum(name.count("\n") + 1 for name in names) / columns
    drawn.set_figheight(drawn.get_figheight() + 0.18 * lines)
    drawn.legend([mark for mark, _ in items], names, loc="outside lower center", ncols=columns,
                 frameon=False)  # fmt: skip


def _side(axis: PlotAxis) -> str:
    return "log" if axis.log else "linear"


def _plain_ticks(side: Any) -> None:
    """Numbers as people write them, where a logarithmic axis would show powers of ten."""
    written = FuncFormatter(lambda value, _: f"{value:,.10g}")
    low, high = side.get_view_interval()
    side.set_major_formatter(written)
    side.set_minor_formatter(written)
    if high < 10 * low:
        side.set_major_locator(MaxNLocator(6))
        side.set_minor_locator(NullLocator())
    elif high < 1e4 * low:
        side.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    else:
        # Together they would lie on top of each other.
        side.set_minor_formatter(NullFormatter())


def _group(axes: Any, plot: Points, some: Sequence[PlotPoint], index: int | None) -> Any:
    paint = colour(index)
    xs = plot.x.scaled([one.x for one in some])
    ys = plot.y.scaled([one.y for one in some])
    sizes = [(one.size * _PIXEL) ** 2 for one in some]
    mark = axes.scatter(xs, ys, s=sizes, marker=_MARKERS[(index or 0) % len(_MARKERS)], color=paint,
                        alpha=0.6, linewidths=0)  # fmt: skip
    if plot.joined:
        axes.plot(*zip(*sorted(zip(xs, ys, strict=True)), strict=True), color=paint)
    for x, y, one in zip(xs, ys, some, strict=True):
        if one.ends is None:
            continue
        along = plot.x if plot.interval == "x" else plot.y
        ends = along.scaled(one.ends)
        line = (ends, [y, y]) if plot.interval == "x" else ([x, x], ends)
        axes.plot(*line, color=paint, alpha=0.7, linewidth=1)
    return mark


def _write(axes: Any, x: float, y: float, text: str) -> None:
    axes.annotate(_lines(text), (x, y), xytext=(4, 4), textcoords="offset points", color=GREY,
                  fontsize=8)  # fmt: skip


def _most_lines(labels: Sequence[str]) -> int:
    return max(label.count("\n") + 1 for label in labels)


def _heat(plot: Heat) -> Figure:
    columns = {name: index for index, name in enumerate(plot.columns)}
    labels = [_lines(name) for name in plot.rows]
    heads = [_lines(name) for name in plot.columns]
    longest = max(len(line) for head in heads for line in head.splitlines())
    wide = len(heads) * (longest + 2) > 90
    height = 0.22 * len(labels) * _most_lines(labels)
    drawn, axes = _canvas(0.8 + height + (0.035 * longest if wide else 0.2) * _most_lines(heads))
    rows = {name: index for index, name in enumerate(plot.rows)}
    for one in plot.squares:
        x, y = columns[one.column], rows[one.row]
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=shade(one.value), linewidth=0))
        axes.text(x, y, plain(one.text), color=ink(one.value), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.tick_top()
    slanted = {"rotation": 25, "ha": "left"} if wide else {}
    axes.set_xticks(range(len(columns)), heads, **slanted)
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


def _boxes(plot: Boxes) -> Figure:
    rows = {name: index for index, name in enumerate(dict.fromkeys(b.row for b in plot.boxes))}
    groups = list(dict.fromkeys(box.group for box in plot.boxes))
    labels = [_lines(name) for name in rows]
    drawn, axes = _canvas(0.8 + max(0.42, 0.2 * _most_lines(labels)) * len(rows))
    step = 0.8 / max(len(groups), 1)
    for box in plot.boxes:
        y = rows[box.row] + (groups.index(box.group) - (len(groups) - 1) / 2) * step
        low, first, middle, third, high = box.numbers
        axes.plot([low, high], [y, y], color=colour(0), linewidth=1)
        axes.barh(y, third - first, left=first, height=0.7 * step, color=colour(0), alpha=0.5)
        axes.plot([middle, middle], [y - 0.35 * step, y + 0.35 * step], color=colour(1))
    axes.axvline(1, linestyle=":", color=GREY)
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis)
    axes.set(xlabel=plain(plot.axis.title), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), labels)
    return drawn
