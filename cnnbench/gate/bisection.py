"""Which commit made it slower: what is known of a line of commits, where to look next, the answer.

A place is a commit's number on the line, 0 for GOOD. Every commit is compared with GOOD and never
with its neighbour, so that errors do not add up along the way; only the answer is measured against
the commit before it. A commit of which nothing could be said (it does not build, the machine is too
noisy) is never guessed at: the search goes on in the larger half of what is left beside it, and
looks at what was in doubt a second time. What then stays open between the last good and the first
bad commit is the answer.

Knows nothing of git, processes or files.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cnnbench.errors import SchemaError
from cnnbench.gate import family
from cnnbench.gate.rule import Verdict

State = Literal["good", "bad", "unsure", "skipped"]
Thing = TypeVar("Thing")

# What the verdict on a commit against GOOD makes of it.
_STATES: Mapping[Verdict, State] = {
    "regression": "bad",
    "unchanged": "good",
    "improvement": "good",
    "inconclusive": "unsure",
    "failed": "skipped",
}
# After that many commits in a row of which nothing could be said, the next will be no clearer.
PATIENCE = 4
# Two measurements may contradict each other; a second time, they will again.
_REPEATS = 1
# Places at which the structure is looked at, per halving of the line: what several changes need.
_LOOKS = 4


@dataclass(frozen=True)
class BisectionStep:
    """The result of comparing two commits of a line in one spec.

    Attributes:
        place: of the commit.
        against: the place that it was compared with, mostly 0.
        spec: id.
        verdict: of the decision rule.
        estimate, low, high: change of the time, as a share; ``None`` if it was not measured.
        pairs: how many were measured.
        seconds: that it took.
        reason: why it is not clear, or how it failed.
        set_aside: a later attempt measures it again; it is kept and decides nothing.
    """

    place: int
    against: int
    spec: str
    verdict: Verdict
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    seconds: float = 0.0
    reason: str = ""
    set_aside: bool = False

    def __post_init__(self) -> None:
        shares = [one for one in (self.estimate, self.low, self.high) if one is not None]
        if not all(map(math.isfinite, (*shares, self.seconds))):
            raise SchemaError(f"comparison of {self.place} with {self.against}: not a number")


def halvings(last: int) -> int:
    """How often a line of that many commits after GOOD can be halved."""
    return math.ceil(math.log2(last)) if last > 1 else 0


def allowed(last: int) -> int:
    """Comparisons that a search may make: twice what it takes if every commit can be measured.

    The ends are compared first, then one commit per halving, then the answer with the commit before
    it. Commits that are skipped make halves unequal.
    """
    return 2 * (halvings(last) + 2)


def error(last: int, specs: int = 1, attempts: int = 1) -> float:
    """One-sided error of each look, so that the whole search is wrong as seldom as a judgement.

    The ends are compared in all ``specs``, everything else in the one that is followed. Every
    attempt after the first has half the error of the one before, so that all of them together have
    less than twice that of one.
    """
    return family.share(allowed(last) + specs - 1) / 2.0 ** (attempts - 1)


def confirms(place: int, against: int, last: int) -> bool:
    """Whether a regression counts only once pairs of its own say so again.

    On the way, a wrong verdict shows when the answer is compared with the commit before it, unless
    that is a range. The first commit after GOOD is never compared with another, so it is confirmed
    when it is compared with GOOD.
    """
    return against > 0 or place in {1, last}


@dataclass(frozen=True)
class Search:
    """What is known of a line of commits.

    Attributes:
        last: the place of BAD.
        known: of the places between GOOD and BAD; the ends are good and bad.
        suspects: places whose structure differs from the one before; they are looked at first.
        looks: comparisons that were measured, whatever the verdict: each may have been wrong.
        confirmed: the verdict on the first bad commit against the last good one, if it was given.
        repeated: how often measurements contradicted each other.
        in_doubt: commits in a row, the latest, of which nothing could be said.
        twice: places that were in doubt twice, with what they were compared with; these
            comparisons are not made again.
    """

    last: int
    known: Mapping[int, State] = field(default_factory=dict)
    suspects: tuple[int, ...] = ()
    looks: int = 0
    confirmed: Verdict | None = None
    repeated: int = 0
    in_doubt: int = 0
    twice: frozenset[tuple[int, int]] = frozenset()

    @property
    def bad(self) -> int:
        """The first place known to be slower."""
        return min((place for place, one in self.known.items() if one == "bad"), default=self.last)

    @property
    def good(self) -> int:
        """The last place before that which is known not to be slower."""
        before = [place for place, one in self.known.items() if one == "good" and place < self.bad]
        return max(before, default=0)

    @property
    def open(self) -> tuple[int, ...]:
        """Places in between that have not been looked at."""
        return tuple(one for one in range(self.good + 1, self.bad) if one not in self.known)

    @property
    def doubtful(self) -> tuple[int, ...]:
        """Places in between that may be clear when they are looked at a second time."""
        return tuple(
            place
            for place in range(self.good + 1, self.bad)
            if self.known.get(place) == "unsure" and (place, 0) not in self.twice
        )

    @property
    def left(self) -> int:
        """Comparisons that are still needed if each of them is clear."""
        more = halvings(len(self.open or self.doubtful) + 1)
        return more + (self.confirmed is None and self.bad > 1)

    @property
    def contradictory(self) -> bool:
        """Whether measurements contradict each other, again after they were repeated."""
        return self.repeated > _REPEATS

    @property
    def next(self) -> tuple[int, int] | None:
        """The place to measure and the one to measure it against; ``None`` if this is the end."""
        if self.contradictory or self.looks >= allowed(self.last):
            return None
        if self.bad - self.good == 1:
            # The first commit after GOOD has been compared with the one before it already.
            answer = self.bad, self.good
            doubtful = self.confirmed == "inconclusive" and answer not in self.twice
            wanted = self.good and (self.confirmed is None or doubtful)
            return answer if wanted else None
        if self.in_doubt >= PATIENCE:
            return None
        place = _middle(self.open or self.doubtful, self.suspects)
        return None if place is None else (place, 0)

    @property
    def named(self) -> int | None:
        """The place of the commit that made it slower; ``None`` if it is not certain."""
        if self.bad - self.good > 1 or self.contradictory:
            return None
        return self.bad if not self.good or self.confirmed == "regression" else None


def of_steps(last: int, steps: Sequence[BisectionStep], suspects: Sequence[int] = ()) -> Search:
    """What the comparisons of one spec say, in the order in which they were made.

    If the first slower commit turns out not to be slower than the last good one before it, both are
    measured again, once.

    Args:
        last: the place of BAD.
        steps: of commits against GOOD, and of neighbours.
        suspects: places whose structure changed.
    """
    known: dict[int, State] = {}
    confirmed: Verdict | None = None
    looks = repeated = in_doubt = 0
    unsure: Counter[tuple[int, int]] = Counter()
    for step in steps:
        if step.set_aside:
            continue
        state = _STATES.get(step.verdict, "skipped")
        clear = state in {"good", "bad"}
        looks += state != "skipped"
        unsure[step.place, step.against] += state == "unsure"
        if step.against == 0:
            in_doubt = 0 if clear else in_doubt + 1
            if step.place != last:
                known[step.place] = state
        elif state == "good":
            repeated += 1
            for place in (step.against, step.place):
                known.pop(place, None)
        else:
            confirmed = step.verdict
    twice = frozenset(both for both, times in unsure.items() if times > 1)
    return Search(last, known, tuple(suspects), looks, confirmed, repeated, in_doubt, twice)


def _middle(places: Sequence[int], suspects: Sequence[int]) -> int | None:
    """The place to look at next: at a suspect, or in the middle of the longest open part."""
    if not places:
        return None
    centre = (places[0] + places[-1]) / 2
    wanted = {one for suspect in suspects for one in (suspect - 1, suspect)} & {*places}
    if wanted:
        return min(wanted, key=lambda one: (abs(one - centre), one))
    parts: list[list[int]] = []
    for place in places:
        if not parts or place != parts[-1][-1] + 1:
            parts.append([])
        parts[-1].append(place)
    longest = max(parts, key=len)
    return longest[(len(longest) - 1) // 2]


def clearest(steps: Sequence[BisectionStep]) -> BisectionStep | None:
    """The spec whose BAD is slower than GOOD most clearly, as its comparison."""
    slower = [one for one in steps if one.verdict == "regression" and one.low is not None]
    return max(slower, key=lambda one: one.low or 0.0, default=None)


# --- The structure, which needs no clock.


def inspected_next(
    last: int, known: Mapping[int, Thing | None], differ: Callable[[Thing, Thing], bool]
) -> int | None:
    """The place to look at next for where a structure changed; ``None`` if that is known.

    Args:
        last: the place of BAD.
        known: what was found at a place, both ends among them; ``None`` where nothing could be.
        differ: whether two are not the same.
    """
    if len(known) >= 2 + _LOOKS * max(1, halvings(last)):
        return None
    parts = [
        [one for one in range(before + 1, after) if one not in known]
        for before, after in changes(known, differ)
    ]
    return _middle(max(parts, key=len, default=[]), ())


def changes(
    known: Mapping[int, Thing | None], differ: Callable[[Thing, Thing], bool]
) -> list[tuple[int, int]]:
    """Neighbours of those known that differ: the change lies after the first, up to the second."""
    there = [(place, one) for place, one in sorted(known.items()) if one is not None]
    return [
        (before, after)
        for (before, old), (after, new) in itertools.pairwise(there)
        if differ(old, new)
    ]
