"""The series of one metric over stored runs, with its step changes.

Runs are in the order of their commits where those are on one line, else in that of time; runs of
another environment, or of commits beside the line, never make a step (``steps`` finds them, on
logarithms). A step may be the machine's and not the code's: different days have different
conditions; to see the effect of a change, measure side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import metrics, stats
from cnnbench.gate import steps
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.record import Record
    from cnnbench.store import StoredRun

# Times are not steadier than this; a count is as steady as the last digit of its logarithm.
_STEADIEST, _COUNTED = 1e-3, 1e-9
# A step with so few runs after it is young: the next run may take it back.
YOUNG = 2


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
        revision: the commit that was checked out, empty if it is not known.
        dirty: with uncommitted changes, so that it is not that commit's code.
        place: of the commit on the line of first parents, if a line is known and it is on it.
        aside: a line is known and the commit is not on it, so that it is no neighbour of others.
    """

    run: str
    created: str
    environment: str
    estimate: Estimate
    seen: Estimate
    revision: str = ""
    dirty: bool = False
    place: int | None = None
    aside: bool = False


@dataclass(frozen=True)
class StepChange:
    """A change of level.

    Attributes:
        before, index: of the last point before it and of the first after it, of one environment.
        run: the run of the first after it.
        ratio: level after over level before, up to the neighbouring steps, with its interval.
        after: runs after it, up to the next step.
        young: so few that it may not last.
    """

    before: int
    index: int
    run: str
    ratio: Estimate
    after: int
    young: bool = False


@dataclass(frozen=True)
class Series:
    """A metric of a spec over runs, in order.

    Attributes:
        spec: its id.
        metric: its name.
        points: of every run that has it.
        steps: changes of level.
        newest: the last point over its level where it is far from it; one run is no step yet.
        drifts: indices about which the level moves gradually, which is no step.
        moved: the order is that of commits, and not that of time.
        lacking: runs that planned the spec and have no value of it.
    """

    spec: str
    metric: str
    points: tuple[Point, ...]
    steps: tuple[StepChange, ...] = ()
    newest: float | None = None
    drifts: tuple[int, ...] = ()
    moved: bool = False
    lacking: int = 0

    @property
    def clean(self) -> Sequence[tuple[Point, Point] | None]:
        """The nearest points around each step whose code is a known commit, if there are any."""
        return [_around(self.points, step) for step in self.steps]


def series(
    runs: Sequence[StoredRun],
    metric: str,
    keep: Callable[[str], bool],
    line: Mapping[str, int] | None = None,
) -> list[Series]:
    """The series of a metric, one per spec.

    Args:
        runs: in any order.
        metric: its name.
        keep: whether a spec id is wanted.
        line: commit -> its place among the first parents of the user's, if that is known.

    Raises:
        UnknownName: no such metric.
    """
    metrics.metric(metric)
    found: dict[str, list[tuple[StoredRun, Record]]] = {}
    planned: dict[str, int] = {}
    for run in sorted(runs, key=lambda one: (one.manifest.created, one.manifest.run)):
        for name in run.manifest.specs:
            planned[name] = planned.get(name, 0) + 1
        for record in run.records:
            if keep(record.id):
                found.setdefault(record.id, []).append((run, record))
    told = []
    for spec, some in found.items():
        points = _points(metric, some, line or {})
        if points:
            known = _ordered(points)
            lacking = max(0, planned.get(spec, 0) - len(points))
            whole = Series(spec, metric, known, moved=known != tuple(points), lacking=lacking)
            told.append(_stepped(whole))
    return told


def _points(
    metric: str, found: Sequence[tuple[StoredRun, Record]], line: Mapping[str, int]
) -> list[Point]:
    """A point for each record that has the metric; all are without waiting, or none is."""
    of = metrics.metric(metric).of
    known = [(run, record, one) for run, record in found if (one := of(record)) is not None]
    estimates = [one for _, _, one in known]
    seen = metrics.alike(metric, [record for _, record, _ in known]) or estimates
    # A line that none of the runs is on is that of another repository.
    here = any(run.manifest.revision in line for run, _, _ in known)
    points = []
    for (run, _, one), shown in zip(known, seen, strict=True):
        what = run.manifest
        place = line.get(what.revision or "")
        aside = here and bool(what.revision) and place is None
        points.append(
            Point(
                what.run, what.created, run.environment.fingerprint, one, shown,
                what.revision or "", bool(what.dirty), place, aside,
            )
        )  # fmt: skip
    return points


def _ordered(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points, those on the line in its order, in the seats that they had by time."""
    seats = [number for number, one in enumerate(points) if one.place is not None]
    # Sorting is stable: what was measured twice stays in the order of time.
    inside = sorted((points[seat] for seat in seats), key=lambda one: one.place or 0)
    found = list(points)
    for seat, one in zip(seats, inside, strict=True):
        found[seat] = one
    return tuple(found)


def _stepped(one: Series) -> Series:
    """With its steps: of every environment by itself, in the order of the points."""
    if min(point.seen.point for point in one.points) <= 0:
        return one
    places: dict[str, list[int]] = {}
    for number, point in enumerate(one.points):
        if not point.aside:
            places.setdefault(point.environment, []).append(number)
    least = _STEADIEST if metrics.metric(one.metric).nature == "time" else _COUNTED
    found: list[StepChange] = []
    drifts: list[int] = []
    newest = None
    for seats in places.values():
        known = steps.levels([math.log(one.points[seat].seen.point) for seat in seats], least)
        found += [_change(one.points, seats, step) for step in known.steps]
        drifts += [seats[place] for place in known.drifts]
        if seats[-1] == len(one.points) - 1 and known.last is not None:
            newest = stats.ratio_of(known.last)
    found.sort(key=lambda step: step.index)
    return replace(one, steps=tuple(found), newest=newest, drifts=tuple(sorted(drifts)))


def _change(points: Sequence[Point], seats: Sequence[int], step: steps.FoundStep) -> StepChange:
    low, high = step.change - step.half, step.change + step.half
    index = seats[step.index]
    return StepChange(
        before=seats[step.index - 1],
        index=index,
        run=points[index].run,
        ratio=Estimate(stats.ratio_of(step.change), stats.ratio_of(low), stats.ratio_of(high)),
        after=step.after,
        young=len(seats) - step.index <= YOUNG,
    )


def _around(points: Sequence[Point], step: StepChange) -> tuple[Point, Point] | None:
    """The nearest points around a step, of its environment, that are commits and not one."""
    here = points[step.index].environment
    fit = [
        (number, one)
        for number, one in enumerate(points)
        if one.environment == here and one.revision and not one.dirty and not one.aside
    ]
    before = [one for number, one in fit if number <= step.before]
    after = [one for number, one in fit if number >= step.index]
    if not before or not after or before[-1].revision == after[0].revision:
        return None
    return before[-1], after[0]
