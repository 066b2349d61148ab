"""The choice among modes: decided here, for advice, for reports and for the convolution lab.

A gain is clear if the interval of its ratio lies above one, from rounds in which both sides ran in
turns. The error of 5 % is shared among all that were tried (Bonferroni), so that the best of twenty
does not seem faster by chance; one round has no interval, so it decides nothing.

An output may be ``ok``, or ``unchecked``, which is reported. A ``loose`` one is further from the
reference than its precision explains, though not far enough to be clearly wrong: such a mode is
never recommended, but named if it is clearly faster than what is. A ``wrong`` one is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from cnnbench import flaws, metrics
from cnnbench.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.stats import Estimate

# One mode compared with another: ``level`` is known to differ by less than ``WORTH``, ``unclear``
# may differ by more, ``once`` is one round, ``unfit`` has an output that is not to be used whatever
# its speed, ``apart`` is never in the same ensemble.
Standing = Literal["faster", "slower", "level", "unclear", "once", "unfit", "apart"]


@dataclass(frozen=True)
class StandingWords:
    """How a standing is said, wherever it is.

    Attributes:
        text: in words.
        mark: the sign behind a speed-up.
        open: more rounds may still decide it.
    """

    text: str
    mark: str = " "
    open: bool = False


# In the order in which they are told.
STANDINGS: Mapping[Standing, StandingWords] = {
    "faster": StandingWords("faster", "+"),
    "slower": StandingWords("slower", "-"),
    "level": StandingWords("no gain"),
    "unclear": StandingWords("no clear difference", open=True),
    "once": StandingWords("not repeated", flaws.ONCE.mark, open=True),
    "unfit": StandingWords("output wrong or loose"),
    "apart": StandingWords("not measured beside eager"),
}

# A ratio nearer to one is not worth a mode: with an interval inside it a mode is known to be level.
WORTH = 1.05

# The result over all modes: one is faster; all are slower; no clear difference; only one round; no
# correct output; nothing was measured beside plain eager.
ModeVerdict = Literal["faster", "slower", "unclear", "once", "unfit", "alone"]

# Every verdict with which plain eager stays -> the words for it, in advice and reports alike.
NO_GAIN: Mapping[ModeVerdict, str] = {
    "unclear": "there is no clear difference between plain eager and the other modes",
    "once": "modes were measured in one round only, which cannot show a difference",
    "slower": "every other mode with a correct output is slower than plain eager",
    "unfit": "no other mode has a correct output",
    "alone": "no other mode was measured",
}


def standing(record: Record, base: Record | None, tried: int = 1) -> Standing:
    """How a mode compares with another, as one of ``tried`` that share the error."""
    ratio = metrics.speedup(record, base, tried)
    if ratio is None:
        return "apart"
    if ratio.low is None or ratio.high is None:
        return "once"
    if ratio.low > 1 or ratio.high < 1:
        return "faster" if ratio.low > 1 else "slower"
    return "level" if ratio.low > 1 / WORTH and ratio.high < WORTH else "unclear"


def leaders(pairs: Sequence[tuple[Record, Record | None]]) -> tuple[Record, ...]:
    """The fastest of the clear gains, then those without a clear difference from it.

    Args:
        pairs: fit records (``flaws.fit``), each with what its gain is over; all share the error.
    """
    count = len(pairs)
    gaining = [pair for pair in pairs if standing(*pair, count) == "faster"]
    if not gaining:
        return ()
    top = _fastest(gaining)
    over = {record.id: base for record, base in gaining}
    others = [one for one, _ in gaining if one is not top]
    return (top, *(one for one in others if _may_equal(top, one, over, count)))


def _may_equal(top: Record, other: Record, over: Mapping[str, Record | None], count: int) -> bool:
    """Whether another mode is not clearly slower than the fastest.

    Two that never ran side by side are compared by what each gains over the same mode, which has no
    interval; then they are equal only if they look so.
    """
    how = standing(top, other, count)
    if how != "apart":
        return how != "faster"
    mine, its = over[top.id], over[other.id]
    if mine is None or its is None or mine.id != its.id:
        return True
    return faster_by(top, other, mine) < WORTH


def faster_by(one: Record, other: Record, base: Record) -> float:
    """How many times faster a mode is than another: side by side, else by their gains over a third.

    Zero where it was not measured beside either.
    """
    direct = _ratio(one, other)
    if direct or one is other:
        return direct or 1.0
    mine = 1.0 if one is base else _ratio(one, base)
    its = 1.0 if other is base else _ratio(other, base)
    return mine / its if its else 0.0


def _fastest(pairs: Sequence[tuple[Record, Record | None]]) -> Record:
    """The fastest, by the ratio to a common base; times from different moments compare worse."""
    if len({base.id for _, base in pairs if base is not None}) == 1:
        return max(pairs, key=lambda pair: _ratio(*pair))[0]
    return min((one for one, _ in pairs), key=_seconds)


def _ratio(record: Record, base: Record | None) -> float:
    change = metrics.speedup(record, base)
    return 0.0 if change is None else change.point


def _seconds(record: Record) -> float:
    time = metrics.latency(record)
    return float("inf") if time is None else time.point


def _effort(record: Record) -> tuple[bool, int, float]:
    """How much effort a mode is: a compiler first, then its number of words, then its time."""
    mode = record.spec.mode
    words = 0 if mode.text == "eager" else mode.text.count("+") + 1
    return mode.compiler != "eager", words, _seconds(record)


@dataclass(frozen=True)
class ModeChoice:
    """The choice of a mode for a workload.

    Attributes:
        baseline: plain eager.
        verdict: the result over all modes.
        best: the mode to use: the simplest of those without a clear difference from the fastest,
            and no slower than it by more than ``WORTH`` as measured; plain eager unless another is
            clearly faster.
        equal: other fit modes without a clear difference from ``best``.
        tried: fit modes that were measured beside plain eager.
        loose: modes with a loose output that are clearly faster than ``best``; they and ``tried``
            share the error.
    """

    baseline: Record
    verdict: ModeVerdict
    best: Record
    equal: tuple[Record, ...]
    tried: tuple[Record, ...]
    loose: tuple[Record, ...]

    @cached_property
    def gain(self) -> Estimate | None:
        """The speed-up of the best mode over plain eager; ``None`` if plain eager is the best."""
        return None if self.best is self.baseline else metrics.speedup(self.best, self.baseline)

    @cached_property
    def foremost(self) -> Record | None:
        """The mode with the largest speed-up, clear or not."""
        return max(self.tried, key=lambda one: _ratio(one, self.baseline), default=None)

    @cached_property
    def hopeful(self) -> tuple[Record, ...]:
        """Modes that look faster than ``best``, whose own gain over plain eager is not decided.

        The fastest first.
        """
        if self.gain is None:
            return ()
        least = WORTH * self.gain.point
        found = [
            one
            for one in self.tried
            if STANDINGS[self.standing(one)].open and _ratio(one, self.baseline) > least
        ]
        return tuple(sorted(found, key=lambda one: -_ratio(one, self.baseline)))

    @cached_property
    def rivals(self) -> tuple[Record, ...]:
        """Modes that may yet be faster than ``best`` by more than ``WORTH``; likely ones first."""
        found = [
            one for one in (*self.tried, self.baseline) if one is not self.best and self._open(one)
        ]
        gains = {one.id: faster_by(one, self.best, self.baseline) for one in found}
        return tuple(sorted(found, key=lambda one: -gains[one.id]))

    def _open(self, record: Record) -> bool:
        """Whether a mode may be faster than ``best`` by more than is worth it.

        One that never ran beside it may, unless it looks slower by its gain over plain eager.
        """
        ratio = metrics.speedup(record, self.best, len(self.tried))
        if ratio is None:
            return faster_by(record, self.best, self.baseline) > 1 / WORTH
        return ratio.high is None or ratio.high > WORTH

    @property
    def undecided(self) -> bool:
        """Whether more rounds may still find a mode that is clearly faster than plain eager."""
        standings = {self.standing(one) for one in self.tried}
        return self.gain is None and any(STANDINGS[one].open for one in standings)

    def standing(self, record: Record) -> Standing:
        """How one of the modes compares with plain eager."""
        found = standing(record, self.baseline, len(self.tried))
        return found if found == "apart" or flaws.fit(record) else "unfit"


def choose(records: Iterable[Record]) -> ModeChoice | None:
    """Choose among records of one workload in its modes; ``None`` without a time of plain eager."""
    found = list(records)
    plain = [one for one in found if one.spec == one.spec.plain and metrics.latency(one)]
    if not plain:
        return None
    base = plain[0]
    beside = [one for one in found if one is not base and standing(one, base) != "apart"]
    tried = tuple(one for one in beside if flaws.fit(one))
    standings = [standing(one, base, len(tried)) for one in tried]
    top = leaders([(one, base) for one in tried])
    near = [one for one in top if one is top[0] or faster_by(top[0], one, base) < WORTH]
    best = min(near, key=_effort, default=base)
    level = tuple(
        one for one, how in zip(tried, standings, strict=True) if how in {"level", "unclear"}
    )
    astray = [one for one in beside if one.status == "loose"]
    count = len(tried) + len(astray)
    loose = tuple(one for one in astray if standing(one, best, count) == "faster")
    equal = tuple(one for one in top or level if one is not best)
    return ModeChoice(base, _verdict(beside, standings), best, equal, tried, loose)


def _verdict(beside: Sequence[Record], found: Sequence[Standing]) -> ModeVerdict:
    if not found:
        return "unfit" if beside else "alone"
    if "faster" in found:
        return "faster"
    if {"unclear", "level"} & {*found}:
        return "unclear"
    return "once" if "once" in found else "slower"
