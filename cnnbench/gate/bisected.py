"""The result of a bisection: the values that measuring hands to reporting, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.errors import Inconclusive, SomeFailed, UsageError
from cnnbench.gate.bisection import PATIENCE, BisectionStep, Search
from cnnbench.gate.explanation import Explanation
from cnnbench.gate.facets import Difference

if TYPE_CHECKING:
    from cnnbench.gate.rule import Verdict


@dataclass(frozen=True)
class Commit:
    """A commit of a line.

    Attributes:
        sha: its hash.
        subject: the first line of its message.
    """

    sha: str
    subject: str

    @property
    def short(self) -> str:
        """The hash for people."""
        return self.sha[:9]


@dataclass(frozen=True)
class StructureChange:
    """A place at which the structure of some specs changed.

    Attributes:
        after, upto: the last commit with the old structure, and the first with the new one; more
            than one apart if those between do not build or were not looked at.
        differences: spec id -> what changed.
    """

    after: int
    upto: int
    differences: Mapping[str, tuple[Difference, ...]]


@dataclass(frozen=True)
class Bisection:
    """The result of a bisection.

    Attributes:
        commits: from GOOD to BAD.
        names: of both as the user wrote them.
        threshold: the largest acceptable slowdown.
        changes: where the structure changed, in order.
        steps: what was timed, in order.
        skipped: place -> why the commit could not be measured.
        spec: the one that was followed; empty if none got slower, or nothing was timed.
        search: what is known of its time, ``None`` as ``spec`` is empty.
        timed: whether time was asked about.
        made_up: the numbers are pretended.
        explanation: which modules the named commit made slower, if that was measured.
    """

    commits: tuple[Commit, ...]
    names: tuple[str, str]
    threshold: float
    changes: tuple[StructureChange, ...] = ()
    steps: tuple[BisectionStep, ...] = ()
    skipped: Mapping[int, str] = field(default_factory=dict)
    spec: str = ""
    search: Search | None = None
    timed: bool = True
    made_up: bool = False
    explanation: Explanation | None = None

    @property
    def last(self) -> int:
        """The place of BAD."""
        return len(self.commits) - 1

    @property
    def ends(self) -> tuple[BisectionStep, ...]:
        """The comparisons of BAD with GOOD, one per spec."""
        found = {s.spec: s for s in self.steps if (s.place, s.against) == (self.last, 0)}
        return tuple(found.values())

    def ends_in(self, verdict: Verdict) -> BisectionStep | None:
        """The first comparison of the ends with that verdict."""
        return next((one for one in self.ends if one.verdict == verdict), None)

    @property
    def culprit(self) -> Commit | None:
        """The commit that made it slower; ``None`` if that is not certain."""
        place = None if self.search is None else self.search.named
        return None if place is None else self.commits[place]

    @property
    def between(self) -> tuple[int, int] | None:
        """The last commit that is not slower and the first that is; ``None`` without a search."""
        return None if self.search is None else (self.search.good, self.search.bad)

    def step(self, place: int, against: int) -> BisectionStep | None:
        """The last comparison of two commits in the spec that was followed."""
        found = [
            one
            for one in self.steps
            if (one.spec, one.place, one.against) == (self.spec, place, against)
        ]
        return found[-1] if found else None

    @property
    def open_because(self) -> str:
        """Why no commit is named; empty if one is."""
        if self.search is None or self.culprit is not None:
            return ""
        if self.search.contradictory:
            return "measurements contradict each other"
        if self.search.bad - self.search.good == 1:
            return "slower than GOOD, but not clearly slower than the commit before it"
        if self.search.in_doubt >= PATIENCE:
            return f"{units.number(PATIENCE, 'commit')} in a row could not be judged"
        return "the commits in between could not be judged"


def conclude(found: Bisection) -> None:
    """Raise the error that corresponds to a bisection, if any.

    Raises:
        SomeFailed: GOOD or BAD cannot be measured.
        UsageError: they do not differ.
        Inconclusive: the machine is too noisy to say whether they do, or which commit it was.
    """
    if found.search is not None:
        if found.culprit is None:
            first, last = found.between or (0, 0)
            doubts = any(one.verdict == "inconclusive" and not one.set_aside for one in found.steps)
            again = "; --resume measures the inconclusive ones again" if doubts else ""
            raise Inconclusive(
                f"it is one of {units.number(last - first, 'commit')}: {found.open_because}{again}"
            )
        return
    if (failed := found.ends_in("failed")) is not None:
        raise SomeFailed(f"{failed.spec}: {failed.reason}")
    if (unsure := found.ends_in("inconclusive")) is not None:
        raise Inconclusive(
            f"whether {found.names[1]} is slower than {found.names[0]} cannot be decided:"
            f" {unsure.reason}; --threads 1 or a quiet machine helps"
        )
    if not found.changes:
        same = "the structure of both is the same"
        told = f"{found.names[1]} is not slower than {found.names[0]}, and {same}"
        raise UsageError(f"nothing to bisect: {told if found.timed else same}")
