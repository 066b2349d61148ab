"""Networks that might be the most accurate within a limit of time, and what decides among them.

Pure arithmetic on what is known so far: published accuracies, predicted latencies, proofs by
measurement. ``decide`` says which network is the choice, what else could still be, whom to trace
and whom to measure next, and what became of everybody else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

from cnnbench.errors import SchemaError
from cnnbench.prediction.model import CONFIDENCE
from cnnbench.spec import Spec

# Alternatives are at most so many points of top-1 less accurate than the choice.
WITHIN = 1.0

# Beyond so many rounds, what is still too close to the limit to tell stays so.
MOST_ROUNDS = 12

# Why something cannot be the answer whatever it takes, known before anything is predicted.
WEIGHTS, UNBUILT = "weights", "unbuilt"
# What became of a contender.
FITS, SLOW, TOO_SLOW, TOO_LARGE, FAILED = "fits", "slow", "too slow", "too large", "failed"
WORK, BEATEN, OPEN = "work", "beaten", "open"
# Fate -> what is said of those with it; the order of people's interest.
FATES: Mapping[str, str] = {
    FITS: "measured within the limits",
    TOO_SLOW: "measured, too slow",
    TOO_LARGE: "measured, need more memory",
    FAILED: "measured without a usable result",
    OPEN: "still open",
    BEATEN: "less accurate than what was proven",
    SLOW: "too slow by prediction",
    WORK: "more work than this machine can do in the time",
    WEIGHTS: "larger weights than --memory",
    UNBUILT: "cannot be built or called here",
}


@dataclass(frozen=True)
class ChoiceLimits:
    """What is asked for.

    Attributes:
        seconds: per call, at most.
        memory: peak bytes, at most; ``None`` for any.
    """

    seconds: float
    memory: float | None = None

    def __post_init__(self) -> None:
        for value in (self.seconds, self.memory):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise SchemaError(f"{value} is no limit")


@dataclass(frozen=True)
class Contender:
    """A network in a mode, and what is known of it without running it.

    Attributes:
        spec: its id.
        top1: published accuracy in percent.
        params: parameters, if known.
        macs: multiply-accumulates of a call, if known.
        floor: seconds that this machine needs at least for its work; 0 if that is not known.
        rough: seconds that it takes very roughly; for an order only.
        seconds, low, high: predicted, with an interval; ``None`` if it is not.
        why: it is not predicted and will not be.
        out: it cannot be the answer: ``WEIGHTS`` or ``UNBUILT``.
    """

    spec: str
    top1: float
    params: int | None = None
    macs: int | None = None
    floor: float = 0.0
    rough: float | None = None
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""
    out: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.top1 <= 100:
            raise SchemaError(f"top1 is {self.top1}, which is no percentage")
        ends = (self.low, self.seconds, self.high)
        if any(one is None for one in ends) != all(one is None for one in ends):
            raise SchemaError("seconds, low and high go together")
        times = [one for one in (*ends, self.rough) if one is not None]
        if not all(one > 0 and math.isfinite(one) for one in times) or not self.floor >= 0:
            raise SchemaError("a time is not positive")
        if self.low is not None and not self.low <= (self.seconds or 0) <= (self.high or 0):
            raise SchemaError("seconds is not within low and high")
        if min(self.params or 0, self.macs or 0) < 0:
            raise SchemaError("params and macs are counts")
        if self.out not in {"", WEIGHTS, UNBUILT}:
            raise SchemaError(f"'{self.out[:40]}' is no reason to leave it out")
        Spec.parse(self.spec)

    @cached_property
    def network(self) -> str:
        """Its model."""
        return Spec.parse(self.spec).workload.model

    @cached_property
    def mode(self) -> str:
        """Its mode, as it is asked for."""
        return Spec.parse(self.spec).mode.text

    @property
    def is_unseen(self) -> bool:
        """Whether it is to be predicted and has not been yet."""
        return self.seconds is None and not self.why and not self.out


@dataclass(frozen=True)
class Proof:
    """What a measurement says of a contender.

    Attributes:
        seconds: of a call; ``None`` if there is no usable result, and ``why``.
        low, high: of its interval, if there is one.
        memory: peak bytes, if they were measured.
        why: it has no usable result.
        doubt: in words, why the time is not to be relied on; empty if it is.
        rounds: in which it was measured.
        disturbed: the time is not to be used at all, which ``doubt`` says.
    """

    seconds: float | None
    low: float | None = None
    high: float | None = None
    memory: float | None = None
    why: str = ""
    doubt: str = ""
    rounds: int = 0
    disturbed: bool = False

    def is_close(self, limit: float) -> bool:
        """Whether its interval does not say on which side of a limit of time it is."""
        if self.disturbed:
            return True
        if self.low is None or self.high is None:
            return False
        return self.low <= limit < self.high


@dataclass(frozen=True)
class ChoiceState:
    """What follows from all that is known.

    Attributes:
        best: the most accurate that was measured within the limits; ``None`` if nothing was.
        fastest, smallest: of those within a point of it.
        nearest: where nothing fits, what misses the limits by least, of what was measured or
            else predicted.
        could: open contenders that may be the choice, in the order in which to measure them;
            ``near``: that may be the fastest or smallest within a point.
        unseen: those to be predicted first, in order.
        close: measured on one side of the limit, but perhaps on the other: the choice, and what is
            more accurate; ``again``: those of them that further rounds may tell.
        fates: by spec, a word of ``FATES``.
        widening: factor by which intervals of predictions are too narrow, as measurements show.
    """

    best: Contender | None
    fastest: Contender | None
    smallest: Contender | None
    nearest: Contender | None
    could: tuple[Contender, ...]
    near: tuple[Contender, ...]
    unseen: tuple[Contender, ...]
    fates: Mapping[str, str]
    widening: float
    close: tuple[Contender, ...] = ()
    again: tuple[Contender, ...] = ()

    @property
    def is_decided(self) -> bool:
        """Whether nothing is open that could be the choice."""
        return not self.could and all(_is_below(one, self.best) for one in self.unseen)

    @property
    def is_certain(self) -> bool:
        """Whether that is so, and every measurement says clearly on which side of the limit."""
        return self.is_decided and not self.close

    @property
    def is_complete(self) -> bool:
        """Whether the alternatives are certain, too, or as certain as they will become."""
        return not self.could and not self.near and not self.unseen and not self.again


def _is_below(one: Contender, best: Contender | None) -> bool:
    return best is not None and one.top1 < best.top1


def widening(found: Sequence[Contender], proofs: Mapping[str, Proof]) -> float:
    """The least factor that intervals have to be wider by, either way, to hold what was measured.

    At least one: a single surprise says that others may come.
    """
    factor = 1.0
    for one in found:
        proof = proofs.get(one.spec)
        if proof is None or proof.seconds is None or one.low is None or one.high is None:
            continue
        factor = max(factor, proof.seconds / one.high, one.low / proof.seconds)
    return factor


def chance(one: Contender, seconds: float, wider: float = 1.0) -> float:
    """How likely a contender takes at most that long, by its prediction; a half where it has none.

    Log-normal, with the interval as its middle ``CONFIDENCE``.
    """
    if one.seconds is None or one.low is None or one.high is None:
        return 0.5 if one.rough is None or one.rough <= seconds else 0.25
    half = math.log(one.high / one.low) / 2 + math.log(wider)
    spread = max(half, 1e-6) / NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return NormalDist().cdf(math.log(seconds / one.seconds) / spread)


def decide(
    found: Sequence[Contender], proofs: Mapping[str, Proof], limits: ChoiceLimits
) -> ChoiceState:
    """The choice so far, and what is to be done next.

    Args:
        found: all contenders.
        proofs: by spec, of those that were measured.
        limits: what is asked for.
    """
    wider = widening(found, proofs)
    fates = {one.spec: _fate(one, proofs.get(one.spec), limits, wider) for one in found}
    fitting = [one for one in found if fates[one.spec] == FITS]

    def time_of(one: Contender) -> float:
        return proofs[one.spec].seconds or math.inf

    best = min(fitting, key=lambda one: (-one.top1, time_of(one)), default=None)
    near = [one for one in fitting if best is not None and one.top1 >= best.top1 - WITHIN]
    fastest = min(near, key=time_of, default=None)
    smallest = min(near, key=lambda one: (_size(one), time_of(one)), default=None)
    bound = _Bound(
        best, math.inf if best is None else time_of(best),
        0.0 if fastest is None else time_of(fastest),
        0.0 if smallest is None else _size(smallest), wider,
    )  # fmt: skip
    rivals: list[Contender] = []
    others: list[Contender] = []
    unseen: list[Contender] = []
    for one in (one for one in found if fates[one.spec] == OPEN):
        rival, other = bound.is_rival(one), bound.is_other(one)
        if not rival and not other:
            fates[one.spec] = BEATEN
        elif one.is_unseen:
            unseen.append(one)
        else:
            (rivals if rival else others).append(one)
    close = [one for one in found if _is_close(one, best, fates, proofs, limits.seconds)]
    close.sort(key=lambda one: (proofs[one.spec].rounds, -one.top1))
    return ChoiceState(
        best, fastest, smallest,
        None if fitting else _nearest(found, proofs, limits),
        _ordered(rivals, limits.seconds, wider), _alternatives(others),
        _to_predict(unseen, limits.seconds, bound), fates, wider, tuple(close),
        tuple(one for one in close if proofs[one.spec].rounds < MOST_ROUNDS),
    )  # fmt: skip


def _is_close(
    one: Contender, best: Contender | None, fates: Mapping[str, str],
    proofs: Mapping[str, Proof], limit: float,
) -> bool:  # fmt: skip
    """Whether the choice depends on which side of the limit it really is."""
    if fates[one.spec] not in {FITS, TOO_SLOW} or not proofs[one.spec].is_close(limit):
        return False
    return one == best or best is None or one.top1 > best.top1


def _fate(one: Contender, proof: Proof | None, limits: ChoiceLimits, wider: float) -> str:
    """What is to be said of a contender by itself."""
    if proof is not None:
        if proof.seconds is None:
            return FAILED
        if proof.seconds > limits.seconds:
            return TOO_SLOW
        if limits.memory is not None and proof.memory is None:
            return FAILED
        beyond = limits.memory is not None and (proof.memory or 0) > limits.memory
        return TOO_LARGE if beyond else FITS
    if one.out:
        return one.out
    if one.floor > limits.seconds:
        return WORK
    return SLOW if one.low is not None and one.low / wider > limits.seconds else OPEN


def _size(one: Contender) -> float:
    return math.inf if one.params is None else one.params


@dataclass(frozen=True)
class _Bound:
    """What an open contender has to beat."""

    best: Contender | None
    seconds: float
    fastest: float
    smallest: float
    wider: float

    def is_rival(self, one: Contender) -> bool:
        """Whether it may be the choice itself."""
        if self.best is None or one.top1 > self.best.top1:
            return True
        return one.top1 == self.best.top1 and self._least(one) < self.seconds

    def is_other(self, one: Contender) -> bool:
        """Whether it may be the fastest or the smallest within a point."""
        if self.best is None or one.top1 < self.best.top1 - WITHIN:
            return False
        return self._least(one) < self.fastest or (
            one.params is not None and one.params < self.smallest
        )

    def _least(self, one: Contender) -> float:
        low = one.floor if one.low is None else one.low / self.wider
        return max(low, one.floor)


def _ordered(found: Sequence[Contender], limit: float, wider: float) -> tuple[Contender, ...]:
    """The most accurate of those that likely fit first, then the likeliest."""

    def key(one: Contender) -> tuple[bool, float, float]:
        likely = chance(one, limit, wider)
        if likely >= 0.5:
            return False, -one.top1, one.seconds or math.inf
        return True, -likely, -one.top1

    return tuple(sorted(found, key=key))


def _alternatives(found: Sequence[Contender]) -> tuple[Contender, ...]:
    """The fastest and the smallest, by turns."""
    fast = sorted(found, key=lambda one: (one.seconds or math.inf, _size(one)))
    small = sorted(found, key=lambda one: (_size(one), one.seconds or math.inf))
    turns = [one for pair in zip(fast, small, strict=True) for one in pair]
    return tuple({one.spec: one for one in turns}.values())


def _to_predict(found: Sequence[Contender], limit: float, bound: _Bound) -> tuple[Contender, ...]:
    """Possible choices first; of those the most accurate that seem to fit, then the quickest."""

    def key(one: Contender) -> tuple[bool, bool, float]:
        other, beyond = not bound.is_rival(one), (one.rough or 0.0) > limit
        return other, beyond, (one.rough or 0.0) if beyond else -one.top1

    return tuple(sorted(found, key=key))


def _nearest(
    found: Sequence[Contender], proofs: Mapping[str, Proof], limits: ChoiceLimits
) -> Contender | None:
    """What misses the limits by least, of what was measured or else of what is predicted."""

    def beyond(seconds: float, memory: float | None) -> float:
        share = 0.0 if limits.memory is None else (memory or 0.0) / limits.memory
        return max(seconds / limits.seconds, share)

    known = [
        (beyond(proof.seconds, proof.memory), one)
        for one in found
        if (proof := proofs.get(one.spec)) is not None and proof.seconds is not None
    ]
    known = known or [(beyond(one.seconds, None), one) for one in found if one.seconds is not None]
    return min(known, key=lambda pair: pair[0], default=(0.0, None))[1]


def next_to_measure(state: ChoiceState, most: int) -> tuple[Contender, ...]:
    """Whom to measure next, together: the first, and what is more accurate than it.

    Those have to be measured whatever comes of it, unless one of them fits that is better still.
    """
    if not state.could:
        return state.again[:1] or state.near[:1]
    first, *others = state.could
    more = [one for one in others if one.top1 > first.top1]
    return (first, *more[: most - 1])
