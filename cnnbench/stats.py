"""Estimates and intervals. Floats in, floats out; knows nothing of records, units or time.

The unit of statistics is the round (a fresh process), because samples from one process are
correlated. Intervals are Student-t intervals over one value per round, on logarithms, since times
are positive and compared as ratios.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Estimate:
    """A point and its interval.

    ``low`` and ``high`` are ``None`` when one round cannot give one.
    """

    point: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1

    @property
    def margin(self) -> float | None:
        """Half the interval's width relative to the point."""
        if self.low is None or self.high is None or self.point == 0:
            return None
        return (self.high - self.low) / 2 / abs(self.point)


# Logarithms of ratios end here, far beyond what anything can measure (times of 64 bits differ by
# e^44) and far enough below the largest number that its square, or a sum of many, is one as well.
_FARTHEST = 300.0
# A change of less than nothing is none: here the difference from -1 is the last that a float has.
_LEAST_CHANGE = -36.0


def ratio_of(log: float) -> float:
    """The ratio of a log-ratio; never zero and never infinite.

    >>> ratio_of(0.0), ratio_of(1e9) == ratio_of(300.0)
    (1.0, True)
    """
    return math.exp(max(-_FARTHEST, min(log, _FARTHEST)))


def change_of(log: float) -> float:
    """The relative change that a log-ratio is, ``ratio_of(log) - 1`` without its rounding.

    Always above -1, so that it can be turned back into a logarithm.
    """
    return math.expm1(max(_LEAST_CHANGE, min(log, _FARTHEST)))


# Typed, so that a count stays an integer if a measured value is equal to it.
@lru_cache(maxsize=4096, typed=True)
def exact(value: float | None) -> Estimate | None:
    """A value without uncertainty (a count); the modes of a network share most of these.

    A value that is not finite counts as not measured, for example a share of nothing.
    """
    return Estimate(value, value, value) if value is not None and math.isfinite(value) else None


def median(values: Sequence[float]) -> float:
    """The middle value.

    Raises:
        statistics.StatisticsError: no values.
    """
    return statistics.median(values)


