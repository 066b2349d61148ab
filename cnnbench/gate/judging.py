"""Thresholds on changes: a verdict per metric and per row. Knows no files and no exit codes.

Counts and bytes are compared as they are. Times are judged by the interval of their ratio against
half the threshold (``rule``): paired ones by their pairs, those measured apart by an interval that
allows for the machine's drift, so that a stored record is blind rather than wrong. What was
measured side by side just now (``outcomes``) brings its decision along.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, cast

from cnnbench import metrics, stats
from cnnbench.gate import facets, family, unsure
from cnnbench.gate.changes import Change, Comparison, Row, measured
from cnnbench.gate.rule import (
    VERDICTS,
    Better,
    Decision,
    SequentialRule,
    Verdict,
    decide,
    judge_interval,
)
from cnnbench.metrics import METRICS
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# Facets that a processor decides and not the code alone: between different machines they differ.
_UNLIKE = "measured in different environments"
_OF_THE_MACHINE = frozenset({"kernels", "reorders", "allocations"})
# Libraries whose own networks and operators may compute another thing in another version.
_LIBRARY = re.compile(r"torch\.(?:version|torchvision): ([^+ ]+)\S* -> ([^+ ]+)")


@dataclass(frozen=True)
class Threshold:
    """The largest acceptable change for the worse.

    Attributes:
        metric: a metric, a facet of the structure, or ``structure`` for all facets.
        limit: relative change that must not be passed, e.g. 0.05; of facets the number of
            differences; ``None`` switches off what a threshold before it asked for.
        model, mode: globs of what it is for.
        asked: by a user; what only the defaults ask for is not missed where it was not measured.
        auto: the user has left the limit to what is learnt of the noise.
        learnt: spec id -> limit in place of ``limit``, of an ``auto`` one.
    """

    metric: str
    limit: float | None
    model: str = "*"
    mode: str = "*"
    asked: bool = True
    auto: bool = False
    learnt: Mapping[str, float] = field(default_factory=dict)

    def covers(self, spec: Spec) -> bool:
        """Whether the threshold applies to such a spec."""
        names = {spec.workload.model, spec.workload.architecture}
        return any(fnmatchcase(name, self.model) for name in names) and fnmatchcase(
            spec.mode.text, self.mode
        )


@dataclass(frozen=True)
class MetricVerdict:
    """The verdict on one metric or facet of one spec.

    Attributes:
        spec: its id, or what a comparison of two is called.
        metric: or facet.
        verdict: the answer.
        limit: the threshold it was judged by.
        change: of a metric.
        reason: why it is not simply fine.
        decision: of times, how the interval was judged.
    """

    spec: str
    metric: str
    verdict: Verdict
    limit: float
    change: Change | None = None
    reason: str = ""
    decision: Decision | None = None


@dataclass(frozen=True)
class Judged:
    """A row with its verdict."""

    row: Row
    findings: tuple[MetricVerdict, ...]
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Judgement:
    """A comparison, judged.

    Attributes:
        comparison: what was judged.
        rows: in its order.
        forced: timing was judged although the environments differ.
        again: the command most likely to make inconclusive verdicts conclusive; may be empty.
    """

    comparison: Comparison
    rows: tuple[Judged, ...]
    forced: bool = False
    again: str = ""

    def count(self, verdict: Verdict) -> int:
        """The number of rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def findings(self, verdict: Verdict) -> list[MetricVerdict]:
        """All findings with a verdict."""
        return [one for row in self.rows for one in row.findings if one.verdict == verdict]


def judge(
    comparison: Comparison,
    thresholds: Sequence[Threshold],
    *,
    force: bool = False,
    timing: bool = True,
) -> Judgement:
    """Verdicts of all rows.

    Args:
        comparison: what changed.
        thresholds: the last one that covers a spec and a metric counts.
        force: judge times though the environments differ.
        timing: judge what was measured; else only what a network is made of.
    """
    apart = bool(comparison.unlike) and not force
    advisory = (_OF_THE_MACHINE if apart else set()) | (
        {facets.VALUES} if apart and _other_libraries(comparison.unlike) else set()
    )
    found = {
        row.name: _findings(row, thresholds, advisory, apart=apart, timing=timing)
        for row in comparison.rows
    }
    doubtful = _doubtful([one for findings in found.values() for one in findings])
    rows = []
    for row in comparison.rows:
        findings = tuple(doubtful.get((one.spec, one.metric), one) for one in found[row.name])
        rows.append(Judged(row, findings, *_of_row(row, findings)))
    return Judgement(comparison, tuple(rows), force and bool(comparison.unlike))


