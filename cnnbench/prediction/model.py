"""What the sum of operators' times misses, fitted on networks that were measured.

Operators in a network wait for what they do not wait for alone: to be called by modules, and for
weights and activations that have left the nearest caches. So a network's time is modelled as

    a * (sum of its operators' times) + b * calls + c * bytes of weights + d * bytes of activations

by least squares on the relative error of networks that were measured, where only ``b`` may be
negative (Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23): calling an
operator alone may cost more than a module's call does. One more equation says that ``a`` is one,
since few networks do not tell it well. The interval comes from the errors that the model makes on a
family of networks when it is fitted on the others.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import stats
from cnnbench.errors import Unsupported
from cnnbench.prediction.operators import OperatorCall

if TYPE_CHECKING:
    from cnnbench.prediction.operators import OperatorTrace
    from cnnbench.prediction.table import MeasuredNetwork, TimedOperator

# Share of predictions that their intervals are to hold.
CONFIDENCE = 0.9
# Fewer families than these say nothing of how far the model is off on another one.
FEWEST_FAMILIES = 4
# An operator that was not timed may be so much slower or faster, per unit of its work, than the
# nearest of its name that were.
_BEYOND, _NEAREST = 1.5, 5
# Errors end here, so that a prediction below zero is a very large one.
_LEAST = 1e-3


@dataclass(frozen=True)
class Guess:
    """Seconds between a low and a high end; equal where they are known."""

    point: float
    low: float
    high: float

    def __add__(self, other: Guess) -> Guess:
        return Guess(self.point + other.point, self.low + other.low, self.high + other.high)

    def times(self, count: int) -> Guess:
        """As often as that."""
        return Guess(count * self.point, count * self.low, count * self.high)


@dataclass(frozen=True)
class Terms:
    """What of a network the model looks at.

    Attributes:
        alone: seconds of its operators, each timed alone or guessed.
        calls: of operators, light ones included.
        held_bytes: of parameters and buffers, as often as they are read.
        moved_bytes: of activations that are read and written.
        untimed: operators whose time is a guess, for people, each with its share of ``alone``.
    """

    alone: Guess
    calls: int
    held_bytes: int
    moved_bytes: int
    untimed: Mapping[str, float]

    def columns(self, seconds: float) -> tuple[float, ...]:
        """The factors of the coefficients, where the operators take ``seconds``."""
        return seconds, self.calls, self.held_bytes, self.moved_bytes


_NOTHING = Guess(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Model:
    """Coefficients, and how far off they are.

    Attributes:
        coefficients: of ``Terms.columns``, in order.
        errors: measured network -> logarithm of measured over predicted, by a model that was fitted
            without its family.
        families: number of families.
    """

    coefficients: tuple[float, ...]
    errors: Mapping[str, float]
    families: int

    @property
    def half_width(self) -> float:
        """Half the prediction interval, as a logarithm (Student's t with a degree per family)."""
        squares = math.fsum(error**2 for error in self.errors.values()) / len(self.errors)
        quantile = stats.t_quantile(0.5 + CONFIDENCE / 2, self.families - 1)
        return quantile * math.sqrt(squares * (1 + 1 / len(self.errors)))


@dataclass(frozen=True)
class LatencyPrediction:
    """The latency that a network is predicted to have.

    Attributes:
        seconds: per call.
        low, high: of an interval that is to hold ``CONFIDENCE`` of such predictions.
        alone: seconds of its operators timed alone.
        untimed: operators that were not timed, by their share of ``alone``.
    """

    seconds: float
    low: float
    high: float
    alone: float
    untimed: Mapping[str, float]


# Many networks are predicted by one table, and share most of their calls.
_parsed = functools.lru_cache(maxsize=1 << 15)(OperatorCall.parse)


def terms(trace: OperatorTrace, timed: Mapping[str, TimedOperator]) -> Terms:
    """The terms of a network.

    Args:
        trace: its operators.
        timed: those that were timed, by text of the call.

    Raises:
        Unsupported: an operator was not timed, and no other of its name.
    """
    if trace.foreign:
        raise Unsupported(f"{', '.join(trace.foreign)} cannot be timed alone")
    alone, untimed = _NOTHING, dict[str, Guess]()
    held = moved = 0
    alike: dict[str, list[tuple[float, float]]] | None = None
    for one in trace.calls:
        call = _parsed(one.call)
        held += one.count * call.held_bytes
        moved += one.count * (call.taken_bytes + one.written_bytes)
        if (known := timed.get(one.call)) is not None:
            guess = Guess(known.seconds, known.seconds, known.seconds)
        else:
            alike = _by_name(timed.values()) if alike is None else alike
            guess = _guessed(call, _work(call, one.macs, one.written_bytes), alike)
            untimed[call.short] = untimed.get(call.short, _NOTHING) + guess.times(one.count)
        alone += guess.times(one.count)
    if not alone.point:
        raise Unsupported("it calls no operator that takes time")
    shares = {name: guess.point / alone.point for name, guess in untimed.items()}
    calls = sum(one.count for one in trace.calls) + trace.light
    return Terms(alone, calls, held, moved, shares)


def _work(call: OperatorCall, macs: int, written_bytes: int) -> float:
    """What the time of operators of one name grows with: multiply-accumulates, or bytes."""
    return macs or call.held_bytes + call.taken_bytes + written_bytes or 1


def _by_name(timed: Iterable[TimedOperator]) -> dict[str, list[tuple[float, float]]]:
    """Work and seconds of operators, by name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in timed:
        call = _parsed(one.call)
        work = _work(call, one.macs, one.written_bytes)
        found.setdefault(call.operator, []).append((work, one.seconds))
    return found


def _guessed(
    call: OperatorCall, work: float, alike: Mapping[str, Sequence[tuple[float, float]]]
) -> Guess:
    """From the rates of those of the same name whose work is nearest."""
    if call.operator not in alike:
        raise Unsupported(f"{call.short} was not timed, and no other {call.operator}")
    nearest = sorted(alike[call.operator], key=lambda one: abs(math.log(one[0] / work)))[:_NEAREST]
    rates = [seconds / amount for amount, seconds in nearest]
    low, high = min(rates) * work / _BEYOND, max(rates) * work * _BEYOND
    return Guess(math.sqrt(low * high), low, high)


def fit(measured: Sequence[MeasuredNetwork]) -> Model:
    """The model of networks that were measured.

    Raises:
        Unsupported: they are of too few families.
    """
    families = sorted({one.family for one in measured})
    if len(families) < FEWEST_FAMILIES:
        raise Unsupported(
            f"networks of {len(families)} families are measured, and a prediction needs"
            f" {FEWEST_FAMILIES}"
        )
    errors = {}
    for family in families:
        others = _coefficients([one for one in measured if one.family != family])
        for one in measured:
            if one.family == family:
                seconds = max(_value(others, _columns(one)), _LEAST * one.seconds)
                errors[one.spec] = math.log(one.seconds / seconds)
    return Model(_coefficients(measured), errors, len(families))


def predict(model: Model, found: Terms) -> LatencyPrediction:
    """The latency of a network.

    The ends of its interval hold those of operators that were not timed, too.

    Raises:
        Unsupported: it is too unlike the networks that the model was fitted on.
    """
    point, low, high = (
        _value(model.coefficients, found.columns(seconds))
        for seconds in (found.alone.point, found.alone.low, found.alone.high)
    )
    if low <= 0:
        raise Unsupported("its calls compute so little that the model does not hold for them")
    factor = math.exp(model.half_width)
    return LatencyPrediction(point, low / factor, high * factor, found.alone.point, found.untimed)


def _value(coefficients: Sequence[float], columns: Sequence[float]) -> float:
    return math.fsum(map(operator.mul, coefficients, columns))


def _columns(one: MeasuredNetwork) -> tuple[float, ...]:
    return one.alone, one.calls, one.held_bytes, one.moved_bytes


# Says that the operators' sum is right, as one network would that consisted of nothing else.
_SUM_ALONE = (1.0, 0.0, 0.0, 0.0)


def _coefficients(measured: Sequence[MeasuredNetwork]) -> tuple[float, ...]:
    rows = [tuple(column / one.seconds for column in _columns(one)) for one in measured]
    rows.append(_SUM_ALONE)
    # A coefficient of either sign is the difference of two that are not negative.
    signed = [(alone, calls, -calls, *rest) for alone, calls, *rest in rows]
    alone, more, less, *rest = non_negative(signed, [1.0] * len(signed))
    return (alone, more - less, *rest)


def non_negative(rows: Sequence[Sequence[float]], targets: Sequence[float]) -> tuple[float, ...]:
    """Least squares with coefficients that are not negative.

    The best of all sets of columns whose own least squares have no negative coefficient; exact, and
    quick for the few columns that there are here.
    """
    width = len(rows[0])
    scales = [math.sqrt(math.fsum(row[at] ** 2 for row in rows)) or 1.0 for at in range(width)]
    scaled = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in rows]
    best, least = (0.0,) * width, math.fsum(one**2 for one in targets)
    for size in range(1, width + 1):
        for chosen in itertools.combinations(range(width), size):
            found = _least_squares([[row[at] for at in chosen] for row in scaled], targets)
            if found is None or min(found) < 0:
                continue
            whole = [0.0] * width
            for at, value in zip(chosen, found, strict=True):
                whole[at] = value
            left = math.fsum(
                (_value(whole, row) - one) ** 2 for row, one in zip(scaled, targets, strict=True)
            )
            if left < least:
                best, least = tuple(whole), left
    return tuple(value / scale for value, scale in zip(best, scales, strict=True))


# Columns that are nearly multiples of others have no coefficients of their own.
_DEPENDENT = 1e-10


def _least_squares(rows: Sequence[Sequence[float]], targets: Sequence[float]) -> list[float] | None:
    """By the normal equations, whose pivots are positive; ``None`` where columns depend."""
    width = len(rows[0])
    matrix = [
        [math.fsum(row[i] * row[j] for row in rows) for j in range(width)]
        + [math.fsum(row[i] * one for row, one in zip(rows, targets, strict=True))]
        for i in range(width)
    ]
    for i in range(width):
        if matrix[i][i] <= _DEPENDENT:
            return None
        for below in matrix[i + 1 :]:
            factor = below[i] / matrix[i][i]
            for j in range(i, width + 1):
                below[j] -= factor * matrix[i][j]
    found = [0.0] * width
    for i in reversed(range(width)):
        rest = math.fsum(matrix[i][j] * found[j] for j in range(i + 1, width))
        found[i] = (matrix[i][width] - rest) / matrix[i][i]
    return found
