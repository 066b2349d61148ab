"""Judged comparisons -> sentences: a summary, and the reasons for each verdict."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from cnnbench import metrics, units
from cnnbench.gate.facets import FACETS, VALUES
from cnnbench.gate.rule import ALPHA, VERDICTS
from cnnbench.report import cells, explanation
from cnnbench.report.table import FAKE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cnnbench.gate import Change, Judged, Judgement, MetricVerdict, Row
    from cnnbench.gate.facets import Difference
    from cnnbench.gate.outcomes import PairedOutcome

_INTERVAL = f"{units.significant(100 * (1 - 2 * ALPHA), 2)} % interval"
# Lines of one row's structure that a table shows; the rest is counted.
_LINES = 12


def captions(judgement: Judgement) -> list[str]:
    """What the numbers mean, and their summary."""
    comparison = judgement.comparison
    lines = [FAKE] if comparison.made_up else []
    lines += [f"{comparison.new} against {comparison.old}: {counts(judgement)}"]
    lines += comparison.remarks
    if comparison.unlike:
        lines.append(
            f"different environments, {_timing(judgement)}: {'; '.join(comparison.unlike)}"
        )
    lines += _how(judgement)
    mean = comparison.geometric_mean("latency")
    if mean is not None and len(comparison.common) > 1:
        span = cells.interval(_change, mean)
        left_out = sum(row.output_changed for row in comparison.common)
        but = f", without {units.number(left_out, 'row')} whose output changed" if left_out else ""
        lines.append(f"geometric mean of the latencies{but}: {_change(mean.point)}{span}")
    return lines


def _timing(judgement: Judgement) -> str:
    """What different environments mean for the verdicts about times."""
    if judgement.forced:
        return "timing is still judged"
    hows = {time.how for time in _times(judgement) if time.ratio is not None}
    if hows == {"paired"}:
        return "timing was measured side by side"
    return "timing is advisory"


def _times(judgement: Judgement) -> list[Change]:
    return [time for row in judgement.rows if (time := row.row.change("latency"))]


def _how(judgement: Judgement) -> list[str]:
    times = _times(judgement)
    lines = []
    if any(time.how == "paired" for time in times):
        lines.append(f"latency measured side by side; {_INTERVAL} over pairs")
    drifts = [time.drift for time in times if time.how == "apart"]
    if drifts:
        lines.append(
            f"latency measured at different times; {_INTERVAL} over rounds, and the verdict"
            f" allows for {units.share(max(drifts))} of machine drift on top of it"
        )
    return lines


def counts(judgement: Judgement) -> str:
    """``12 specs: 1 regression, 11 unchanged``."""
    found = {one: judgement.count(one) for one in VERDICTS}
    parts = [_counted(count, one) for one, count in found.items() if count]
    return f"{units.number(len(judgement.rows), 'spec')}: {', '.join(parts)}"


def _counted(count: int, verdict: str) -> str:
    """``2 regressions``, ``2 unchanged``."""
    nouns = {"regression", "improvement"}
    return units.number(count, verdict) if verdict in nouns else f"{count} {verdict}"


def notes(judgement: Judgement) -> list[str]:
    """Reasons, what changed in the structure, what was not compared, and what to do about it."""
    lines = [line for judged in judgement.rows for line in _of_row(judged)]
    lines += _unsure(judgement)
    rows = judgement.comparison.common
    lines += _unjudged(rows)
    missing = {one for row in rows for one, why in row.uncompared.items() if not why}
    structure = {one.name for one in FACETS} - {"output"}
    if rows and all(structure <= {*row.uncompared} for row in rows):
        both = "" if all("output" in row.uncompared for row in rows) else " and outputs"
        lines.append(
            f"only times{both} were compared, not the structure of the networks; check compares it"
            " with a baseline file, bisect --structure-only between commits"
        )
    elif missing:
        known = [one.name for one in FACETS if one.name in missing]
        lines.append(f"not measured on both sides, so not compared: {', '.join(known)}")
    lines += _waited(judgement)
    outcomes = [time.outcome for time in _times(judgement) if time.outcome is not None]
    lines += [*_one_thread(outcomes), *_again(outcomes), *_waiting(outcomes)]
    lines += _resolution(outcomes)
    if judgement.again:
        lines.append(f"most likely to give an answer: {judgement.again}")
    if judgement.comparison.remedy and judgement.count("regression"):
        lines.append(f"if the change is intended: {judgement.comparison.remedy.text}")
    return lines


def _unjudged(rows: Sequence[Row]) -> list[str]:
    """Which facets were not judged, and why; rows with the same reason share a line."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for facet, why in row.uncompared.items():
            if why:
                groups.setdefault((facet, why), []).append(row)
    return [
        f"{found[0].name if len(found) == 1 else units.number(len(found), 'spec')}:"
        f" {facet} not judged: {why}"
        for (facet, why), found in groups.items()
    ]


