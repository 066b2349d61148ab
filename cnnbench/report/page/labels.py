"""Where the names of marks go so that none lies on another, however wide the plot is.

A mark's place across is a share of the width, which the reader's window decides; names and their
distances from the marks are in screen units. What is free at several widths is taken as free.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# A letter's width at the size in which names are written, and the height of a line.
_LETTER, _LINE = 6.1, 13.0
# Room between a name and its mark.
_GAP = 2.0
# How far from its mark a name may go.
_ROUNDS, _STEP, _TURNS = 26, 8.0, 40

# From left, top, right, bottom, in screen units.
Frame = tuple[float, float, float, float]


@dataclass(frozen=True)
class PlotName:
    """A mark with a name.

    Attributes:
        across: its place, as a share of the width.
        down: its place from the top, in screen units.
        text: the name.
        radius: of the mark.
    """

    across: float
    down: float
    text: str
    radius: float = 5.0

    @cached_property
    def wide(self) -> float:
        """Screen units that the name takes."""
        return _LETTER * len(self.text)


@dataclass(frozen=True)
class PlacedLabel:
    """Where a name goes.

    Attributes:
        right, down: its middle, from its mark, in screen units.
        far: it needs a line to its mark.
    """

    right: float
    down: float
    far: bool


def place(names: Sequence[PlotName], widths: Sequence[float], height: float) -> list[PlacedLabel]:
    """A place for every name.

    Args:
        names: whose marks no name may cover either.
        widths: of the plot, at which nothing overlaps.
        height: of the plot.
    """
    placed: dict[int, PlacedLabel] = {}
    taken: list[list[Frame]] = [[_around(one, width) for one in names] for width in widths]
    lines: list[list[tuple[float, float, float, float]]] = [[] for _ in widths]
    for index in sorted(range(len(names)), key=lambda i: (names[i].down, -names[i].across)):
        one = names[index]
        tries = (
            _free(one, widths, height, taken, lines, strict=strict) for strict in (True, False)
        )
        found = next(itertools.chain.from_iterable(tries), PlacedLabel(0, -_LINE, False))
        placed[index] = found
        for width, frames, drawn in zip(widths, taken, lines, strict=True):
            frames.append(_frame(one, found, width))
            if found.far:
                drawn.append(_leader(one, found, width))
    return [placed[index] for index in range(len(names))]


def _free(
    one: PlotName, widths: Sequence[float], height: float,
    taken: Sequence[Sequence[Frame]], lines: Sequence[Sequence[Frame]], *, strict: bool,
) -> Iterator[PlacedLabel]:  # fmt: skip
    """The places that nothing else has taken at any width, the nearest first.

    ``strict``: no line between a mark and its name crosses anything either.
    """
    crowd = list(zip(widths, taken, lines, strict=True))
    for spot in _spots(one):
        if all(_fits(one, spot, height, *there, strict=strict) for there in crowd):
            yield spot


def _fits(
    one: PlotName, spot: PlacedLabel, height: float,
    width: float, taken: Sequence[Frame], lines: Sequence[Frame], *, strict: bool,
) -> bool:  # fmt: skip
    """Whether nothing at one width has taken a place; what is cheap to tell is asked first."""
    frame = _frame(one, spot, width)
    if not _inside(frame, width, height) or _near(frame, taken):
        return False
    if not strict:
        return True
    if any(_crosses(line, frame) for line in lines):
        return False
    return not (spot.far and _blocked(one, spot, width, taken))


def _spots(one: PlotName) -> Iterator[PlacedLabel]:
    """Left above first, which is free beside a front; then right below; then farther away."""
    half, gap = one.wide / 2, one.radius + _GAP
    above = one.radius + _LINE / 2 + 1
    for right, down in ((-half - gap, -4), (half + gap, 4), (-half, -above), (half, above)):
        yield PlacedLabel(right, down, False)
    for ring in range(1, _ROUNDS):
        for turn in range(_TURNS):
            # From straight left over the top to the right, then below.
            angle = math.pi + math.tau * turn / _TURNS
            right, down = math.cos(angle), math.sin(angle)
            away = gap + ring * _STEP
            yield PlacedLabel(right * (away + half), down * (away + _LINE / 2), True)


def _around(one: PlotName, width: float) -> Frame:
    x = one.across * width
    return x - one.radius, one.down - one.radius, x + one.radius, one.down + one.radius


def _frame(one: PlotName, spot: PlacedLabel, width: float) -> Frame:
    x, y, half = one.across * width + spot.right, one.down + spot.down, one.wide / 2
    return x - half, y - _LINE / 2, x + half, y + _LINE / 2


def _leader(one: PlotName, spot: PlacedLabel, width: float) -> Frame:
    x = one.across * width
    right, down = end(one, spot)
    return x, one.down, x + right, one.down + down


def end(one: PlotName, spot: PlacedLabel) -> tuple[float, float]:
    """Where the line from the mark meets the name, from the mark."""
    right = min(max(0.0, spot.right - one.wide / 2), spot.right + one.wide / 2)
    down = spot.down + (_LINE / 2 if spot.down < -_LINE / 2 else -_LINE / 2) * (
        abs(spot.down) > _LINE / 2
    )
    return right, down


def _inside(frame: Frame, width: float, height: float) -> bool:
    return frame[0] >= 0 and frame[1] >= 0 and frame[2] <= width and frame[3] <= height


def _near(frame: Frame, others: Iterable[Frame]) -> list[Frame]:
    """Those of some frames that one overlaps."""
    left, top, right, bottom = frame
    return [b for b in others if b[0] < right and left < b[2] and b[1] < bottom and top < b[3]]


def _blocked(one: PlotName, spot: PlacedLabel, width: float, others: Sequence[Frame]) -> bool:
    line, own = _leader(one, spot, width), _around(one, width)
    x, y = sorted((line[0], line[2])), sorted((line[1], line[3]))
    # A straight line has no width, so that what it touches overlaps what is a little wider.
    around = x[0] - _GAP, y[0] - _GAP, x[1] + _GAP, y[1] + _GAP
    return any(_crosses(line, other) for other in _near(around, others) if other != own)


def _crosses(line: Frame, frame: Frame) -> bool:
    """Whether a straight line meets a frame (Liang and Barsky's clipping)."""
    x, y, across, down = line[0], line[1], line[2] - line[0], line[3] - line[1]
    first, last = 0.0, 1.0
    for step, room in ((-across, x - frame[0]), (across, frame[2] - x),
                       (-down, y - frame[1]), (down, frame[3] - y)):  # fmt: skip
        if step == 0:
            if room < 0:
                return False
        elif step < 0:
            first = max(first, room / step)
        else:
            last = min(last, room / step)
    return first < last
