"""Pairs records by ``Spec.id``: per metric the ratio of new to old with its interval.

Where both sides lived in the same ensembles, ratios are paired per ensemble. Otherwise they were
measured at different times: the interval is Welch's over the rounds, and beside it stands how far
the machine itself may have drifted between the two, which no statistics of the rounds can see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cnnbench import flaws, metrics, stats
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable
from cnnbench.gate import facets, renaming
from cnnbench.gate.explanation import Explanation
from cnnbench.gate.facets import OUTPUT, Difference
from cnnbench.gate.outcomes import PairedOutcome
from cnnbench.gate.rule import ALPHA
from cnnbench.metrics import METRICS, Metric
from cnnbench.record import Record
from cnnbench.stats import Estimate, Shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.store import StoredRun

# Two looks at one machine minutes apart: this is what its speed varies by (standard deviation of
# the logarithm) where nothing better has been learnt. Measured on shared virtual machines at 1 to
# 13 %; ``noise`` of a baseline replaces it.
BETWEEN_SESSIONS = 0.05
# So many standard deviations of drift are allowed for.
_ALLOWED = 3.0

How = Literal["exact", "paired", "apart", "described", "unknown"]


@dataclass(frozen=True)
class Side:
    """One of two sides: a run, or a baseline file.

    Attributes:
        name: for people.
        environment: where it was measured.
        records: by spec id, in order.
        sessions: spec id -> number of sessions that its rounds come from; one if not named.
        noise: spec id -> standard deviation of log time between sessions, where it was learnt.
    """

    name: str
    environment: Environment
    records: Mapping[str, Record]
    sessions: Mapping[str, int] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One metric of one spec, new against old.

    Attributes:
        metric: its name.
        old, new: the estimates, ``None`` where it was not measured.
        how: ``exact`` (counts and bytes), ``paired`` (side by side), ``apart`` (at different
            times), ``described`` (of the measurement itself: a ratio without an interval, judged
            only where a threshold names it), or ``unknown`` (no ratio can be had).
        ratio: new over old with its interval, whose error on either side is ``rule.ALPHA``.
        pairs: log-ratios, one per common ensemble.
        shift: what the interval is made of.
        drift: half-width in log time that the machine may have drifted between the two.
        disturbed: why an absolute time cannot be trusted.
        awake: both without the waiting for a core, where that has spoilt one of them: people see
            these, as in the tables of the runs, and the ratio of two sittings is theirs.
        outcome: of a comparison that was measured side by side just now: with its looks, CPU time
            and confirmation it knows more than the pairs do.
    """

    metric: str
    old: Estimate | None
    new: Estimate | None
    how: How
    ratio: Estimate | None = None
    pairs: tuple[float, ...] = ()
    shift: Shift | None = None
    drift: float = 0.0
    disturbed: str = ""
    awake: tuple[Estimate, ...] | None = None
    outcome: PairedOutcome | None = None

    @property
    def shown(self) -> tuple[Estimate | None, Estimate | None]:
        """Old and new as people see them."""
        old, new = self.awake or (self.old, self.new)
        return old, new


@dataclass(frozen=True)
class Row:
    """One spec in both.

    Attributes:
        spec: its id.
        state: ``missing``, ``added`` or ``failed``; ``None`` where both have numbers.
        reason: why.
        changes: of every metric that one of them has.
        differences: what they do differently.
        uncompared: facets that one side does not know -> why, if there is more to say.
        title: what it is called where two specs are compared, such as two models.
        remedy: how to accept its state, a command; may be empty.
        explanation: which parts of the step changed, where that was measured.
    """

    spec: str
    state: Literal["missing", "added", "failed"] | None = None
    reason: str = ""
    changes: tuple[Change, ...] = ()
    differences: tuple[Difference, ...] = ()
    uncompared: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    remedy: str = ""
    explanation: Explanation | None = None

    @property
    def name(self) -> str:
        """The name for people."""
        return self.title or self.spec

    @property
    def output_changed(self) -> bool:
        """Whether the two sides' answers are not equally right."""
        return any(one.facet == OUTPUT for one in self.differences)

    def change(self, metric: str) -> Change | None:
        """The change of one metric; ``None`` if it was not compared."""
        return next((one for one in self.changes if one.metric == metric), None)


