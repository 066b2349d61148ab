"""Paired outcomes -> comparisons; ``changes`` compares stored records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import metrics
from cnnbench.gate.changes import BY_TIME, Change, Comparison, Row, made_up, of_pairs, unlike
from cnnbench.gate.explanation import Span
from cnnbench.gate.facets import FACETS, OUTPUT, Difference
from cnnbench.gate.outcomes import ROLES
from cnnbench.metrics import METRICS
from cnnbench.record import Record
from cnnbench.spec import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.environment import Environment
    from cnnbench.gate.explanation import Explanation
    from cnnbench.gate.outcomes import PairedOutcome


def comparison(
    names: tuple[str, str],
    environments: tuple[Environment, Environment],
    outcomes: Sequence[PairedOutcome],
    remarks: Sequence[str] = (),
) -> Comparison:
    """A row per outcome; nothing but times and the status of outputs was compared.

    Args:
        names: of base and head, for people.
        environments: where they were measured.
        outcomes: what became of each.
        remarks: how they were measured, for people.
    """
    rows = tuple(
        Row(
            spec=one.comparison.base.id,
            changes=tuple(_changes(one).values()),
            differences=_turned_wrong(one),
            uncompared={
                facet.name: "" for facet in FACETS if facet.name != OUTPUT or not _answered(one)
            },
            title=one.comparison.name,
        )
        for one in outcomes
    )
    differing, pretended = unlike(*environments), made_up(*environments)
    doubts = [line for one in outcomes for line in _doubts(one)]
    return Comparison(*names, rows, differing, pretended, (*remarks, *doubts))


def _answered(outcome: PairedOutcome) -> bool:
    """Whether outputs of the head were compared with anything."""
    check = outcome.check("head")
    return check is not None and check.status != "unchecked"


def _turned_wrong(outcome: PairedOutcome) -> tuple[Difference, ...]:
    """That the head answers wrongly and the base does not: no gain makes up for that.

    A status that is worse without being wrong is no regression where modes are compared: rounding
    to another precision is what was asked for.
    """
    base, head = (outcome.check(role) for role in ROLES)
    if head is None or not head.turned_wrong(base):
        return ()
    before = "unchecked" if base is None else base.status
    return (Difference(OUTPUT, f"output: {before} -> wrong ({head.reason})"),)


def _doubts(outcome: PairedOutcome) -> list[str]:
    """What is to be said of outputs that were compared and are not simply right."""
    specs = {role: outcome.comparison.spec(role) for role in ROLES}
    if all(spec.mode == Mode() for spec in specs.values()):
        return []
    said = {"head"} if _turned_wrong(outcome) else set()
    checks = {role: outcome.check(role) for role in ROLES if role not in said}
    return [
        f"output of {role}, {specs[role].id}: {check.status}"
        + (check.reason and f" ({check.reason})")
        for role, check in checks.items()
        if check is not None and check.status != "ok"
    ]


def with_outcomes(stored: Comparison, outcomes: Iterable[PairedOutcome]) -> Comparison:
    """Replace the times of stored records by those measured side by side just now.

    What a network is made of still comes from the records: measuring both sides again would show
    how both are today, not what changed since the baseline file was saved. A base that does not run
    says nothing about the head: what the records say of its time stands, and if they say nothing
    it is inconclusive.

    Args:
        stored: baseline file against head.
        outcomes: of the same specs.
    """
    found = {one.comparison.base.id: one for one in outcomes}
    rows = (
        _measured_again(row, found[row.spec]) if row.spec in found and row.state is None else row
        for row in stored.rows
    )
    return replace(stored, rows=tuple(rows))


def explained(found: Comparison, explanations: Mapping[str, Explanation]) -> Comparison:
    """A comparison whose rows know why they changed, by their names."""
    if not explanations:
        return found
    rows = (replace(row, explanation=explanations.get(row.name)) for row in found.rows)
    return replace(found, rows=tuple(rows))


def total(outcome: PairedOutcome) -> Span | None:
    """The change of a step in nanoseconds, by the pairs; ``None`` if there is no interval."""
    decision, (base, _) = outcome.decision, _estimates(outcome, "latency").shown
    ends = (decision.estimate, decision.low, decision.high)
    if base is None or None in ends:
        return None
    return Span(*(1e9 * base.point * (one or 0.0) for one in ends))


def _measured_again(row: Row, outcome: PairedOutcome) -> Row:
    known = any(one.facet == OUTPUT for one in row.differences)
    wrong = () if known else _turned_wrong(outcome)
    still = row.uncompared.items()
    open_ones = {name: why for name, why in still if not wrong or name != OUTPUT}
    return replace(
        row,
        changes=_fresh(row, outcome),
        differences=(*row.differences, *wrong),
        uncompared=open_ones,
    )


def _fresh(row: Row, outcome: PairedOutcome) -> tuple[Change, ...]:
    order = [one.name for one in METRICS]
    stored = {change.metric: change for change in row.changes}
    fresh = _without_base(stored, outcome) if outcome.failed == "base" else _changes(outcome)
    changes = stored | fresh
    return tuple(sorted(changes.values(), key=lambda one: order.index(one.metric)))


def _without_base(stored: Mapping[str, Change], outcome: PairedOutcome) -> dict[str, Change]:
    known = stored.get("latency", Change("latency", None, None, "unknown"))
    if known.how != "unknown":
        return {}
    reason = f"the old revision could not be measured beside it: {outcome.decision.reason}"
    unsure = replace(outcome.decision, verdict="inconclusive", reason=reason)
    return {"latency": replace(known, outcome=replace(outcome, decision=unsure))}


def _changes(outcome: PairedOutcome) -> dict[str, Change]:
    """The change, by the pairs, of every metric that follows from the time of a call alone."""
    if outcome.failure is not None or not outcome.decided_by:
        return {"latency": replace(_estimates(outcome, "latency"), outcome=outcome)}
    found = {
        name: of_pairs(name, outcome.decided_by, _estimates(outcome, name)) for name in BY_TIME
    }
    return found | {"latency": replace(found["latency"], outcome=outcome)}


def _estimates(outcome: PairedOutcome, metric: str) -> Change:
    """The absolute values, over all pairs."""
    old, new = (
        Record(outcome.measured_as.spec(role).id, "", "", runs=outcome.runs.get(role, ()))
        for role in ROLES
    )
    of = metrics.metric(metric).of
    awake = metrics.alike(metric, (old, new))
    return Change(metric, of(old), of(new), "unknown", awake=awake)
