"""Sections about the background of the numbers: failures, environments, method, changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench import flaws, units
from cnnbench.report import cells
from cnnbench.report.conclusions import Sentence
from cnnbench.report.page.parts import Line, PlotAxis, PlotPoint, Points, Section
from cnnbench.report.table import Column, Table
from cnnbench.stats import Estimate, exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.entry import Entry


def failures(found: Sequence[Entry]) -> Section | None:
    """Specs that failed or have a doubtful output, with the reason."""
    bad = [
        one
        for one in found
        if one.flaw in {flaws.FAILED, flaws.WRONG, flaws.LOOSE} and not one.record.refused
    ]
    if not bad:
        return None
    columns = (Column("spec", "spec"), Column("status", "status"), Column("kind", "kind"),
               Column("reason", "why"), Column("details", "end of the output"))  # fmt: skip
    rows = tuple(
        (one.record.id, one.record.status, one.record.failure.kind if one.record.failure else None,
         one.record.reason or "not measured",
         (one.record.failure.details or None) if one.record.failure else None)
        for one in bad
    )  # fmt: skip
    return Section(
        "failures",
        "Failures and doubtful outputs",
        "A failed spec has no number. A wrong output is far from fp32 eager's beyond what its"
        " precision explains; a loose one is near that limit.",
        Table(columns, rows),
        whole=True,
    )


def environments(found: Sequence[Entry]) -> Section | None:
    """Every fact of every environment."""
    known = {one.environment.fingerprint: one.environment for one in found}
    if not known:
        return None
    facts: dict[str, dict[str, str]] = {}
    for fingerprint, environment in known.items():
        for part in (environment.hard, environment.soft):
            for name, value in _flat("", part):
                facts.setdefault(name, {})[fingerprint] = value
    columns = (Column("fact", "fact"), *(Column(name, name) for name in known))
    rows = tuple((name, *(values.get(one) for one in known)) for name, values in facts.items())
    return Section(
        "environment",
        "Environment",
        "Where it was measured, by the environment's fingerprint. Numbers of different"
        " environments are numbers of different things.",
        Table(columns, rows),
        whole=True,
    )


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(f"{name}.{key}" if name else str(key), inner)
        ]
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], Mapping):
            return [p for i, one in enumerate(value) for p in _flat(f"{name}.{i}", one)]
        return [(name, ", ".join(map(str, value)) or "none")]
    return [(name, "unknown" if value is None else str(value))]


METHOD = (
    "A call is one forward pass, or a whole training step; a sample is the time of n calls over n.",
    "Every round starts fresh processes; the specs of a workload live at the same time and take"
    " turns in random order. Latency is the median over rounds of each round's median.",
    "An interval is the 95 % Student-t interval over rounds. With one round there is none.",
    "A speed-up is taken from slices that were measured side by side, per round, with an interval"
    " of its own; it is not the ratio of two latencies.",
    "MACs are multiply-accumulates of contractions, counted without running; FLOPs are twice that.",
    "Every mode's output is compared with fp32 eager: ok, loose, or wrong.",
    "What was not measured is shown as a dash, never as a number.",
)


@dataclass(frozen=True)
class PageChange:
    """One metric of one spec, new over old.

    Attributes:
        spec: its id.
        metric: its name.
        ratio: new over old with its interval.
        verdict: a word: ``regression``, ``improvement``, ``unchanged``, ``inconclusive``, …
    """

    spec: str
    metric: str
    ratio: Estimate | None
    verdict: str


def changes(found: Sequence[PageChange]) -> Section | None:
    """Ratios of a comparison with their intervals, the largest first."""
    if not found:
        return None
    order = sorted(found, key=lambda one: -(one.ratio.point if one.ratio else 0.0))
    columns = (Column("spec", "spec"), Column("metric", "metric"),
               Column("ratio", "new over old", "ratio"), Column("verdict", "verdict"))  # fmt: skip
    rows = tuple((one.spec, one.metric, one.ratio, one.verdict) for one in order)
    drawn = [one for one in order if one.ratio is not None and one.ratio != _SAME][:_MOST_CHANGES]
    plot = Points(
        PlotAxis("new over old", log=True),
        PlotAxis("", rows=tuple(f"{one.metric}: {one.spec}" for one in drawn)),
        tuple(_change(one, -place) for place, one in enumerate(drawn)),
        (Line("as before", (1.0, 1.0), (0.5, 0.5 - len(drawn)), dashed=True),),
        groups=("improvement", "regression", "inconclusive", "unchanged"),
        grey=("unchanged",),
    )
    left = len(order) - len(drawn)
    return Section(
        "changes",
        "Changes",
        "The ratio of new to old with its interval; to the right of 1 is more. If the interval"
        " includes 1, there is no clear difference."
        + (f" The table holds {left} more than the plot." if left else ""),
        Table(columns, rows),
        (("new over old", plot),) if drawn else (),
        whole=True,
    )


# What was counted and is the same needs no mark.
_SAME = exact(1.0)

# Rows of a plot that somebody reads; the largest ratios come first.
_MOST_CHANGES = 60


def _change(one: PageChange, place: int) -> PlotPoint:
    assert one.ratio is not None  # noqa: S101 - the others are not drawn
    ratio = cells.text(Column("ratio", "", "ratio"), one.ratio)
    tip = (one.spec, f"{one.metric}: {ratio}", one.verdict)
    return PlotPoint(one.ratio.point, place, one.verdict, tip, one.ratio.low, one.ratio.high)


# Verdict of a comparison -> how a reader should take it.
_MARKS = {"regression": "bad", "improvement": "good", "inconclusive": "warn"}


def verdicts(found: Sequence[PageChange]) -> list[Sentence]:
    """A sentence per verdict of a comparison, with the names of what it is about."""
    groups: dict[str, list[str]] = {}
    for one in found:
        ratio = "" if one.ratio is None else f" {units.ratio(one.ratio.point)}"
        groups.setdefault(one.verdict, []).append(f"{one.spec} {one.metric}{ratio}")
    order = sorted(groups, key=lambda word: (word not in _MARKS, word != "regression", word))
    return [Sentence(_verdict(word, groups[word]), _MARKS.get(word, "")) for word in order]


# Names in a sentence; the section lists every one.
_NAMED = 4


def _verdict(word: str, names: Sequence[str]) -> str:
    head = f"Compared with the older run, {len(names)} {word}"
    if word not in _MARKS:
        return f"{head}."
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{head}: {'; '.join(names[:_NAMED])}{more}."
