"""A bisection -> a table of the commits that were timed, below its answer; or plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import units
from cnnbench.codec import encode
from cnnbench.report import cells, explanation
from cnnbench.report.table import FAKE, Column, Table
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate.bisected import Bisection, StructureChange
    from cnnbench.gate.bisection import BisectionStep
    from cnnbench.stats import Estimate as AnyEstimate

_COLUMNS = (
    Column("commit", "commit"),
    Column("change", "against GOOD", "change"),
    Column("verdict", "verdict"),
    Column("pairs", "pairs", "whole", detail=1),
    Column("seconds", "took", "seconds", detail=2),
    Column("subject", "subject", detail=1),
)
# Lines of one commit's structure that are shown; JSON has all.
_LINES = 12
# Letters of a subject in a table.
_SUBJECT = 30


def table(found: Bisection) -> Table:
    """The answer, then every commit that was compared with GOOD, oldest first."""
    rows = [_row(found, step) for step in _shown(found)]
    return Table(
        _COLUMNS if rows else (),
        tuple(rows),
        captions=tuple(_captions(found)),
        notes=tuple(_notes(found)),
    )


def _shown(found: Bisection) -> list[BisectionStep]:
    """The last comparison of every commit with GOOD, in the spec that was followed, or in all."""
    specs = {found.spec} if found.spec else {one.spec for one in found.ends}
    last = {
        (one.place, one.spec): one
        for one in found.steps
        if one.against == 0 and one.spec in specs
    }  # fmt: skip
    return [last[key] for key in sorted(last)]


def _row(found: Bisection, step: BisectionStep) -> tuple[Any, ...]:
    commit = found.commits[step.place]
    subject = commit.subject
    if len(subject) > _SUBJECT:
        subject = f"{subject[: _SUBJECT - 1]}…"
    pairs, seconds = step.pairs or None, step.seconds or None
    return commit.short, _ratio(step), step.verdict, pairs, seconds, subject


def _ratio(step: BisectionStep) -> AnyEstimate | None:
    if step.estimate is None:
        return None
    ends = [None if one is None else 1 + one for one in (step.low, step.high)]
    return Estimate(1 + step.estimate, ends[0], ends[1], step.pairs)


def _captions(found: Bisection) -> list[str]:
    count = units.number(found.last, "commit")
    lines = [FAKE] if found.made_up else []
    lines.append(f"{_name(found, 0)} to {_name(found, found.last)}: {count} after GOOD")
    if found.timed:
        lines.append(_answer(found))
    lines += _rest(found)
    if found.spec:
        lines.append(f"spec {found.spec}, threshold {units.percent(found.threshold)}")
    return lines


def _name(found: Bisection, place: int) -> str:
    return f"{found.names[bool(place)]} ({found.commits[place].short})"


def _answer(found: Bisection) -> str:
    if found.search is None:
        good, bad = found.names
        if found.ends_in("failed") is not None:
            return f"{bad} could not be measured beside {good}"
        if found.ends_in("inconclusive") is not None:
            return f"whether {bad} is slower than {good} cannot be decided"
        return f"{bad} is not slower than {good}, as far as can be told"
    culprit = found.culprit
    if culprit is not None:
        step = found.step(found.search.bad, found.search.good)
        amount = "" if step is None else f": {_amount(step)} against the commit before it"
        return f"{culprit.short} ({culprit.subject}) made it slower{amount}"
    first, last = found.commits[found.search.good + 1], found.commits[found.search.bad]
    count = found.search.bad - found.search.good
    if count == 1:
        return f"{last.short} may have made it slower: it is {found.open_because}"
    which = f"one of {count} commits, {first.short} to {last.short},"
    return f"{which} made it slower; which is open: {found.open_because}"


def _amount(step: BisectionStep) -> str:
    return cells.text(_COLUMNS[1], _ratio(step))


def _rest(found: Bisection) -> list[str]:
    """That BAD is slower still than the commit, if it is clearly."""
    search, culprit = found.search, found.culprit
    if search is None or culprit is None or search.bad == found.last:
        return []
    here, there = found.step(search.bad, 0), found.step(found.last, 0)
    ends = None if here is None or there is None else (here.high, there.low)
    if there is None or ends is None or None in ends or (ends[0] or 0.0) >= (ends[1] or 0.0):
        return []
    return [
        f"{found.names[1]} is slower still, by {_amount(there)} against GOOD; to find the later"
        f" commit that made it so, give {culprit.short} as GOOD"
    ]


def _notes(found: Bisection) -> list[str]:
    known = found.explanation
    lines = [] if known is None else ["which modules are slower:"]
    lines += [] if known is None else [f"  {line}" for line in explanation.lines(known)]
    lines += _structure(found)
    for place, reason in sorted(found.skipped.items()):
        lines.append(f"{found.commits[place].short} was skipped: {reason}")
    if found.culprit is not None:
        lines.append(f"what it changed: git show {found.culprit.short}")
    return lines


def _structure(found: Bisection) -> list[str]:
    """What the structure says, of the answer first."""
    if not found.changes:
        return ["structure: the same at both ends (cost, operators, kernels, outputs, …)"]
    place = None if found.search is None else found.search.named
    lines = []
    if place is not None and not any(one.after < place <= one.upto for one in found.changes):
        lines.append(
            f"structure of {found.commits[place].short}: as before; the same operators take longer,"
            " or the time is spent beside them"
        )
    for one in found.changes:
        lines += _change(found, one)
    return lines


def _change(found: Bisection, one: StructureChange) -> list[str]:
    commit = found.commits[one.upto]
    where = f"{commit.short} ({commit.subject})"
    if one.upto - one.after > 1:
        where = f"{found.commits[one.after + 1].short} to {commit.short}"
    lines = [f"structure changed in {where}:"]
    told = [
        f"  {difference.text}" if len(one.differences) == 1 else f"  {spec}: {difference.text}"
        for spec, differences in one.differences.items()
        for difference in differences
    ]
    lines += told[:_LINES]
    if len(told) > _LINES:
        lines.append(f"  … and {len(told) - _LINES} more lines (--json has all)")
    return lines


def data(found: Bisection) -> dict[str, Any]:
    """The same as plain JSON types."""
    search, culprit = found.search, found.culprit
    return {
        "good": _commit(found, 0),
        "bad": _commit(found, found.last),
        "commits": found.last,
        "made_up": found.made_up,
        "threshold": found.threshold,
        "spec": found.spec or None,
        "culprit": None if culprit is None or search is None else _commit(found, search.bad),
        "candidates": [] if search is None else _commits(found, search.good, search.bad),
        "reason": found.open_because or None,
        "structure": [
            {
                "commits": _commits(found, one.after, one.upto),
                "differences": {spec: encode(told) for spec, told in one.differences.items()},
            }
            for one in found.changes
        ],
        "steps": [_step(found, one) for one in found.steps],
        "explanation": None if found.explanation is None else encode(found.explanation),
        "skipped": [
            _commit(found, place) | {"reason": reason}
            for place, reason in sorted(found.skipped.items())
        ],
    }


def _commits(found: Bisection, after: int, upto: int) -> Sequence[dict[str, Any]]:
    return [_commit(found, place) for place in range(after + 1, upto + 1)]


def _commit(found: Bisection, place: int) -> dict[str, Any]:
    one = found.commits[place]
    return {"commit": one.sha, "subject": one.subject, "place": place}


def _step(found: Bisection, step: BisectionStep) -> dict[str, Any]:
    places = {"commit": found.commits[step.place].sha, "against": found.commits[step.against].sha}
    known = {key: value for key, value in encode(step).items() if key not in {"place", "against"}}
    return places | known
