"""Is it slower? Log-ratios of pairs in, a verdict out.

A pair is one fresh process of each side, measured in alternating slices; its log-ratio is
``log(head / base)``. The rule looks after every pair, from the third on, and stops as soon as the
interval of the mean lies on one side of half the threshold: the same margin guards against a false
alarm and against a missed regression, so a user states one number. Where the noise is too large the
answer is "inconclusive", never a guess.

Knows nothing of records, processes or files.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from cnnbench.errors import UsageError
from cnnbench.stats import change_of, t_interval, t_probability, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

# The worst first: the first that a row holds is the row's.
Verdict = Literal[
    "regression", "failed", "missing", "inconclusive", "incomparable", "added", "improvement",
    "unchanged",
]  # fmt: skip
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Better = Literal["lower", "higher"]

# One-sided error of each look, and of every interval of a change on either side.
ALPHA = 0.01
# No more pairs are measured where those so far could only decide about a threshold this many
# times as large; two pairs more than the fewest must have said so.
HOPELESS = 2.0
_PAIRS_OF_HOPE = 2


@dataclass(frozen=True)
class SequentialRule:
    """When to stop, and with which verdict.

    Attributes:
        threshold: relative change that must not pass, e.g. 0.05.
        alpha: one-sided error of each look.
        least, most: pairs before the first look and after the last.
        better: the direction of the metric.
        confirms: a regression is a verdict only once pairs of its own say so again. Not where
            something later would contradict it, as on the way of a bisection.
    """

    threshold: float
    alpha: float = ALPHA
    least: int = 3
    most: int = 10
    better: Better = "lower"
    confirms: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.threshold < math.inf:
            raise UsageError(
                f"threshold {self.threshold}: measured times are never exactly equal,"
                " so it must be above zero"
            )
        if not 2 <= self.least <= self.most:
            raise UsageError(f"{self.least} to {self.most} pairs: needs at least 2, and in order")
        if not 0 < self.alpha < 0.5:
            raise UsageError(f"alpha {self.alpha} must be between 0 and 0.5")

    @property
    def tau(self) -> float:
        """The threshold as a log-ratio."""
        return math.log1p(self.threshold)

    @property
    def margin(self) -> float:
        """Where the verdict switches: half the threshold, as a log-ratio."""
        return self.tau / 2


@dataclass(frozen=True)
class Decision:
    """The result of the pairs so far.

    Attributes:
        verdict: ``None`` means undecided: measure another pair.
        estimate: head over base, minus one; ``None`` before the first pair.
        low, high: its interval at the rule's confidence; ``None`` before the second pair.
        pairs: how many.
        resolvable: the smallest threshold that this noise lets ``most`` pairs decide.
        reason: why it is inconclusive.
    """

    verdict: Verdict | None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    resolvable: float | None = None
    reason: str = ""


def decide(pairs: Sequence[float], rule: SequentialRule, spent: bool = False) -> Decision:
    """Look at the pairs measured so far.

    Args:
        pairs: log(head / base) of each pair, in order.
        rule: threshold and looks.
        spent: the budget is gone, so that this is the last look.
    """
    last = spent or len(pairs) >= rule.most
    if len(pairs) < 2:
        point = change_of(pairs[0]) if pairs else None
        few = "too few pairs within the budget"
        return Decision("inconclusive" if last else None, point, pairs=len(pairs),
                        reason=few if last else "")  # fmt: skip
    centre, half = t_interval(pairs, 1 - 2 * rule.alpha)
    found = Decision(
        verdict=None,
        estimate=change_of(centre),
        low=change_of(centre - half),
        high=change_of(centre + half),
        pairs=len(pairs),
        resolvable=resolvable(pairs, rule),
    )
    verdict = (
        judge_interval(centre - half, centre + half, rule) if len(pairs) >= rule.least else None
    )
    if verdict is None and last:
        return replace(found, verdict="inconclusive", reason="the interval is too wide")
    if verdict is None and hopeless(pairs, rule):
        reason = f"too noisy: even {rule.most} such pairs would not decide"
        return replace(found, verdict="inconclusive", reason=reason)
    return replace(found, verdict=verdict)


def judge_interval(low: float, high: float, rule: SequentialRule) -> Verdict | None:
    """The verdict of an interval of a log-ratio; ``None`` if it is undecided."""
    if rule.better == "higher":
        low, high = -high, -low
    if low > rule.margin:
        return "regression"
    if high < -rule.margin:
        return "improvement"
    return "unchanged" if -rule.margin < low and high < rule.margin else None


def resolvable(pairs: Sequence[float], rule: SequentialRule) -> float:
    """The smallest relative threshold that ``rule.most`` pairs with this noise can decide.

    Args:
        pairs: at least two log-ratios.
        rule: how many pairs there can be, and the error of a look.
    """
    half = t_quantile(1 - rule.alpha, rule.most - 1) * statistics.stdev(pairs)
    return change_of(2 * half / math.sqrt(rule.most))


def further(pairs: Sequence[float], rule: SequentialRule) -> int:
    """How many more pairs decide, if they are as those so far; at least one.

    Decides nothing: what is begun early may be in vain, and what is not is begun later.

    Args:
        pairs: log-ratios of the look at hand.
        rule: how many pairs there can be.
    """
    if len(pairs) < rule.least:
        return rule.least - len(pairs)
    centre, noise = statistics.fmean(pairs), statistics.stdev(pairs)
    for count in range(len(pairs) + 1, rule.most):
        half = t_quantile(1 - rule.alpha, count - 1) * noise / math.sqrt(count)
        if judge_interval(centre - half, centre + half, rule) is not None:
            return count - len(pairs)
    return max(1, rule.most - len(pairs))


def hopeless(pairs: Sequence[float], rule: SequentialRule) -> bool:
    """Whether more pairs are wasted time, so that the verdict is better given at once.

    Only where the noise is far too large for the threshold, and the change is not so large that
    ``rule.most`` pairs would still show it.
    """
    if len(pairs) < min(rule.least + _PAIRS_OF_HOPE, rule.most):
        return False
    centre = statistics.fmean(pairs)
    reach = math.log1p(resolvable(pairs, rule)) / 2
    too_noisy = reach > HOPELESS * rule.margin
    return too_noisy and judge_interval(centre - reach, centre + reach, rule) is None


def checked_by_cpu_time(
    decision: Decision, cpu_pairs: Sequence[float], rule: SequentialRule
) -> Decision:
    """A decision by the wall clock that the CPU time of the same pairs must not contradict.

    CPU time alone hides locks and waiting, the wall clock alone sees a neighbour; where the two
    differ by more than the threshold, neither is believed.

    Args:
        decision: by the wall clock.
        cpu_pairs: log-ratios of CPU time, one per pair; empty where it was not measured.
        rule: whose threshold.
    """
    if decision.verdict is None or decision.estimate is None or not cpu_pairs:
        return decision
    apart = abs(math.log1p(decision.estimate) - statistics.fmean(cpu_pairs))
    if apart <= rule.tau:
        return decision
    return replace(
        decision,
        verdict="inconclusive",
        reason="wall clock and CPU time disagree: the process waits, or another process interferes",
    )


def p_value(pairs: Sequence[float], rule: SequentialRule) -> float:
    """The p-value of the pairs if the change were only half the threshold.

    Args:
        pairs: at least two log-ratios.
        rule: threshold and direction.
    """
    sign = -1 if rule.better == "higher" else 1
    distance = sign * statistics.fmean(pairs) - rule.margin
    error = statistics.stdev(pairs) / math.sqrt(len(pairs))
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return 1 - t_probability(distance / error, len(pairs) - 1)
