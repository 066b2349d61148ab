"""The series of one metric over stored runs, with its step changes.

Steps are found by E-divisive (Matteson and James, "A nonparametric approach for multiple change
point analysis of multivariate data", JASA 109, 2014): the split with the largest energy distance
between its two sides, kept if few permutations of the series have one as large, then the same in
each part. Values are compared by their logarithms. A step may be the machine's and not the code's:
different days have different conditions; to see the effect of a change, measure side by side.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench import metrics
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.record import Record
    from cnnbench.store import StoredRun

# A side of a step has at least so many runs: one run that differs is not a step.
SMALLEST = 3
LEVEL = 0.05
PERMUTATIONS = 999


@dataclass(frozen=True)
class Point:
    """One run of a series.

    Attributes:
        run: its name.
        created: UTC, ISO 8601.
        environment: fingerprint.
        estimate: of the metric.
        seen: the same as people are shown it: without waiting for a core, of all points, where
            that has spoilt one and is known of all.
    """

    run: str
    created: str
    environment: str
    estimate: Estimate
    seen: Estimate


@dataclass(frozen=True)
class StepChange:
    """A change of level.

    Attributes:
        index: of the first point after it.
        run: the run of that point.
        ratio: median after over median before, up to the neighbouring steps.
        p_value: by permutation.
        elsewhere: the environment changed at the same point.
    """

    index: int
    run: str
    ratio: float
    p_value: float
    elsewhere: bool


@dataclass(frozen=True)
class Series:
    """A metric of a spec over runs, oldest first."""

    spec: str
    metric: str
    points: tuple[Point, ...]
    steps: tuple[StepChange, ...] = ()


def series(
    runs: Sequence[StoredRun], metric: str, keep: Callable[[str], bool], seed: int = 0
) -> list[Series]:
    """The series of a metric, one per spec.

    Args:
        runs: in any order.
        metric: its name.
        keep: whether a spec id is wanted.
        seed: of the permutations.

    Raises:
        UnknownName: no such metric.
    """
    metrics.metric(metric)
    found: dict[str, list[tuple[StoredRun, Record]]] = {}
    for run in sorted(runs, key=lambda one: (one.manifest.created, one.manifest.run)):
        for record in run.records:
            if keep(record.id):
                found.setdefault(record.id, []).append((run, record))
    told = ((spec, _points(metric, some)) for spec, some in found.items())
    return [
        Series(spec, metric, tuple(points), tuple(_steps(points, seed)))
        for spec, points in told
        if points
    ]


def _points(metric: str, found: Sequence[tuple[StoredRun, Record]]) -> list[Point]:
    """A point for each record that has the metric; all are without waiting, or none is."""
    of = metrics.metric(metric).of
    known = [(run, record, one) for run, record in found if (one := of(record)) is not None]
    estimates = [one for _, _, one in known]
    seen = metrics.alike(metric, [record for _, record, _ in known]) or estimates
    return [
        Point(run.manifest.run, run.manifest.created, run.environment.fingerprint, one, shown)
        for (run, _, one), shown in zip(known, seen, strict=True)
    ]


def _steps(points: Sequence[Point], seed: int) -> list[StepChange]:
    values = [one.seen.point for one in points]
    if len(values) < 2 * SMALLEST or min(values) <= 0:
        return []
    found = change_points([math.log(value) for value in values], seed)
    ends = [0, *sorted(found), len(points)]
    steps = []
    for before, index, after in zip(ends, ends[1:], ends[2:], strict=False):
        ratio = statistics.median(values[index:after]) / statistics.median(values[before:index])
        elsewhere = points[index].environment != points[index - 1].environment
        steps.append(StepChange(index, points[index].run, ratio, found[index], elsewhere))
    return steps


def change_points(values: Sequence[float], seed: int = 0, level: float = LEVEL) -> dict[int, float]:
    """The step changes of a series.

    Args:
        values: in order of time.
        seed: of the permutations.
        level: the largest p-value that still counts.

    Returns:
        index of the first value after each change -> its p-value.
    """
    generator = np.random.default_rng(seed)
    found: dict[int, float] = {}
    open_parts = [(0, len(values))]
    while open_parts:
        # The most striking split of all parts is tested first, as published.
        best = [(*_split(np.array(values[a:b])), a, b) for a, b in open_parts]
        strength, index, start, end = max(best)
        p_value = _significance(values, strength, open_parts, generator)
        if index < 0 or p_value > level:
            break
        found[start + index] = p_value
        open_parts.remove((start, end))
        open_parts += [(start, start + index), (start + index, end)]
    return found


def _significance(
    values: Sequence[float],
    strength: float,
    parts: Sequence[tuple[int, int]],
    generator: np.random.Generator,
) -> float:
    """Share of permutations within the parts that split as strikingly."""
    if strength <= 0:
        return 1.0
    arrays = [np.array(values[a:b]) for a, b in parts]
    as_large = sum(
        max(_split(generator.permutation(one))[0] for one in arrays) >= strength * (1 - 1e-12)
        for _ in range(PERMUTATIONS)
    )
    return float((as_large + 1) / (PERMUTATIONS + 1))


def _split(values: np.ndarray) -> tuple[float, int]:
    """The largest scaled energy distance of two neighbouring parts, and where it is.

    Returns:
        the statistic and the length of the first part; (0, -1) for too short a series.
    """
    total = len(values)
    if total < 2 * SMALLEST:
        return 0.0, -1
    distances = np.abs(values[:, None] - values[None, :])
    # Sums over the first n rows and columns, and over the first n rows and all columns.
    square = np.cumsum(np.cumsum(distances, axis=0), axis=1).diagonal()
    rows = np.cumsum(distances.sum(axis=1))
    first = np.arange(SMALLEST, total - SMALLEST + 1)
    second = total - first
    inside, band = square[first - 1], rows[first - 1]
    between = band - inside
    outside = square[-1] - 2 * band + inside
    energy = (
        2 * between / (first * second)
        - inside / (first * (first - 1))
        - outside / (second * (second - 1))
    )
    scaled = energy * first * second / total
    best = int(np.argmax(scaled))
    return float(scaled[best]), int(first[best])
