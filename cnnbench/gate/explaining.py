"""Clocked pairs of two sides -> which parts of the step changed, and by how much.

The unit is a pair of fresh processes: slices of one process agree with each other far better than
with the next process. Every pair has one difference per part, the median over its turns. Over the
pairs, every part has a t-interval, and because there are many parts and several looks at them, the
intervals hold for all of them together (Bonferroni): the chance that even one part of identical
code is named is below ``ERROR``. A part is named if its interval lies beyond ``LEAST`` of the
step, since a change smaller than that explains nothing.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import stats
from cnnbench.clocked import Clocked, ClockedTurn, ModuleFacts
from cnnbench.gate import differing, matching
from cnnbench.gate.explanation import Explanation, Kind, NamedPart, Span, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.clocked import StepFacts

ERROR = 0.05
# Pairs before the first look and after the last; the first is where time is short.
FEWEST, MOST = 5, 10
# Share of the base's step.
LEAST = 0.004
# Where less of the time than this lies in modules that both sides have, they are not compared.
_COMPARABLE = 0.5
# More clock time than this in a step deserves a word.
_DISTURBED = 0.05


@dataclass(frozen=True)
class ClockedSide:
    """One process: what it can time, and its turns."""

    step: Clocked
    turns: tuple[ClockedTurn, ...]


@dataclass(frozen=True)
class ClockedPair:
    """A process of each side; turns of equal number were next to each other.

    ``cpu_time``: by the CPU time of the only thread instead of the wall clock.
    """

    base: ClockedSide
    head: ClockedSide
    cpu_time: bool = False

    @property
    def turns(self) -> list[tuple[ClockedTurn, ClockedTurn]]:
        """The turns that both took."""
        heads = {one.turn: one for one in self.head.turns}
        return [(one, heads[one.turn]) for one in self.base.turns if one.turn in heads]

    @property
    def plain_ns(self) -> float:
        """Change of the step without clocks."""
        return statistics.median(head.plain_ns - base.plain_ns for base, head in self.turns)

    @property
    def waiting(self) -> float:
        """Share of the time without a core."""
        turns = [one for both in self.turns for one in both]
        return statistics.fmean(one.waiting or 0.0 for one in turns)

    @property
    def overhead(self) -> float:
        """How much longer the clocks make a step, as a share of it."""
        return statistics.median(
            one.timed_ns / one.plain_ns - 1 for both in self.turns for one in both
        )

    @property
    def reading_ns(self) -> float:
        """The cost of a clock reading, as both sides have it together."""
        found = []
        for side in (self.base, self.head):
            readings = sum(part.readings for part in side.step.parts)
            found += [(one.timed_ns - one.plain_ns) / max(1, readings) for one in side.turns]
        return max(0.0, statistics.median(found))


@dataclass(frozen=True)
class _Part:
    """A part of the step as both sides have it; places in the lists of their parts."""

    base: int | None
    head: int | None
    facts: tuple[ModuleFacts | None, ModuleFacts | None]

    @property
    def known(self) -> ModuleFacts:
        """The facts of the head, if it has the part."""
        found = self.facts[1] or self.facts[0]
        assert found is not None  # noqa: S101 - one of them has it
        return found


@dataclass(frozen=True)
class _Candidate:
    """What could be named, and which parts it is."""

    name: str
    kind: Kind
    members: tuple[int, ...]


def explain(
    spec: str,
    pairs: Sequence[ClockedPair],
    facts: tuple[StepFacts | None, StepFacts | None],
    total: Span | None = None,
    seconds: float = 0.0,
) -> Explanation:
    """Name the parts that changed.

    Args:
        spec: name of the comparison.
        pairs: at least two.
        facts: of the modules of base and head, as far as they are known.
        total: the change of the step, measured without clocks; that of these pairs if not given, or
            if it is known from them with half the uncertainty.
        seconds: that it took.
    """
    parts = _parts(pairs[0], facts)
    step_ns = statistics.median(one.plain_ns for pair in pairs for one in pair.base.turns)
    clocked = _span([pair.plain_ns for pair in pairs], 1)
    values = [[_difference(pair, part) for pair in pairs] for part in parts]
    notes = _notes(pairs, facts)
    comparable = _comparable(pairs, parts)
    if comparable:
        candidates = _candidates(parts)
    else:
        candidates = _stages(parts)
        notes += ["most of the time lies in modules that only one side has: compared by the size of"
                  " what modules return"]  # fmt: skip
    spans = [
        _span([sum(some) for some in zip(*(values[i] for i in one.members), strict=True)],
              len(candidates))
        for one in candidates
    ]  # fmt: skip
    named = _chosen(candidates, spans, parts, LEAST * step_ns)
    silent = _silent(parts, named) if comparable else []
    overhead = statistics.median(pair.overhead for pair in pairs)
    if overhead > _DISTURBED:
        notes.append("the clocks disturb a step as short as this one")
    return Explanation(
        spec, _surer(total, clocked), step_ns, tuple(named), tuple(silent), clocked, overhead,
        len(candidates), len(pairs), seconds, tuple(notes),
    )  # fmt: skip


def settled(found: Explanation) -> bool:
    """Whether more pairs would hardly say more: what is named explains the change."""
    explained = abs(found.residual_ns) <= max(0.15 * abs(found.total.ns), LEAST * found.step_ns)
    narrow = all(_narrow(one.change) for one in found.named)
    return bool(found.named) and explained and narrow


def _narrow(change: Span) -> bool:
    return change.high is None or change.low is None or (
        change.high - change.low <= 0.4 * abs(change.ns)
    )  # fmt: skip


def _notes(
    pairs: Sequence[ClockedPair], facts: tuple[StepFacts | None, StepFacts | None]
) -> list[str]:
    notes = []
    if pairs[0].cpu_time:
        notes.append("by CPU time, because other processes use the core")
    for role, one in zip(("base", "head"), facts, strict=True):
        for name, why in () if one is None else one.missing.items():
            notes.append(f"{name} of the modules of {role} are not known: {why}")
    return notes


def _parts(pair: ClockedPair, facts: tuple[StepFacts | None, StepFacts | None]) -> list[_Part]:
    """Modules side by side, then what is outside of the network."""
    sides = [pair.base.step.parts, pair.head.step.parts]
    known = [{} if one is None else {m.name: m for m in one.modules} for one in facts]
    modules = [
        [(i, table.get(p.name, ModuleFacts(p.name, p.type))) for i, p in enumerate(side) if p.type]
        for side, table in zip(sides, known, strict=True)
    ]
    found = []
    for here, there in matching.matched(*([one for _, one in side] for side in modules)):
        base = (None, None) if here is None else modules[0][here]
        head = (None, None) if there is None else modules[1][there]
        found.append(_Part(base[0], head[0], (base[1], head[1])))
    outside = [{p.name: i for i, p in enumerate(side) if not p.type} for side in sides]
    for name in dict.fromkeys([*outside[1], *outside[0]]):
        both = tuple(ModuleFacts(name, "") if name in one else None for one in outside)
        found.append(_Part(outside[0].get(name), outside[1].get(name), (both[0], both[1])))
    return found


def _difference(pair: ClockedPair, part: _Part) -> float:
    """Change of a part's own time in a pair, without the clock readings that only one side has."""
    readings = [
        0 if index is None else side.step.parts[index].readings
        for side, index in ((pair.base, part.base), (pair.head, part.head))
    ]
    clocks = pair.reading_ns * (readings[1] - readings[0])
    return statistics.median(
        _own(head, part.head) - _own(base, part.base) for base, head in pair.turns
    ) - clocks  # fmt: skip


