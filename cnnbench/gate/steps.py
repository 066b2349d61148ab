"""Where the level of a series changed: numbers in order, one per run, in; places of steps out.

The series is cut into levels so that the squared distances of its values from their level, in units
of its own noise and each counted up to a limit, plus a price per step, are smallest (Fearnhead and
Rigaill, "Changepoint detection in the presence of outliers", JASA 114, 2019, there by functional
pruning; here by the same recursion on a grid of levels). Because of the limit, one value that
differs is an outlier wherever it stands, and two values at the end that agree are a step. The noise
is that of differences between neighbours of which the largest are left out: a step makes one of
them large, however large it is. What a straight line explains as well is a drift and no step.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

# Fewer values tell neither a level nor a noise.
FEWEST = 10
# Beyond so many standard deviations a value is an outlier, which costs no more than that.
_LIMIT = 4.0
# The price of a step, in squared standard deviations, beside twice the logarithm of the number of
# places where it could be. With the limit it was chosen by ``bench.history_simulation``.
_PRICE = 6.0
# Points of the grid of levels per standard deviation, to one of them on either side of each value.
_GRID = 4
# From so many values on, differences of values further apart are looked at too: where a machine
# wanders, neighbours are more alike than a level is steady.
_LONG = 25
_APART = 3
# Of a line, a side has at least so many values.
_LINE = 4
# By how much two levels must be better than a line, which is the simpler explanation.
_FAVOUR = 2.0


@dataclass(frozen=True)
class FoundStep:
    """A change of level.

    Attributes:
        index: of the first value after it.
        change: of the level.
        half: half-width of its interval at 95 %.
        after: values after it, up to the next step or the end.
    """

    index: int
    change: float
    half: float
    after: int


@dataclass(frozen=True)
class Levels:
    """A series in levels.

    Attributes:
        steps: in order.
        noise: standard deviation of a value around its level.
        last: the last value's distance from its level where that is too far and no step, because
            it is alone; else ``None``.
        drifts: places where the level moves on gradually, which are no steps.
    """

    steps: tuple[FoundStep, ...] = ()
    noise: float = 0.0
    last: float | None = None
    drifts: tuple[int, ...] = ()


def levels(values: Sequence[float], least_noise: float) -> Levels:
    """The levels of a series.

    Args:
        values: in order, such as logarithms of times.
        least_noise: the standard deviation of a value is not taken to be smaller.
    """
    if len(values) < FEWEST:
        return Levels()
    series = np.asarray(values, dtype=float)
    long_term = _of_differences(series, _APART) if len(series) >= _LONG else 0.0
    noise = max(_of_differences(series, 1), long_term, least_noise)
    cuts = _cuts(series, noise)
    noise = max(_around(series, cuts, noise), long_term, least_noise)
    cuts = _cuts(series, noise)
    kept = _without_drifts(series, cuts, noise)
    ends = [0, *kept, len(series)]
    steps = tuple(
        _step(series, noise, *three)
        for three in zip(ends, ends[1:], ends[2:], strict=False)
    )  # fmt: skip
    level = _level(series[ends[-2] :], noise)
    far = float(series[-1] - level)
    drifts = tuple(one for one in cuts if one not in kept)
    return Levels(steps, noise, far if abs(far) > _LIMIT * noise else None, drifts)


def _of_differences(series: Values, apart: int) -> float:
    """The noise, from differences of values so far apart, without the largest fifth and a step."""
    sizes = np.sort(np.abs(series[apart:] - series[:-apart]))
    kept = len(sizes) - max(2 + apart, math.ceil(len(sizes) / 5))
    if kept < 3:
        # So few that one step or outlier is in most of them.
        return float(np.median(sizes)) / _HALF_NORMAL / math.sqrt(2)
    found = math.sqrt(float(np.mean(sizes[:kept] ** 2)))
    return found / _expected(len(sizes), kept) / math.sqrt(2)


# Half of all values lie nearer to the mean than that many standard deviations.
_HALF_NORMAL = statistics.NormalDist().inv_cdf(0.75)


@functools.lru_cache(maxsize=1024)
def _expected(count: int, kept: int) -> float:
    """The root mean square of the smallest of that many absolute values of a normal variable."""
    normal = statistics.NormalDist()
    sizes = [normal.inv_cdf(0.5 + 0.5 * (rank + 0.5) / count) for rank in range(kept)]
    return math.sqrt(math.fsum(one * one for one in sizes) / kept)


def _cuts(series: Values, noise: float) -> list[int]:
    """Indices of the first values after each step: the cheapest cutting into levels.

    No level has one value alone.
    """
    scaled = series / noise
    offsets = np.arange(-_GRID, _GRID + 1) / _GRID
    grid = np.unique(np.round((scaled[:, None] + offsets).ravel(), 3))
    price = _PRICE + 2 * math.log(len(series))
    # For each possible level: what it costs to be there after the value at hand, having been there
    # for two values or more, and since when; and what it costs to have come there with it.
    cost = np.full(len(grid), np.inf)
    since = np.zeros(len(grid), dtype=int)
    fresh = 0.0
    # Where the level began that is best left for a new one at an index.
    before = [0] * len(series)
    # One value at a time: all of them would be memory by the square of their number.
    near = np.minimum((scaled[0] - grid) ** 2, _LIMIT**2)
    for index in range(1, len(series)):
        come = fresh + near
        near = np.minimum((scaled[index] - grid) ** 2, _LIMIT**2)
        best = int(np.argmin(cost))
        fresh, before[index] = float(cost[best]) + price, int(since[best])
        since = np.where(come < cost, index - 1, since)
        cost = np.minimum(come, cost) + near
    start = int(since[int(np.argmin(cost))])
    found = []
    while start > 0:
        found.append(start)
        start = before[start]
    return found[::-1]


def _around(series: Values, cuts: Sequence[int], noise: float) -> float:
    """The standard deviation of values around their levels, without outliers.

    As first guessed, where too few values are left to say.
    """
    squares, freedom = 0.0, 0
    for start, end in itertools.pairwise([0, *cuts, len(series)]):
        near = _near(series[start:end], noise)
        squares += float(np.sum((near - near.mean()) ** 2))
        freedom += len(near) - 1
    if freedom < _LINE:
        return noise
    # A little more where there are few: a noise that is thought too small makes steps of nothing.
    return math.sqrt(squares / freedom) * (1 + 1 / len(series))


def _near(part: Values, noise: float) -> Values:
    """The values of a level that are no outliers."""
    found = part[np.abs(part - np.median(part)) < _LIMIT * noise]
    return found if len(found) else part


def _level(part: Values, noise: float) -> float:
    return float(_near(part, noise).mean())


def _step(series: Values, noise: float, start: int, index: int, end: int) -> FoundStep:
    sides = [_near(series[start:index], noise), _near(series[index:end], noise)]
    freedom = sum(map(len, sides)) - 2
    squares = sum(float(np.sum((one - one.mean()) ** 2)) for one in sides)
    # Of few values the whole series knows the noise better.
    spread = max(math.sqrt(squares / freedom), noise) if freedom else noise
    error = spread * math.sqrt(sum(1 / len(one) for one in sides))
    half = stats.t_quantile(0.975, max(freedom, 2)) * error
    return FoundStep(index, float(sides[1].mean() - sides[0].mean()), half, end - index)


def _without_drifts(series: Values, cuts: Sequence[int], noise: float) -> list[int]:
    """The steps without those that a line through both levels explains as well."""
    ends = [0, *cuts, len(series)]
    for start, cut, end in zip(ends, ends[1:], ends[2:], strict=False):
        if _is_line(series[start:cut], series[cut:end], noise):
            # The level that is left is longer, and others may be a part of the same line.
            return _without_drifts(series, [one for one in cuts if one != cut], noise)
    return list(cuts)


def _is_line(before: Values, after: Values, noise: float) -> bool:
    if min(len(before), len(after)) < _LINE:
        return False
    whole = np.concatenate([before, after])
    level = whole - _slope(whole) * np.arange(len(whole))
    return _cost([level], noise) <= _cost([before, after], noise) + _FAVOUR


def _slope(part: Values) -> float:
    """The median slope of all pairs of values (Theil and Sen)."""
    first, second = np.triu_indices(len(part), 1)
    return float(np.median((part[second] - part[first]) / (second - first)))


def _cost(parts: Sequence[Values], noise: float) -> float:
    return sum(
        float(np.minimum(((one - np.median(one)) / noise) ** 2, _LIMIT**2).sum()) for one in parts
    )
