"""What is said of series over runs: steps, how to find the commit, what was not compared."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.asking import INPUTS
from cnnbench.gate.changes import BY_TIME
from cnnbench.gate.steps import FEWEST
from cnnbench.report.remedies import axis_options
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.gate.history import Point, Series, StepChange

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Of a hash that people read; commands have enough of it to be unique in any repository.
_SHORT, _COMMAND = 7, 12


def lines(found: Sequence[Series]) -> list[str]:
    """A line per step, with the command that finds its commit; then what was not compared."""
    told = [line for one in found for line in _steps(one)]
    told += [line for one in found for line in _newest(one)]
    return [*told, *_drifts(found), *_apart(found), *_unsure(found)]


def _steps(one: Series) -> Iterator[str]:
    for step, clean in zip(one.steps, one.clean, strict=True):
        yield f"{one.spec}: {_step(one, step)}"
        if clean is not None and (command := bisection(one, step, *clean)):
            yield f"  to find its commit: {command}"


def _step(one: Series, step: StepChange) -> str:
    before, after = one.points[step.before], one.points[step.index]
    text = f"step of {_change(step)} between {_place(before)} and {_place(after)}"
    parts = [text, *_between(before, after)]
    if step.young:
        # Both of two, because one is no step.
        parts.append(f"young: seen in the newest {units.number(step.after, 'run')} only")
    return ", ".join(parts)


def _change(step: StepChange) -> str:
    ends = [step.ratio.low, step.ratio.high]
    inside = ", ".join(units.percent(end - 1, sign=True) for end in ends if end is not None)
    return f"{units.percent(step.ratio.point - 1, sign=True)} [{inside}]"


def _place(point: Point) -> str:
    """A run by its commit, if it has one, and its day."""
    day = point.created[:10]
    if not point.revision:
        return f"{point.run} ({day})"
    changed = " with uncommitted changes" if point.dirty else ""
    return f"{point.revision[:_SHORT]}{changed} (run of {day})"


def _between(before: Point, after: Point) -> Iterator[str]:
    if before.revision and before.revision == after.revision:
        if not before.dirty and not after.dirty:
            yield "both of one commit: the machine or what is installed, not the code"
    elif before.place is not None and after.place is not None and after.place > before.place + 1:
        yield f"one of {units.number(after.place - before.place, 'commit')}"


def bisection(one: Series, step: StepChange, good: Point, bad: Point) -> str:
    """The command that finds the commit of a step; empty where none can.

    Args:
        one: the series.
        step: of it.
        good: the last commit before it.
        bad: the first after it.
    """
    spec, metric = Spec.parse(one.spec), metrics.metric(one.metric)
    known = all(_HASH.fullmatch(point.revision) for point in (good, bad))
    worse = (step.ratio.point > 1) == (metric.better == "lower")
    timed = metric.name in BY_TIME
    if not known or (timed and not worse) or not (timed or metric.kind == "count"):
        return ""
    if spec.workload.setting(INPUTS, ""):
        # Several inputs are asked for in a way that an id does not keep.
        return ""
    words = ["cnnbench", "bisect", good.revision[:_COMMAND], bad.revision[:_COMMAND]]
    words += ["--models", units.readable(spec.workload.model), "--modes", spec.mode.text]
    words += ["--input", spec.workload.shape_text, *axis_options(spec)]
    return shlex.join([*words, *(() if timed else ("--structure-only",))])


def _newest(one: Series) -> Iterator[str]:
    if one.newest is not None:
        change = units.percent(one.newest - 1, sign=True)
        yield (
            f"{one.spec}: the newest run ({_place(one.points[-1])}) is {change} from its level; one"
            " run is no step, the next one will tell"
        )


def _drifts(found: Sequence[Series]) -> Iterator[str]:
    for one in found:
        if one.drifts:
            yield f"{one.spec}: moves gradually, as a machine does and a commit does not: no step"


def _apart(found: Sequence[Series]) -> Iterator[str]:
    """Runs that were put into another order or compared with none."""
    places = max((len({point.environment for point in one.points}) for one in found), default=0)
    if places > 1:
        yield (
            f"runs of {places} environments: each is compared with runs of its own only, and where"
            " the environment changes there is no step"
        )
    if any(one.moved for one in found):
        yield "in the order of commits, which is not the order in which they were measured"
    aside = {point.run for one in found for point in one.points if point.aside}
    if aside:
        yield (
            f"{units.number(len(aside), 'run')} of commits that are not among the first parents of"
            " HEAD: shown, but never part of a step"
        )


def _unsure(found: Sequence[Series]) -> Iterator[str]:
    """What is not known of runs."""
    points = {point.run: point for one in found for point in one.points}.values()
    dirty = sum(point.dirty for point in points)
    if dirty:
        yield f"{units.number(dirty, 'run')} with uncommitted changes: not the code of a commit"
    unknown = sum(not point.revision for point in points)
    if unknown and unknown < len(points):
        yield f"{units.number(unknown, 'run')} without a known commit, in the order of time"
    lacking = sum(one.lacking for one in found)
    if lacking:
        yield f"{units.number(lacking, 'value')} missing: planned by a run, but not measured"
    short = sum(len(one.points) < FEWEST for one in found)
    if short:
        yield f"{short} series with fewer than {FEWEST} runs, too few to detect a step change"