# Verdicts with a line per finding; inconclusive findings with the same reason share one.
_TOLD = ("regression", "failed")


def _of_row(judged: Judged) -> list[str]:
    """The name of the row, and all lines about this row alone."""
    told = _sentences(judged, _TOLD)
    changed = _changed(judged, _TOLD)
    told += changed[:_LINES]
    if len(changed) > _LINES:
        told.append(f"structure changed: {len(changed) - _LINES} more lines not shown")
    if judged.row.remedy:
        told += [judged.reason] * (judged.row.state != "failed")
        told += judged.row.remedy.split("\n")
    if judged.row.explanation is not None:
        told += explanation.lines(judged.row.explanation)
    if judged.row.state == "failed" or (judged.row.state is None and not judged.findings):
        told.insert(0, f"{judged.verdict}: {judged.reason}")
    name = judged.row.name
    if len(told) < 2:
        return [f"{name}: {line}" for line in told]
    return [f"{name}: {judged.verdict}", *(f"  {line}" for line in told)]


def details(judged: Judged) -> list[str]:
    """Why a row has its verdict, and all that changed in its structure; a line each."""
    known = judged.row.explanation
    told = [] if known is None else explanation.lines(known)
    return [*_sentences(judged, (judged.verdict,)), *_changed(judged, (judged.verdict,)), *told]


def _sentences(judged: Judged, told: Collection[str]) -> list[str]:
    """Findings with these verdicts, except those that the structure lines already state."""
    shown = {one.facet for one in judged.row.differences}
    return [
        sentence(one)
        for one in judged.findings
        if one.verdict in told and (one.change is not None or one.metric not in shown)
    ]


def _changed(judged: Judged, told: Collection[str]) -> list[str]:
    """Differences in structure; those with a verdict come first and name it."""
    verdicts = {one.metric: one.verdict for one in judged.findings if one.verdict in told}
    lines = [
        f"{_difference(one)} ({verdicts[one.facet]})"
        for one in judged.row.differences
        if one.facet in verdicts
    ]
    return lines + [_difference(one) for one in judged.row.differences if one.facet not in verdicts]


def _difference(one: Difference) -> str:
    """What a network computes is no structure, and says itself what it is."""
    return one.text if one.facet == VALUES else f"structure changed: {one.text}"


def _waited(judgement: Judgement) -> list[str]:
    """Which latencies are not the clock's, and which are although something disturbed them."""
    awake = sum(time.awake is not None for time in _times(judgement))
    spoilt = sum(time.awake is None and bool(time.disturbed) for time in _times(judgement))
    lines = []
    if awake:
        lines.append(
            f"{cells.AWAKE} {units.number(awake, 'row')} disturbed: the time that the process"
            " waited for a core is taken out of both latencies, as in the tables of the runs"
        )
    if spoilt:
        lines.append(
            f"{units.number(spoilt, 'row')} disturbed: latencies by the clock, because the waiting"
            " for a core is not known of both sides"
        )
    return lines


def _one_thread(outcomes: Sequence[PairedOutcome]) -> list[str]:
    """For which comparisons the answer is about fewer threads than were asked for."""
    found = []
    for one in outcomes:
        narrow = one.one_thread
        if narrow is not None:
            asked = units.number(one.comparison.base.threads, "thread")
            found.append(
                f"{one.comparison.name}: its {asked} waited for cores for"
                f" {units.share(narrow.waiting)} of the time, so one thread was measured on one"
                " core; the answer is for one thread"
            )
    return found


