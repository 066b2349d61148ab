"""How noisy each benchmark is, learnt from earlier comparisons: pairs in, the finest threshold out.

As rustc-perf does it for counts, every benchmark is judged by its own past and not by one number
for all. What is learnt is robust: medians over comparisons, so that one busy hour, or a regression
that was accepted, changes little. The noise of another machine is never this one's, and only the
newest comparisons count, so that what a machine was like is forgotten. What is learnt is said; a
threshold is taken from it only where a user asked for that (``auto``), between a floor and a cap.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.errors import SchemaError
from cnnbench.gate.changes import compare, side_of, unlike
from cnnbench.stats import change_of, t_quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.gate.rule import SequentialRule
    from cnnbench.store import StoredRun

# Below so many comparisons nothing is said; above, the newest are enough, and a machine that has
# become quieter is known as such when half of them are of it.
FEWEST, NEWEST = 5, 12
# What ``auto`` is without enough of them, and what it never goes beyond.
USUAL, FLOOR, CAP = 0.05, 0.02, 0.10
# Nine in ten comparisons of identical code are to end with a verdict.
_DECIDED = 1.6449
# A robust standard deviation from the middle of absolute values of a normal variable.
_MIDDLE = 0.6745
# Sessions that it takes to tell a step from noise.
_SESSIONS = 5


@dataclass(frozen=True)
class Noise:
    """The noise of a spec, learnt from earlier rounds, as standard deviations of log time.

    Attributes:
        rounds: between rounds of one session.
        sessions: between the medians of sessions; ``None`` below three of them.
    """

    rounds: float | None = None
    sessions: float | None = None

    def __post_init__(self) -> None:
        if not all(0 <= one <= 10 for one in (self.rounds, self.sessions) if one is not None):
            raise SchemaError(f"{self}: expected a standard deviation of log time, 0 to 10")


@dataclass(frozen=True)
class PastPairs:
    """What the pairs of one earlier comparison of a spec showed.

    Attributes:
        run: its name.
        created: UTC, ISO 8601.
        environment: fingerprint.
        pairs: how many.
        deviation: standard deviation of their log-ratios.
        change: their mean.
    """

    run: str
    created: str
    environment: str
    pairs: int
    deviation: float
    change: float

    def __post_init__(self) -> None:
        if not 2 <= self.pairs <= 10_000:
            raise SchemaError(f"past pairs of {self.run}: expected 2 or more")
        if not 0 <= self.deviation <= 10 or not abs(self.change) <= 100:
            raise SchemaError(f"past pairs of {self.run}: expected log-ratios")


@dataclass(frozen=True)
class Learnt:
    """The noise of one spec on one machine.

    Attributes:
        deviation: of the log-ratio of a pair.
        between: of what a whole comparison shows, beyond what its pairs explain.
        runs: comparisons that it was learnt from.
    """

    deviation: float
    between: float
    runs: int

    @property
    def text(self) -> str:
        """The noise for people."""
        return f"pairs differ by {units.percent(change_of(self.deviation))} here ({self.runs} runs)"

    def finest(self, rule: SequentialRule) -> float:
        """The smallest threshold at which nine in ten comparisons of identical code are decided.

        Args:
            rule: how many pairs there can be, and the error of a look.
        """
        half = t_quantile(1 - rule.alpha, rule.most - 1) * self.deviation / math.sqrt(rule.most)
        error = math.hypot(self.deviation / math.sqrt(rule.most), self.between)
        # The interval has to lie within half the threshold.
        return change_of(2 * (half + _DECIDED * error))


@dataclass(frozen=True)
class AutoLimit:
    """A threshold that was taken from what is learnt.

    Attributes:
        limit: as a share.
        why: for people.
    """

    limit: float
    why: str


def of_runs(base: StoredRun, head: StoredRun) -> dict[str, PastPairs]:
    """What two runs that took turns have shown: spec id -> its pairs.

    Empty if they are of different environments, which is no noise.
    """
    if unlike(base.environment, head.environment):
        return {}
    found = {}
    for row in compare(side_of(base), side_of(head)).rows:
        change = row.change("latency")
        if change is not None and len(change.pairs) > 1:
            found[row.spec] = PastPairs(
                head.manifest.run,
                head.manifest.created,
                head.environment.fingerprint,
                len(change.pairs),
                round(statistics.stdev(change.pairs), 6),
                round(statistics.fmean(change.pairs), 6),
            )
    return found


def joined(old: Iterable[PastPairs], new: Iterable[PastPairs]) -> tuple[PastPairs, ...]:
    """Both, each run once, oldest first; of every environment only the newest."""
    runs = {one.run: one for one in (*old, *new)}
    ordered = sorted(runs.values(), key=lambda one: (one.created, one.run))
    kept = []
    for number, one in enumerate(ordered):
        later = sum(other.environment == one.environment for other in ordered[number + 1 :])
        if later < NEWEST:
            kept.append(one)
    return tuple(kept)


def learnt(past: Iterable[PastPairs], environment: str) -> Learnt | None:
    """The noise that earlier comparisons show; ``None`` where there are too few.

    Args:
        past: of one spec.
        environment: fingerprint of the machine that it is asked about.
    """
    own = joined((), (one for one in past if one.environment == environment))
    if len(own) < FEWEST:
        return None
    deviation = math.sqrt(_middle_variance(own))
    # What a comparison showed beside the one before it: a change that stays moves one of these.
    moves = [abs(new.change - old.change) for old, new in itertools.pairwise(own)]
    whole = statistics.median(moves) / _MIDDLE / math.sqrt(2)
    explained = deviation**2 * statistics.fmean(1 / one.pairs for one in own)
    return Learnt(deviation, math.sqrt(max(0.0, whole**2 - explained)), len(own))


def _middle_variance(own: Sequence[PastPairs]) -> float:
    """The weighted median of the variances of pairs, as if of a normal variable."""
    freedom = {one.run: one.pairs - 1 for one in own}
    # The median of chi-squared over its degrees of freedom (Wilson and Hilferty 1931).
    values = sorted(
        (one.deviation**2 / (1 - 2 / (9 * freedom[one.run])) ** 3, freedom[one.run]) for one in own
    )
    half, seen = sum(freedom.values()) / 2, 0.0
    for value, weight in values:
        seen += weight
        if seen >= half:
            return value
    raise AssertionError("the weights add up")  # pragma: no cover


def automatic(past: Iterable[PastPairs], environment: str, rule: SequentialRule) -> AutoLimit:
    """The threshold that a spec has if the user leaves it to what is learnt."""
    own = [one for one in past if one.environment == environment]
    found = learnt(own, environment)
    if found is None:
        few = f"{units.number(len(own), 'run')} here so far, {FEWEST} teach its noise"
        return AutoLimit(USUAL, f"auto: {units.percent(USUAL)}, {few}")
    finest = rounded(found.finest(rule))
    limit = min(max(finest, FLOOR), CAP)
    beyond = ""
    if finest > CAP:
        beyond = f", which needs {units.percent(finest)}: expect it to be inconclusive"
    elif finest < FLOOR:
        beyond = ", never less"
    return AutoLimit(limit, f"auto: {units.percent(limit)}, {found.text}{beyond}")


def rounded(share: float) -> float:
    """The next half per cent that is not smaller."""
    return math.ceil(round(share * 200, 6)) / 200


def said(
    name: str, limit: float, past: Iterable[PastPairs], environment: str, rule: SequentialRule
) -> str:
    """That a threshold is finer than the noise allows; empty if it is not, or is not known.

    Args:
        name: of the spec, as a threshold names it: model and mode.
        limit: the threshold.
        past: earlier comparisons.
        environment: of this machine.
        rule: how it will be decided.
    """
    found = learnt(past, environment)
    if found is None or limit >= found.finest(rule):
        return ""
    enough = rounded(found.finest(rule))
    half = math.log1p(limit) / 2
    least = t_quantile(1 - rule.alpha, rule.most - 1) * found.deviation / math.sqrt(rule.most)
    cannot = "cannot be decided" if least > half else "is often not decided"
    return (
        f"{name}: {found.text}, so {units.percent(limit)} {cannot} in {rule.most} pairs;"
        f" --threshold '{name}:latency={100 * enough:g}%' can"
    )


def between_sessions(medians: Sequence[float]) -> float | None:
    """Standard deviation between sessions of the logarithms of their times; ``None`` of too few.

    From neighbours, robustly, as soon as there are enough: a change that stays moves one of them.
    """
    if len(medians) < 3:
        return None
    if len(medians) < _SESSIONS:
        return statistics.stdev(medians)
    moves = [abs(new - old) for old, new in itertools.pairwise(medians)]
    # A little more where there are few: a noise that is thought too small makes false alarms.
    return statistics.median(moves) / _MIDDLE / math.sqrt(2) * (1 + 2 / len(moves))
