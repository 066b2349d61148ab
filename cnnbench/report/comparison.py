"""Judged comparisons -> Table.

``summary`` is for people: a row per spec with what changed, reasons and structure below it.
``tidy`` is for machines: a row per spec and metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import metrics, units
from cnnbench.gate.facets import FACETS
from cnnbench.report.page import context
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.gate import Change, Judged, Judgement, MetricVerdict

# What people look at, in this order; columns without a value are left out.
_SHOWN = ("latency", "peak_memory", "cuda_memory", "params", "macs", "compile_cold",
          "compile_warm", "error", "top1_agreement")  # fmt: skip

# Lines of one row's structure that a table shows; the rest is counted.
_LINES = 12

_TIDY = (
    Column("old_run", "old run"),
    Column("new_run", "new run"),
    Column("spec", "spec"),
    Column("row_verdict", "row"),
    Column("metric", "metric"),
    Column("verdict", "verdict"),
    Column("threshold", "threshold", "number"),
    Column("old", "old", "number"),
    Column("new", "new", "number"),
    Column("ratio", "ratio", "ratio"),
    Column("ratio_low", "ratio low", "ratio"),
    Column("ratio_high", "ratio high", "ratio"),
    Column("how", "how"),
    Column("pairs", "pairs", "whole"),
    Column("resolvable", "resolvable", "fraction"),
    Column("reason", "reason"),
)


def tidy(judgements: Sequence[Judgement]) -> Table:
    """One row per spec and metric or facet; a row without any has its verdict and reason."""
    rows = [row for judgement in judgements for row in _tidy_rows(judgement)]
    return Table(_TIDY, tuple(rows))


def _tidy_rows(judgement: Judgement) -> Iterator[tuple[Any, ...]]:
    comparison = judgement.comparison
    for judged in judgement.rows:
        head = (comparison.old, comparison.new, judged.row.spec, judged.verdict)
        found = {one.metric: one for one in judged.findings}
        changes = {one.metric: one for one in judged.row.changes}
        facets = [one.facet for one in judged.row.differences]
        names = dict.fromkeys([*changes, *found, *facets])
        if not names:
            yield (*head, None, judged.verdict, *[None] * 9, judged.reason)
        for name in names:
            yield (*head, name, *_tidy_cells(judged, found.get(name), changes.get(name), name))


def _tidy_cells(
    judged: Judged, finding: MetricVerdict | None, change: Change | None, name: str
) -> tuple[Any, ...]:
    lines = "; ".join(one.text for one in judged.row.differences if one.facet == name)
    decision = finding.decision if finding is not None else None
    ratio = change.ratio if change is not None else None
    return (
        finding.verdict if finding is not None else None,
        finding.limit if finding is not None else None,
        change.old.point if change is not None and change.old is not None else None,
        change.new.point if change is not None and change.new is not None else None,
        *((ratio.point, ratio.low, ratio.high) if ratio is not None else (None,) * 3),
        change.how if change is not None else None,
        len(change.pairs) if change is not None and change.pairs else None,
        decision.resolvable if decision is not None else None,
        (finding.reason if finding is not None else "") or lines or None,
    )


def changes(judgements: Sequence[Judgement]) -> list[context.PageChange]:
    """Every judged metric as a page draws it; facets of the structure have no ratio."""
    many = len(judgements) > 1
    return [
        context.PageChange(
            f"{judgement.comparison.new}: {one.spec}" if many else one.spec,
            one.metric,
            one.change.ratio if one.change is not None else None,
            one.verdict,
        )
        for judgement in judgements
        for row in judgement.rows
        for one in row.findings
    ]


def summary(judgements: Sequence[Judgement]) -> Table:
    """What people read."""
    many = len(judgements) > 1
    columns = [
        *([Column("new_run", "new run")] if many else []),
        Column("spec", "spec"),
        Column("verdict", "verdict"),
        Column("old", "was", "seconds"),
        Column("new", "is", "seconds"),
        *(Column(name, name.replace("_", " "), "change") for name in _SHOWN),
        Column("structure", "structure", "text"),
    ]
    rows = [
        [*([judgement.comparison.new] if many else []), *_summary_cells(judged)]
        for judgement in judgements
        for judged in judgement.rows
    ]
    keep = [n for n in range(len(columns)) if any(row[n] is not None for row in rows)]
    return Table(
        columns=tuple(columns[n] for n in keep),
        rows=tuple(tuple(row[n] for n in keep) for row in rows),
        captions=tuple(line for one in judgements for line in captions(one)),
        notes=tuple(line for one in judgements for line in notes(one)),
    )


def _summary_cells(judged: Judged) -> list[Any]:
    row = judged.row
    time = row.change("latency")
    ratios = [_ratio(row.change(name)) for name in _SHOWN]
    lines = len(row.differences)
    return [
        row.spec,
        judged.verdict,
        time.old.point if time is not None and time.old is not None else None,
        time.new.point if time is not None and time.new is not None else None,
        *ratios,
        f"{lines} changed" if lines else "same" if row.state is None else None,
    ]


def _ratio(change: Change | None) -> Any:
    if change is None:
        return None
    same = change.how == "exact" and change.ratio is not None and change.ratio.point == 1
    return "same" if same else change.ratio


def captions(judgement: Judgement) -> list[str]:
    """What the numbers are numbers of, and what they add up to."""
    comparison = judgement.comparison
    lines = [f"{comparison.new} against {comparison.old}: {counts(judgement)}"]
    if comparison.unlike:
        what = "judged all the same" if judgement.forced else "advisory"
        lines.append(f"unlike environments, timing is {what}: {'; '.join(comparison.unlike)}")
    lines += _how(judgement)
    mean = comparison.geometric_mean("latency")
    if mean is not None and len(comparison.common) > 1:
        span = ""
        if mean.low is not None and mean.high is not None:
            low, high = (units.percent(end - 1, sign=True) for end in (mean.low, mean.high))
            span = f" [{low}, {high}]"
        change = units.percent(mean.point - 1, sign=True)
        lines.append(f"geometric mean of the latencies: {change}{span}")
    return lines


def _how(judgement: Judgement) -> list[str]:
    times = [time for row in judgement.rows if (time := row.row.change("latency"))]
    lines = []
    if any(time.how == "paired" for time in times):
        lines.append("latency measured side by side; 98 % interval over pairs")
    drifts = [time.drift for time in times if time.how == "apart"]
    if drifts:
        lines.append(
            "latency measured at different times; 98 % interval over rounds, and the verdict allows"
            f" for {units.percent(max(drifts))} of drift of the machine on top of it"
        )
    return lines


def counts(judgement: Judgement) -> str:
    """``12 specs: 1 regression, 11 unchanged``."""
    verdicts = dict.fromkeys(row.verdict for row in judgement.rows)
    parts = sorted((f"{judgement.count(one)} {one}" for one in verdicts), key=_worst_first)
    return f"{len(judgement.rows)} specs: {', '.join(parts)}"


def _worst_first(text: str) -> int:
    order = ("regression", "failed", "missing", "inconclusive", "incomparable", "improvement")
    word = text.split()[1]
    return order.index(word) if word in order else len(order)


def notes(judgement: Judgement) -> list[str]:
    """Reasons, what changed in the structure, and what was not compared."""
    lines = []
    for judged in judgement.rows:
        name = judged.row.spec
        lines += [sentence(one) for one in judged.findings if one.verdict in _TOLD]
        if judged.row.state == "failed" or (judged.row.state is None and not judged.findings):
            lines.append(f"{name}: {judged.verdict}: {judged.reason}")
        changed = [one.text for one in judged.row.differences]
        lines += [f"{name}: structure changed: {text}" for text in changed[:_LINES]]
        if len(changed) > _LINES:
            lines.append(f"{name}: structure changed: and {len(changed) - _LINES} more")
    lines += _unsure(judgement)
    missing = {one for row in judgement.comparison.common for one in row.uncompared}
    if missing:
        known = [one.name for one in FACETS if one.name in missing]
        lines.append(f"not measured on both sides, so not compared: {', '.join(known)}")
    return lines


# What has a line of its own; inconclusive ones of one reason share one.
_TOLD = ("regression",)


def _unsure(judgement: Judgement) -> list[str]:
    groups: dict[tuple[str, str, str], list[MetricVerdict]] = {}
    for verdict in ("inconclusive", "incomparable"):
        for one in judgement.findings(verdict):
            groups.setdefault((verdict, one.metric, one.reason), []).append(one)
    return [_together(*key, found) for key, found in groups.items()]


def _together(verdict: str, metric: str, reason: str, found: Sequence[MetricVerdict]) -> str:
    who = found[0].spec if len(found) == 1 else f"{len(found)} specs"
    told = [one.decision.resolvable for one in found if one.decision is not None]
    known = sorted({units.percent(one) for one in told if one is not None}, key=_leading)
    ends = list(dict.fromkeys([known[0], known[-1]])) if known else []
    span = f"; only changes beyond {' to '.join(ends)} can be told" if ends else ""
    return f"{who}: {metric}: {verdict}: {reason}{span}"


def _leading(text: str) -> float:
    return float(text.split()[0])


def sentence(finding: MetricVerdict) -> str:
    """A finding on one line: what, by how much, against which threshold, why."""
    parts = [f"{finding.spec}: {finding.metric}: {finding.verdict}"]
    change = finding.change
    if change is not None and change.ratio is not None:
        parts.append(_amount(change))
    if change is not None:
        parts.append(f"threshold {units.percent(finding.limit)}")
    if finding.reason:
        parts.append(finding.reason)
    return ", ".join(parts)


def _amount(change: Change) -> str:
    ratio = change.ratio
    assert ratio is not None  # noqa: S101 - asked by the caller
    text = units.percent(ratio.point - 1, sign=True)
    if ratio.low is not None and ratio.high is not None and ratio.low != ratio.high:
        low, high = (units.percent(end - 1, sign=True) for end in (ratio.low, ratio.high))
        text += f" [{low}, {high}]"
    kind = metrics.metric(change.metric).kind
    if change.old is None or change.new is None or kind not in _UNITS:
        return text
    write = _UNITS[kind]
    return f"{write(change.old.point)} -> {write(change.new.point)}, {text}"


_UNITS = {
    "seconds": units.seconds,
    "bytes": units.size,
    "count": units.count,
    "rate": units.rate,
}