@dataclass(frozen=True)
class Acceptance:
    """How to keep a change that was meant.

    Attributes:
        command: that does it.
        where: what stands for what in it; may be empty.
    """

    command: str
    where: str = ""

    @property
    def text(self) -> str:
        """Both on one line."""
        return f"{self.command}, where {self.where}" if self.where else self.command


@dataclass(frozen=True)
class Comparison:
    """The comparison of two sides.

    Attributes:
        old, new: their names.
        rows: one per spec of either.
        unlike: hard facts that differ: ``name: old -> new``.
        made_up: one side was only pretended to be measured.
        remarks: how it was measured, for people.
        remedy: what to do about a change that was meant.
    """

    old: str
    new: str
    rows: tuple[Row, ...]
    unlike: tuple[str, ...] = ()
    made_up: bool = False
    remarks: tuple[str, ...] = ()
    remedy: Acceptance | None = None

    @property
    def common(self) -> tuple[Row, ...]:
        """Rows that both sides have."""
        return tuple(row for row in self.rows if row.state not in {"missing", "added"})

    def geometric_mean(self, metric: str) -> Estimate | None:
        """Mean ratio over the rows that have one, with the interval of its measurement.

        Drift moves all rows alike, so that the mean does not make it smaller. Rows in which the
        status of the output has changed are left out: a wrong answer is no faster one.
        """
        rows = [row for row in self.rows if not row.output_changed]
        found = [change for row in rows if (change := row.change(metric)) and change.ratio]
        shifts = [change.shift for change in found if change.shift is not None]
        if not found or len(shifts) < len(found):
            return None
        mean = stats.mean_shift(shifts)
        drift = max(change.drift for change in found)
        half = mean.half(ALPHA)
        return _ratio(mean, None if half is None else math.hypot(half, drift))


def side_of(run: StoredRun) -> Side:
    """A run as a side, with one session."""
    records = {record.id: record for record in run.records}
    return Side(run.manifest.run, run.environment, records)


def compare(old: Side, new: Side) -> Comparison:
    """Pair two sides.

    Raises:
        Incomparable: they have no spec in common.
    """
    names = list(dict.fromkeys([*old.records, *new.records]))
    if not set(old.records) & set(new.records) and not renaming.twins(old, new):
        raise Incomparable(
            f"{old.name} and {new.name} have no spec in common ({_example(old)}, {_example(new)});"
            " compare runs of the same models, batches, modes and threads"
        )
    rows = tuple(_row(name, old, new) for name in names)
    places = (old.environment, new.environment)
    return Comparison(old.name, new.name, rows, unlike(*places), made_up(*places))


def made_up(*environments: Environment) -> bool:
    """Whether a side was made up by the fake executor."""
    return any(one.hard.get("fake") for one in environments)


def _example(side: Side) -> str:
    return f"one has {next(iter(side.records))}" if side.records else f"{side.name} is empty"


def unlike(old: Environment, new: Environment) -> tuple[str, ...]:
    """Hard facts that differ, each with both values."""
    found = []
    for name in sorted({*old.hard, *new.hard}):
        found += _differing(name, old.hard.get(name), new.hard.get(name))
    return tuple(found)


def _differing(name: str, old: object, new: object) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in _differing(f"{name}.{key}", old.get(key), new.get(key))
        ]
    return [] if old == new else [f"{name}: {_fact(old)} -> {_fact(new)}"]