def geometric(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Centre of positive values, one per round, with a t-interval on their logarithms.

    The point is the median; the interval is widened to hold it in the rare case that skew puts it
    outside.

    Args:
        values: one positive number per round.
        confidence: of the two-sided interval.

    Raises:
        ValueError: no values, or one that is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError("needs positive values, one per round")
    return _geometric(tuple(values), confidence)


@lru_cache(maxsize=1024)
def _geometric(values: tuple[float, ...], confidence: float) -> Estimate:
    point = median(values)
    if len(values) < 2:
        return Estimate(point)
    logs = [math.log(value) for value in values]
    centre, half = t_interval(logs, confidence)
    low, high = ratio_of(centre - half), ratio_of(centre + half)
    return Estimate(point, min(low, point), max(high, point), len(values))


def log_ratio(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """A ratio from log-ratios, one per round: exp(mean) with exp(t-interval).

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("needs log-ratios, one per round")
    if len(values) < 2:
        return Estimate(ratio_of(values[0]))
    centre, half = t_interval(values, confidence)
    low, high = ratio_of(centre - half), ratio_of(centre + half)
    return Estimate(ratio_of(centre), low, high, len(values))


@dataclass(frozen=True)
class Shift:
    """A log-ratio and its uncertainty.

    Attributes:
        centre: the log-ratio.
        error: its standard error, ``None`` where one value cannot give one.
        freedom: degrees of freedom of that error.
        rounds: values behind it.
    """

    centre: float
    error: float | None = None
    freedom: int = 1
    rounds: int = 1

    def half(self, alpha: float) -> float | None:
        """Half-width of the interval with the error ``alpha`` on either side."""
        return None if self.error is None else t_quantile(1 - alpha, self.freedom) * self.error


def shift_of(pairs: Sequence[float]) -> Shift:
    """From paired log-ratios: their mean.

    Raises:
        statistics.StatisticsError: no pairs.
    """
    centre, count = statistics.fmean(pairs), len(pairs)
    if count < 2:
        return Shift(centre)
    return Shift(centre, statistics.stdev(pairs) / math.sqrt(count), count - 1, count)


def shift(old: Estimate, new: Estimate) -> Shift:
    """The log-ratio of two estimates that were measured separately, by Welch's approximation.

    Their 95 % t-intervals hold their standard errors; the degrees of freedom are Welch's and
    Satterthwaite's, rounded down.
    """
    centre, rounds = math.log(new.point / old.point), min(old.rounds, new.rounds)
    parts = [(_log_error(one), one.rounds - 1) for one in (old, new)]
    known = [(error, freedom) for error, freedom in parts if error is not None]
    if len(known) < 2:
        return Shift(centre, rounds=rounds)
    return Shift(centre, *_pooled(known), rounds)


def mean_shift(shifts: Sequence[Shift]) -> Shift:
    """The mean of log-ratios that were measured independently.

    Raises:
        statistics.StatisticsError: no shifts.
    """
    centre, count = statistics.fmean(one.centre for one in shifts), len(shifts)
    rounds = min(one.rounds for one in shifts)
    known = [(one.error / count, one.freedom) for one in shifts if one.error is not None]
    if len(known) < count:
        return Shift(centre, rounds=rounds)
    return Shift(centre, *_pooled(known), rounds)


def total(parts: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """The sum of quantities that were measured independently, each with one value per round.

    Means add up, and so do the squares of their standard errors; the degrees of freedom are Welch's
    and Satterthwaite's. One value of any of them gives no interval.

    Raises:
        statistics.StatisticsError: a quantity without a value.
    """
    means = [shift_of(values) for values in parts]
    point, rounds = math.fsum(one.centre for one in means), min(one.rounds for one in means)
    known = [(one.error, one.freedom) for one in means if one.error is not None]
    if len(known) < len(means):
        return Estimate(point, rounds=rounds)
    error, freedom = _pooled(known)
    half = t_quantile(0.5 + confidence / 2, freedom) * error
    return Estimate(point, point - half, point + half, rounds)


def _pooled(parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    """Standard error of a sum, and its degrees of freedom (Satterthwaite 1946, Welch 1947)."""
    # By a power of two, which rounds nothing, so that fourth powers are neither zero nor infinite.
    _, scale = math.frexp(max(error for error, _ in parts))
    scaled = [(math.ldexp(error, -scale), freedom) for error, freedom in parts]
    variance = sum(error**2 for error, _ in scaled)
    below = sum(error**4 / freedom for error, freedom in scaled)
    lowest = min(freedom for _, freedom in parts)
    # At least the smaller of the two: the limit where one error dominates.
    freedom = max(lowest, math.floor(variance**2 / below)) if below > 0 else lowest
    return math.ldexp(math.sqrt(variance), scale), freedom


def _log_error(one: Estimate) -> float | None:
    if one.low is None or one.high is None or one.rounds < 2:
        return None
    return math.log(one.high / one.low) / 2 / t_quantile(0.975, one.rounds - 1)


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Mean and half-width of the two-sided Student-t interval of at least two values."""
    quantile = t_quantile(0.5 + confidence / 2, len(values) - 1)
    mean, deviation = _moments(tuple(values))
    return mean, quantile * deviation / math.sqrt(len(values))


@lru_cache(maxsize=1024)
def _moments(values: tuple[float, ...]) -> tuple[float, float]:
    """Mean and standard deviation; the library's computation with fractions is slow."""
    mean = statistics.fmean(values)
    return mean, math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1))


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution, by bisection of its distribution function.

    >>> round(t_quantile(0.975, 2), 4), round(t_quantile(0.99, 9), 4)
    (4.3027, 2.8214)
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability:
        low, high = high, 2 * high
    return _bisect(lambda value: t_probability(value, freedom) - probability, low, high)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2


def t_probability(value: float, freedom: int) -> float:
    """P(T <= value) of Student's t distribution (Abramowitz and Stegun 26.7.1, 26.5.27)."""
    tail = 0.5 * _incomplete_beta(freedom / (freedom + value * value), freedom / 2, 0.5)
    return 1 - tail if value >= 0 else tail


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        # The continued fraction converges fast on one side only; the other follows by symmetry.
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Denominator of I_x(a, b) as a continued fraction, evaluated backwards (A&S 26.5.8)."""
    value = 1.0
    for m in range(200, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + even / (1 + odd / value)
    return 1 - (a + b) * x / (a + 1) / value


def quartile_spread(values: Sequence[float]) -> float | None:
    """Interquartile range over the median, the robust relative spread.

    ``None`` under four values.
    """
    if len(values) < 4:
        return None
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive")
    return (third - first) / middle if middle else None


def of_rounds(values: Iterable[tuple[int, float | None]]) -> tuple[float, ...]:
    """One value per round.

    If the reference mode was measured in several ensembles of one round, it has several runs in
    that round. They share a starter, so they are correlated.
    """
    rounds: dict[int, list[float]] = {}
    for number, value in values:
        if value is not None:
            rounds.setdefault(number, []).append(value)
    return tuple(some[0] if len(some) == 1 else median(some) for some in rounds.values())


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a rate from the number of successes in ``n`` trials (Wilson 1927).

    >>> [round(end, 3) for end in wilson(0, 32)]
    [0.0, 0.107]

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n}: needs trials, and no more successes than trials")
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, weight = successes / n, z * z / n
    centre = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / n + weight / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)
