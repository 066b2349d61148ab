"""The error of a whole judgement: the one place that decides it, for every command.

Each look at a single comparison has an error of 1 %, and what is measured side by side now is
looked at twice before it is called a regression. That is enough for one benchmark and for dozens.
Above ``MANY`` it adds up, and then only those regressions stay that stand beside all the others by
Holm's procedure at ``ERROR``: the chance that even one of them is false is at most that.

``ERROR`` is 5 % and not the 1 % of a look, because it bounds something else: any false alarm among
all comparisons, if every one of them had changed by just half the threshold. For identical code the
chance is far smaller still. At 1 %, the handful of pairs that ends a look would seldom be clear
enough for a long list, and real regressions would end as "inconclusive".

A search that makes one comparison after another (``bisection``) knows beforehand how many it may
need, and takes an equal share of ``ERROR`` for each of them (Bonferroni).

The family is the comparisons, not the metrics: latency and throughput of a comparison are the same
pairs, so that a threshold on one more of them takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

from cnnbench.gate.rule import ALPHA, p_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.gate.rule import SequentialRule

Name = TypeVar("Name", bound=Hashable)

MANY = 50
ERROR = 0.05


def share(comparisons: int) -> float:
    """One-sided error of each look where at most ``comparisons`` decide together (Bonferroni)."""
    return min(ALPHA, ERROR / comparisons)


def unproven(
    tests: Mapping[Name, tuple[Sequence[float], SequentialRule]],
) -> frozenset[Name]:
    """Names of the tests whose regression is not significant among all the others.

    Args:
        tests: by name, the log-ratios of all pairs that were measured, and the rule that judges
            them; fewer than two pairs are no test. Up to ``MANY`` tests stand by themselves.
    """
    values = {name: p_value(pairs, rule) for name, (pairs, rule) in tests.items() if len(pairs) > 1}
    if len(values) <= MANY:
        return frozenset()
    kept = holm(values, ERROR)
    return frozenset(values) - kept


# What such a reason begins with.
DOUBT = "not significant as one of"


def reason(count: int) -> str:
    """The reason why a regression is not significant among ``count`` comparisons."""
    return f"{DOUBT} {count} comparisons; measure more pairs"


def holm(p_values: Mapping[Name, float], alpha: float) -> frozenset[Name]:
    """Names whose p-value stands when all of them are looked at together (Holm 1979).

    The chance that any of the names returned is false is at most ``alpha``.
    """
    kept = set()
    for rank, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if value > alpha / (len(p_values) - rank):
            break
        kept.add(name)
    return frozenset(kept)