def _again(outcomes: Sequence[PairedOutcome]) -> list[str]:
    return [
        f"{one.comparison.name}: {units.number(one.repeated, 'pair')} measured again, because"
        " turns did not agree with each other"
        for one in outcomes
        if one.repeated
    ]


def _waiting(outcomes: Sequence[PairedOutcome]) -> list[str]:
    return [
        f"{one.comparison.name}: another process used its core; the time spent waiting for it is"
        f" excluded ({one.waited} of {len(one.runs.get('base', ()))} pairs)"
        for one in outcomes
        if one.waited
    ]


def _resolution(outcomes: Sequence[PairedOutcome]) -> list[str]:
    """The smallest detectable change in the noise that there was, however many pairs it had."""
    known = {
        one.comparison.name: one.decision.resolvable
        for one in outcomes
        if one.decision.resolvable is not None
    }
    if not known:
        return []
    worst = max(known, key=lambda name: known[name])
    middle = units.percent(statistics.median(known.values()))
    most = f" (at worst {units.percent(known[worst])}, for {worst})" if len(known) > 1 else ""
    pairs = max(one.comparison.rule.most for one in outcomes)
    return [f"smallest detectable change in this noise, with {pairs} pairs: about {middle}{most}"]


def _unsure(judgement: Judgement) -> list[str]:
    groups: dict[tuple[str, str, str, str], list[MetricVerdict]] = {}
    for verdict in ("inconclusive", "incomparable"):
        for one in judgement.findings(verdict):
            # What was measured just now has reasons of its own.
            own = one.spec if one.change is not None and one.change.outcome is not None else ""
            groups.setdefault((verdict, one.metric, one.reason, own), []).append(one)
    return [_together(*key[:3], found) for key, found in groups.items()]


def _together(verdict: str, metric: str, reason: str, found: Sequence[MetricVerdict]) -> str:
    who = found[0].spec if len(found) == 1 else units.number(len(found), "spec")
    told = [one.decision.resolvable for one in found if one.decision is not None]
    known = sorted({units.percent(one) for one in told if one is not None}, key=_leading)
    ends = list(dict.fromkeys([known[0], known[-1]])) if known else []
    span = f"; smallest detectable change: {' to '.join(ends)}" if ends else ""
    return f"{who}: {metric}: {verdict}: {reason}{span}"


def _leading(text: str) -> float:
    return float(text.split()[0])


def sentence(finding: MetricVerdict) -> str:
    """A finding on one line, without its spec: what, by how much, against which threshold, why."""
    parts = [f"{finding.metric}: {finding.verdict}"]
    change = finding.change
    if change is not None and change.ratio is not None:
        parts.append(_amount(change))
    if change is not None and finding.verdict != "failed":
        parts.append(f"threshold {units.percent(finding.limit)}")
    if finding.reason:
        parts.append(finding.reason)
    decision = finding.decision
    if finding.verdict == "inconclusive" and decision is not None and decision.resolvable:
        parts.append(f"smallest detectable change: {units.percent(decision.resolvable)}")
    return ", ".join(parts)


def _amount(change: Change) -> str:
    before, after, ratio = in_numbers(change)
    known = None not in (before, after) and metrics.metric(change.metric).kind in _UNITS
    return f"{before} -> {after}, {ratio}" if known else str(ratio)


def in_numbers(change: Change) -> tuple[str | None, str | None, str | None]:
    """Before, after, and the change with its interval; ``None`` for what is not known."""
    write = _UNITS.get(metrics.metric(change.metric).kind, units.significant)
    mark = "" if change.awake is None else cells.AWAKE
    before, after = (None if one is None else f"{write(one.point)}{mark}" for one in change.shown)
    if change.ratio is None:
        return before, after, None
    of = "pairs" if change.how == "paired" else "rounds"
    span = cells.interval(_change, change.ratio, of)
    return before, after, f"{_change(change.ratio.point)}{span}"


def _change(ratio: float) -> str:
    return units.percent(ratio - 1, sign=True)


_UNITS = {
    "seconds": units.seconds,
    "bytes": units.size,
    "count": units.count,
    "rate": units.rate,
}