def _own(turn: ClockedTurn, index: int | None) -> float:
    return 0.0 if index is None else turn.own_ns[index]


def _comparable(pairs: Sequence[ClockedPair], parts: Sequence[_Part]) -> bool:
    """Whether most of both steps' time lies in modules that are alike."""
    alike = [part for part in parts if _alike(part)]
    shares = []
    for turns, places in (
        ([one for pair in pairs for one in pair.base.turns], [part.base for part in alike]),
        ([one for pair in pairs for one in pair.head.turns], [part.head for part in alike]),
    ):
        same = sum(one.own_ns[index] for one in turns for index in places if index is not None)
        shares.append(same / max(1.0, sum(sum(one.own_ns) for one in turns)))
    return min(shares) >= _COMPARABLE


def _alike(part: _Part) -> bool:
    base, head = part.facts
    return base is not None and head is not None and matching.alike(base, head)


def _candidates(parts: Sequence[_Part]) -> list[_Candidate]:
    """Every part by itself, every module with what is in it, every class of several modules."""
    found = []
    within: dict[str, list[int]] = {}
    classes: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        one = part.known
        found.append(_Candidate(one.name, "module" if one.type else "outside", (index,)))
        if not one.type:
            continue
        classes.setdefault(one.type, []).append(index)
        path = one.name.split(".")
        for depth in range(1, len(path) + 1):
            within.setdefault(".".join(path[:depth]), []).append(index)
    network = [index for index, part in enumerate(parts) if part.known.type]
    groups: list[tuple[Kind, dict[str, list[int]]]] = [("within", within), ("class", classes)]
    for kind, table in groups:
        for name, members in table.items():
            # The same parts under two names are one candidate.
            if 1 < len(members) < len(network):
                found.append(_Candidate(name, kind, tuple(members)))
    return [*found, _Candidate("", "within", tuple(network))] if len(network) > 1 else found