def limits(spec: Spec, thresholds: Iterable[Threshold]) -> dict[str, Threshold]:
    """The thresholds for a spec: metric or facet -> the last one that covers it."""
    found: dict[str, Threshold] = {}
    for threshold in thresholds:
        if threshold.covers(spec):
            if threshold.metric == "structure":
                # All that there is to compare; what was not measured is not missed.
                every = replace(threshold, asked=False)
                found |= dict.fromkeys((one.name for one in facets.FACETS), every)
            else:
                limit = threshold.learnt.get(spec.id, threshold.limit)
                found[threshold.metric] = replace(threshold, limit=limit)
    return {name: threshold for name, threshold in found.items() if threshold.limit is not None}


def _other_libraries(unlike: Iterable[str]) -> bool:
    """Whether torch or torchvision is of another version, not only built for another device."""
    known = (_LIBRARY.match(line) for line in unlike)
    return any(found is not None and found[1] != found[2] for found in known)


def _findings(
    row: Row,
    thresholds: Sequence[Threshold],
    advisory: Collection[str],
    *,
    apart: bool,
    timing: bool,
) -> list[MetricVerdict]:
    if row.state is not None:
        return []
    wanted = limits(Spec.parse(row.spec), thresholds)
    found = []
    for metric in METRICS:
        change, threshold = row.change(metric.name), wanted.get(metric.name)
        if change is None or threshold is None or not (timing or _is_made_of(change, threshold)):
            continue
        limit = cast("float", threshold.limit)
        found.append(_of_change(row.name, change, limit, apart=apart))
    for facet in facets.FACETS:
        threshold = wanted.get(facet.name)
        known = facet.name not in row.uncompared
        if threshold is not None and (known or threshold.asked):
            limit = cast("float", threshold.limit)
            found.append(_of_facet(row, facet.name, limit, advisory))
    return found


def _is_made_of(change: Change, threshold: Threshold) -> bool:
    """Whether a change is judged without timing: exact counts and bytes."""
    if measured(metrics.metric(change.metric)):
        return False
    return change.how != "unknown" or threshold.asked


def _of_facet(row: Row, name: str, limit: float, advisory: Collection[str]) -> MetricVerdict:
    lines = [one.text for one in row.differences if one.facet == name]
    if name in row.uncompared:
        return MetricVerdict(
            row.name, name, "inconclusive", limit,
            reason=row.uncompared[name] or "not measured on both sides",
        )  # fmt: skip
    if len(lines) <= limit:
        return MetricVerdict(row.name, name, "unchanged", limit)
    verdict: Verdict = "incomparable" if name in advisory else "regression"
    if name == facets.VALUES:
        reason = "; ".join(lines) + ("; so does torch" if name in advisory else "")
    else:
        reason = "structure changed: " + "; ".join(lines)
    return MetricVerdict(row.name, name, verdict, limit, reason=reason)  # fmt: skip


def _of_change(spec: str, change: Change, limit: float, *, apart: bool) -> MetricVerdict:
    metric = metrics.metric(change.metric)
    if change.outcome is not None:
        known, why = change.outcome.decision, unsure.of(change.outcome)
        reason = known.reason if why is None else why.reason
        return MetricVerdict(
            spec, change.metric, change.outcome.verdict, limit, change, reason, known
        )
    if change.how == "unknown" or change.ratio is None:
        return _of_unknown(spec, change, limit)
    if not measured(metric):
        verdict = _exact(change, limit, metric.better)
        if apart and verdict == "regression" and metric.kind != "count":
            # Kernels, and with them workspaces and rounding, are the processor's choice.
            return MetricVerdict(spec, change.metric, "incomparable", limit, change, _UNLIKE)
        return MetricVerdict(spec, change.metric, verdict, limit, change)
    if apart and change.how != "paired":
        return MetricVerdict(spec, change.metric, "incomparable", limit, change, _UNLIKE)
    better: Better = "higher" if metric.better == "higher" else "lower"
    found = _timed(change, SequentialRule(limit, better=better))
    judged = cast("Verdict", found.verdict)
    if metric.better == "none" and judged == "improvement":
        judged = "regression"  # no direction is the better one: it has changed
    return MetricVerdict(spec, change.metric, judged, limit, change, found.reason, found)


