"""Judged comparisons -> Table; the sentences beside it are in ``reasons``.

``summary`` is for people: a row per spec with what changed, reasons and structure below it.
``tidy`` is for machines: a row per spec and metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.gate import unsure
from cnnbench.gate.facets import FACETS
from cnnbench.report import cells, explanation, reasons
from cnnbench.report.page import context
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.gate import Change, Judged, Judgement, MetricVerdict

# What people look at, in this order; columns without a value are left out.
_SHOWN = ("latency", "peak_memory", "cuda_memory", "params", "macs", "compile_cold",
          "compile_warm", "error", "top1_agreement")  # fmt: skip

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
    Column("seconds", "took", "seconds"),
    Column("off_cpu", "no core", "fraction"),
    Column("threads", "threads", "whole"),
    Column("cause", "cause"),
    Column("reason", "reason"),
    Column("remedy", "remedy"),
    Column("explanation", "explanation"),
)


def tidy(judgements: Sequence[Judgement]) -> Table:
    """One row per spec and metric or facet; a row without any has its verdict and reason."""
    rows = [row for judgement in judgements for row in _tidy_rows(judgement)]
    return Table(_TIDY, tuple(rows))


def _tidy_rows(judgement: Judgement) -> Iterator[tuple[Any, ...]]:
    comparison = judgement.comparison
    for judged in judgement.rows:
        head = (comparison.old, comparison.new, judged.row.name, judged.verdict)
        found = {one.metric: one for one in judged.findings}
        changes = {one.metric: one for one in judged.row.changes}
        facets = [one.facet for one in judged.row.differences]
        names = dict.fromkeys([*changes, *found, *facets])
        if not names:
            yield (*head, None, judged.verdict, *[None] * 13, judged.reason, None, None)
        for name in names:
            yield (
                *head,
                name,
                *_tidy_cells(judged, found.get(name), changes.get(name), name, judgement.again),
            )


def _tidy_cells(
    judged: Judged,
    finding: MetricVerdict | None,
    change: Change | None,
    name: str,
    again: str,
) -> tuple[Any, ...]:
    lines = "; ".join(one.text for one in judged.row.differences if one.facet == name)
    decision = finding.decision if finding is not None else None
    outcome = change.outcome if change is not None else None
    why = None if outcome is None else unsure.of(outcome)
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
        *_effort(change)[1:],
        None if outcome is None else outcome.measured_as.head.threads,
        None if why is None else why.cause,
        (finding.reason if finding is not None else "") or lines or None,
        (again or None) if why is not None else None,
        _explained(judged) if name == "latency" else None,
    )


def _explained(judged: Judged) -> str | None:
    known = judged.row.explanation
    return None if known is None else "; ".join(explanation.lines(known))


def _effort(change: Change | None) -> tuple[int | None, float | None, float | None]:
    """The effort of a paired comparison: pairs, seconds, share of time without a core."""
    if change is None or change.outcome is None:
        return None, None, None
    outcome = change.outcome
    return len(outcome.measured), outcome.seconds, outcome.off_cpu


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
    """The table for people."""
    many = len(judgements) > 1
    columns = [
        *([Column("new_run", "new run")] if many else []),
        Column("spec", "spec"),
        Column("verdict", "verdict"),
        # The change is what was asked for; it stays beside the verdict where both do not fit.
        Column("old", "was", "seconds", detail=1),
        Column("new", "is", "seconds", detail=1),
        *(
            Column(name, name.replace("_", " "), "change", 2 * (name != "latency"))
            for name in _SHOWN
        ),
        Column("structure", "structure", "text", detail=1),
        Column("pairs", "pairs", "whole", detail=2),
        Column("seconds", "took", "seconds", detail=2),
        Column("off_cpu", "no core", "fraction", detail=2),
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
        captions=tuple(line for one in judgements for line in reasons.captions(one)),
        notes=tuple(line for one in judgements for line in reasons.notes(one)),
    )


def _summary_cells(judged: Judged) -> list[Any]:
    row = judged.row
    time = row.change("latency")
    was, now = time.shown if time is not None else (None, None)
    ratios = [_ratio(row.change(name)) for name in _SHOWN]
    return [
        row.name,
        judged.verdict,
        cells.point(was),
        cells.point(now),
        *ratios,
        _structure(judged),
        *_effort(time),
    ]


def _structure(judged: Judged) -> str | None:
    row = judged.row
    if row.differences:
        return f"{len(row.differences)} changed"
    return "same" if row.state is None and len(row.uncompared) < len(FACETS) else None


def _ratio(change: Change | None) -> Any:
    if change is None:
        return None
    same = change.how == "exact" and change.ratio is not None and change.ratio.point == 1
    return "same" if same else change.ratio