def _stages(parts: Sequence[_Part]) -> list[_Candidate]:
    """Modules by the height and width of what they return."""
    table: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        if part.known.type:
            table.setdefault(_size(part.known), []).append(index)
    return [_Candidate(name, "stage", tuple(members)) for name, members in table.items()]


def _size(one: ModuleFacts) -> str:
    shape = matching.likeness(one)[3].strip("[]").split(",")
    return f"{'x'.join(shape[2:])} pixels" if len(shape) > 3 else "vectors"


def _span(values: Sequence[float], tests: int) -> Span:
    """Mean over pairs, with an interval that holds for all ``tests`` at once."""
    if len(values) < 2:
        return Span(statistics.fmean(values))
    centre, half = stats.t_interval(values, 1 - ERROR / (tests * (MOST - FEWEST + 1)))
    return Span(centre, centre - half, centre + half)


def _surer(total: Span | None, clocked: Span) -> Span:
    """The change measured without clocks, unless the other measurement of it is far surer."""
    if total is None:
        return clocked
    return clocked if 2 * _width(clocked) < _width(total) else total


def _width(span: Span) -> float:
    return math.inf if span.low is None or span.high is None else span.high - span.low


def _clear(span: Span, least: float) -> bool:
    return span.low is not None and span.high is not None and (
        span.low > least or span.high < -least
    )  # fmt: skip


def _chosen(
    candidates: Sequence[_Candidate],
    spans: Sequence[Span],
    parts: Sequence[_Part],
    least: float,
) -> list[NamedPart]:
    """Parts by themselves first; then groups in which nothing is named yet."""
    clear = [index for index, span in enumerate(spans) if _clear(span, least)]
    alone = [index for index in clear if candidates[index].kind not in {"within", "class"}]
    groups = [index for index in clear if index not in alone]
    told: set[int] = set()
    named = []
    # The smallest group first: it says most about where.
    for index in [*alone, *sorted(groups, key=lambda i: len(candidates[i].members))]:
        one = candidates[index]
        if not told & {*one.members}:
            named.append(_named(one, spans[index], parts))
            told.update(one.members)
    return sorted(named, key=lambda one: -abs(one.change.ns))


def _named(one: _Candidate, span: Span, parts: Sequence[_Part]) -> NamedPart:
    members = [parts[index] for index in one.members]
    if len(members) > 1:
        reasons = differing.of_many([part.facts for part in members])
        return NamedPart(one.name, one.kind, span, reasons=reasons, members=len(members))
    base, head = members[0].facts
    known = members[0].known
    was = base.name if base is not None and head is not None and base.name != head.name else ""
    state: State = "new" if base is None else "gone" if head is None else "both"
    reasons = differing.of_one(base, head) if base is not None and head is not None else ()
    return NamedPart(one.name, one.kind, span, known.type, was, state, reasons)


def _silent(parts: Sequence[_Part], named: Sequence[NamedPart]) -> list[str]:
    """Modules that do something else, though their time is not known to have changed."""
    told = {(one.name, one.kind) for one in named}
    lines = []
    for part in parts:
        base, head = part.facts
        one = part.known
        if not one.type or (one.name, "module") in told:
            continue
        name = f"{one.name or 'the network'} ({one.type})"
        if base is None or head is None:
            lines.append(f"{name}: {'new' if base is None else 'gone'}")
        elif reasons := differing.of_one(base, head):
            lines.append(f"{name}: {'; '.join(reasons)}")
    return lines