def _of_unknown(spec: str, change: Change, limit: float) -> MetricVerdict:
    if change.old is not None and change.new is not None:
        # From nothing to something: there is no ratio, but there is a direction.
        better = metrics.metric(change.metric).better
        verdict: Verdict = "improvement" if better == "higher" else "regression"
        return MetricVerdict(spec, change.metric, verdict, limit, change, "it was zero before")
    where = "before" if change.old is None else "now"
    return MetricVerdict(
        spec, change.metric, "inconclusive", limit, change, f"not measured {where}"
    )  # fmt: skip


# Sizes and counts are whole numbers whose ratio a float holds to this.
_ROUNDING = 1e-12

_ONE_ROUND = "one round has no interval; measure more rounds"


def _exact(change: Change, limit: float, better: str) -> Verdict:
    assert change.ratio is not None  # noqa: S101 - asked before
    grown = change.ratio.point - 1
    if abs(grown) <= limit + _ROUNDING:
        return "unchanged"
    if better == "none":
        return "regression"
    return "regression" if (grown > 0) == (better == "lower") else "improvement"


def _timed(change: Change, rule: SequentialRule) -> Decision:
    if change.how == "paired":
        found = decide(change.pairs, rule, spent=True)
        return found if len(change.pairs) > 1 else replace(found, reason=_ONE_ROUND)
    half = None if change.shift is None else change.shift.half(rule.alpha)
    if change.shift is None or half is None:
        return Decision("inconclusive", reason=_ONE_ROUND)
    # Two independent errors: of the rounds, and of the machine between the two sittings.
    wide = math.hypot(half, change.drift)
    low, high = change.shift.centre - wide, change.shift.centre + wide
    verdict = None if change.disturbed else judge_interval(low, high, rule)
    reason = (
        change.disturbed or "measured at different times; use 'cnnbench ab' to measure side by side"
    )
    return Decision(
        verdict=verdict or "inconclusive",
        estimate=stats.change_of(change.shift.centre),
        low=stats.change_of(low),
        high=stats.change_of(high),
        pairs=change.shift.rounds,
        resolvable=stats.change_of(rule.margin + wide),
        reason="" if verdict else reason,
    )


def _doubtful(findings: Sequence[MetricVerdict]) -> dict[tuple[str, str], MetricVerdict]:
    """Regressions that do not stand beside all others, as what they are then.

    A metric's tests are those of its rows: other times of a row come from the same pairs and are no
    further chance of a false alarm. What a session decided, it has decided beside all others.
    """
    paired: dict[str, dict[str, MetricVerdict]] = {}
    for one in findings:
        if one.change is not None and one.change.how == "paired" and one.change.outcome is None:
            paired.setdefault(one.metric, {})[one.spec] = one
    found = {}
    for metric, rows in paired.items():
        tests = {spec: (one.change.pairs, _rule(one)) for spec, one in rows.items() if one.change}
        reason = family.reason(len(tests))
        for spec in family.unproven(tests):
            if rows[spec].verdict == "regression":
                found[spec, metric] = replace(rows[spec], verdict="inconclusive", reason=reason)
    return found


def _rule(one: MetricVerdict) -> SequentialRule:
    better = metrics.metric(one.metric).better
    return SequentialRule(one.limit, better="higher" if better == "higher" else "lower")


def _of_row(row: Row, findings: Sequence[MetricVerdict]) -> tuple[Verdict, str]:
    if row.state is not None:
        return row.state, row.reason
    if not findings:
        return "inconclusive", "no threshold applies to anything that both sides measured"
    worst = min(findings, key=lambda one: VERDICTS.index(one.verdict))
    reasons = [one.reason for one in findings if one.verdict == worst.verdict and one.reason]
    if worst.verdict in {"improvement", "unchanged"}:
        return worst.verdict, ""
    return worst.verdict, "; ".join(dict.fromkeys(reasons))