def _fact(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _row(name: str, old: Side, new: Side) -> Row:
    before, after = old.records.get(name), new.records.get(name)
    if after is None:
        return Row(name, "missing", f"not in {new.name}")
    if before is None:
        return Row(name, "added", f"not in {old.name}")
    if after.failure is not None:
        both = f"; it failed in {old.name} too" if before.failure is not None else ""
        return Row(name, "failed", f"{after.failure.phase}: {after.failure.message}{both}")
    if before.failure is not None:
        return Row(name, "added", f"failed in {old.name}: {before.failure.message}")
    drift = _drift(name, old, new)
    changes = (_change(metric, before, after, drift) for metric in METRICS)
    return Row(
        spec=name,
        changes=tuple(one for one in changes if one is not None),
        differences=facets.differences(before, after),
        uncompared=facets.uncompared(before, after),
    )


def _drift(name: str, old: Side, new: Side) -> float:
    """How far, in log time, the machine may have drifted between two sessions."""
    learnt = [side.noise[name] for side in (old, new) if name in side.noise]
    deviation = max(learnt, default=BETWEEN_SESSIONS)
    sittings = [side.sessions.get(name, 1) for side in (old, new)]
    return _ALLOWED * deviation * math.sqrt(sum(1 / count for count in sittings))


def measured(metric: Metric) -> bool:
    """Whether a metric is a time or follows from one, so that it is never exactly repeated."""
    return metric.nature == "time"


def _change(metric: Metric, before: Record, after: Record, drift: float) -> Change | None:
    old, new = metric.of(before), metric.of(after)
    if old is None or new is None:
        return None if old is None and new is None else Change(metric.name, old, new, "unknown")
    if not measured(metric) or min(old.point, new.point) <= 0:
        return _exact(metric, old, new)
    awake = metrics.alike(metric.name, (before, after))
    if metric.name in _FOLLOWS and (speedups := metrics.log_speedups(before, after)):
        known = Change(metric.name, old, new, "paired", awake=awake)
        return _paired(metric.name, speedups, known, before, after)
    was, now = awake or (old, new)
    shift = stats.shift(was, now)
    ratio = _ratio(shift, shift.half(ALPHA))
    disturbed = _disturbed(metric, before, after, clocked=awake is None)
    return Change(metric.name, old, new, "apart", ratio, (), shift, drift, disturbed, awake)


def _exact(metric: Metric, old: Estimate, new: Estimate) -> Change:
    described = metric.nature == "described"
    how: How = "described" if described else "exact"
    if old.point == 0:
        same = stats.exact(1.0) if new.point == 0 else None
        return Change(metric.name, old, new, how if same else "unknown", same)
    ratio = new.point / old.point
    return Change(metric.name, old, new, how, Estimate(ratio) if described else stats.exact(ratio))


# What is read from the slices of an ensemble, and how its log-ratio follows from that of times.
BY_TIME = {"latency": 1, "throughput": -1}
# What is work over time besides; the work may have changed too.
_FOLLOWS = BY_TIME | {"effective_flops": -1, "executed_flops": -1}


def of_pairs(metric: str, pairs: Sequence[float], known: Change | None = None) -> Change:
    """A change measured side by side.

    Args:
        metric: a name of ``BY_TIME``, or other work over time.
        pairs: log(new / old) of the time, one per pair; at least one.
        known: what was known of it before; its absolute values stay.
    """
    signed = tuple(_FOLLOWS[metric] * value for value in pairs)
    shift = stats.shift_of(signed)
    old, new = (known.old, known.new) if known is not None else (None, None)
    ratio, awake = _ratio(shift, shift.half(ALPHA)), known.awake if known is not None else None
    return Change(metric, old, new, "paired", ratio, signed, shift, awake=awake)


def _paired(
    metric: str, pairs: Sequence[float], known: Change, before: Record, after: Record
) -> Change:
    """Work over time, side by side: the ratio of the work is exact and moves every pair."""
    estimates = known.old, known.new, metrics.latency(before), metrics.latency(after)
    if metric in BY_TIME or None in estimates:
        return of_pairs(metric, pairs, known)
    old, new, slow, fast = (one.point for one in estimates if one is not None)
    work = math.log(new * fast / (old * slow))
    return of_pairs(metric, [value - work for value in pairs], known)


def _disturbed(metric: Metric, before: Record, after: Record, *, clocked: bool) -> str:
    """Why a time cannot be trusted; what leaves waiting out is not disturbed by it."""
    if metric.name in {"latency_awake", "cpu_time"}:
        return ""
    said = (flaws.disturbance(one, clocked=clocked) for one in (before, after))
    return next(filter(None, said), "")


def _ratio(shift: Shift, half: float | None) -> Estimate:
    point = stats.ratio_of(shift.centre)
    if half is None:
        return Estimate(point)
    low, high = stats.ratio_of(shift.centre - half), stats.ratio_of(shift.centre + half)
    return Estimate(point, low, high, shift.rounds)
