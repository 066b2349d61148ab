"""Paired comparisons and their outcomes: the values that measuring hands to judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cnnbench.facts import worst
from cnnbench.gate import family
from cnnbench.gate.rule import Decision, SequentialRule, Verdict
from cnnbench.record import Failure, Run
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.facts import Check

ROLES = ("base", "head")


@dataclass(frozen=True)
class PairedComparison:
    """Two specs to compare, and the rule that decides.

    Attributes:
        base, head: often the same spec of two codes.
        rule: threshold and looks.
    """

    base: Spec
    head: Spec
    rule: SequentialRule

    @property
    def name(self) -> str:
        """The name in tables."""
        base, head = self.base.id, self.head.id
        if base == head:
            return base
        if replace(self.base, mode=self.head.mode) == self.head:
            modes = f"{self.base.mode.text} -> {self.head.mode.text}"
            return base.replace(f"/{self.base.mode.text}/", f"/{modes}/")
        return f"{base} -> {head}"

    def spec(self, role: str) -> Spec:
        """The side of a role."""
        return self.base if role == "base" else self.head


@dataclass(frozen=True)
class OneThread:
    """That one thread was measured on one core, because several waited for cores.

    Attributes:
        comparison: that was measured in place of the one asked for.
        waiting: share of the time for which the threads asked for were ready and had no core.
        set_aside: pairs with these threads, which count for nothing.
    """

    comparison: PairedComparison
    waiting: float
    set_aside: int


@dataclass(frozen=True)
class PairedOutcome:
    """The outcome of a paired comparison.

    Attributes:
        comparison: which was asked for.
        decision: of the last look: verdict, estimate, interval, pairs, reason.
        pairs: log(head / base) of each pair of the first look, in order.
        confirmation: the same of the pairs that had to confirm a regression; the decision is then
            about these alone.
        cpu_pairs: log-ratios of CPU time of the pairs that decided; empty if not measured.
        seconds: spent on it, with its share of starting processes.
        off_cpu: share of the sampled time without a core.
        waiting: share of the time for which all threads were ready and had no core, of the median
            pair.
        waited: pairs in which that was so much that it was taken out, slice by slice.
        one_thread: what was measured instead, where several threads waited for cores.
        repeated: pairs that were measured again, because their turns did not agree.
        disagreeing: pairs that count although their turns did not agree.
        spent: the budget ended it.
        budget: seconds that it was given.
        runs: by role, of every pair.
        failure, failed: what went wrong, and with which side.
    """

    comparison: PairedComparison
    decision: Decision
    pairs: tuple[float, ...] = ()
    confirmation: tuple[float, ...] = ()
    cpu_pairs: tuple[float, ...] = ()
    seconds: float = 0.0
    off_cpu: float | None = None
    waiting: float | None = None
    waited: int = 0
    one_thread: OneThread | None = None
    repeated: int = 0
    disagreeing: int = 0
    spent: bool = False
    budget: float = 0.0
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    failure: Failure | None = None
    failed: str = ""

    @property
    def measured_as(self) -> PairedComparison:
        """What was measured: the runs are of its specs."""
        return self.comparison if self.one_thread is None else self.one_thread.comparison

    @property
    def verdict(self) -> Verdict:
        """Regression, improvement, unchanged, inconclusive or failed."""
        return self.decision.verdict or "inconclusive"

    def check(self, role: str) -> Check | None:
        """The worst check of a side's processes; ``None`` if none of them ran."""
        return worst(run.check for run in self.runs.get(role, ()))

    @property
    def decided_by(self) -> tuple[float, ...]:
        """The pairs that the decision is about."""
        return self.confirmation or self.pairs

    @property
    def measured(self) -> tuple[float, ...]:
        """Every pair; of a confirmed regression both looks count."""
        return (*self.pairs, *self.confirmation)


def together(outcomes: Sequence[PairedOutcome]) -> list[PairedOutcome]:
    """Outcomes of one session; a regression stays only if it is significant among all of them."""
    tests = {
        index: (one.measured, one.comparison.rule)
        for index, one in enumerate(outcomes)
        if one.failure is None
    }
    doubtful, reason = family.unproven(tests), family.reason(len(tests))
    return [
        replace(one, decision=replace(one.decision, verdict="inconclusive", reason=reason))
        if one.verdict == "regression" and index in doubtful
        else one
        for index, one in enumerate(outcomes)
    ]
