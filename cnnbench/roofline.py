"""How close a step came to the limits of the machine, and which limit binds.

Three ceilings bound a step from below: its arithmetic at the highest rate, its bytes at the
bandwidth of a working set of that size, and one call. The one that takes longest binds. That time
is the roofline bound; the share is the bound divided by the measured time.

Source: Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model",
Communications of the ACM 52(4), 2009, with a bandwidth per working set instead of one.

Numbers only: knows nothing of records, networks or how ceilings are probed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from cnnbench.stats import ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.facts import Ceilings

# First word of the names of compute ceilings, by the precision of a mode.
_DTYPES = {
    "fp32": "float32", "tf32": "tf32", "tf32=cudnn": "tf32",
    "bf16": "bfloat16", "amp=bf16": "bfloat16",
    "fp16": "float16", "amp=fp16": "float16",
}  # fmt: skip

_NARROW = {"bfloat16", "float16"}

# Threads that wait for a core make the others wait: such ceilings are far too low. A single thread
# still gets undisturbed moments.
_DISTURBED = 0.1

# If a step is faster than the ceiling by more than this, the ceiling is wrong.
TOLERANCE = 1.1


@dataclass(frozen=True)
class Work:
    """The work of one step.

    Attributes:
        flops: FLOPs of the function, two per multiply-accumulate of its definition.
        executed_flops: FLOPs that the algorithm executes, ``None`` if unknown.
        moved_bytes: bytes that it reads and writes at least, ``None`` if unknown.
    """

    flops: int
    executed_flops: int | None = None
    moved_bytes: int | None = None

    @property
    def intensity(self) -> float | None:
        """Executed FLOPs per byte; FLOPs of the function if the executed ones are unknown."""
        return self._arithmetic / self.moved_bytes if self.moved_bytes else None

    @property
    def _arithmetic(self) -> int:
        return self.flops if self.executed_flops is None else self.executed_flops

    def floors(self, peak: float, bandwidth: float, dispatch: float) -> dict[str, float] | None:
        """Least seconds by each ceiling; ``None`` if the bytes are unknown.

        Args:
            peak: FLOP/s.
            bandwidth: bytes per second.
            dispatch: seconds of a call.
        """
        if self.moved_bytes is None:
            return None
        return {
            "compute": self._arithmetic / peak,
            "memory": self.moved_bytes / bandwidth,
            "dispatch": dispatch,
        }


@dataclass(frozen=True)
class Roof:
    """The ceiling that binds a step.

    Attributes:
        binds: ``compute``, ``memory`` or ``dispatch``.
        seconds: the least time by this ceiling.
        share: this time divided by the measured time.
    """

    binds: str
    seconds: float
    share: float

    @property
    def credible(self) -> bool:
        """Whether the step was not faster than possible; otherwise the ceilings are too low."""
        return self.share <= TOLERANCE


def peak(ceilings: Sequence[Ceilings], precision: str) -> float | None:
    """The highest FLOP/s that any probe of a precision reached, before or after."""
    return max(by_probe(ceilings, precision).values(), default=None)


def by_probe(ceilings: Sequence[Ceilings], precision: str) -> dict[str, float]:
    """The highest FLOP/s of each kind of probe in a precision: ``matmul``, ``conv``."""
    dtype = _DTYPES.get(precision)
    rates = _highest(one.flops_per_s for one in ceilings)
    return {
        kind: rate
        for name, rate in rates.items()
        for word, _, kind in [name.partition(" ")]
        if word == dtype
    }


def bandwidth(ceilings: Sequence[Ceilings], size: float) -> float | None:
    """Bytes per second of a working set of ``size`` bytes.

    Interpolated linearly in logarithms between two probed sizes; constant beyond the ends.
    """
    curve = _highest(one.bytes_per_s for one in ceilings)
    if not curve:
        return None
    points = sorted((float(key), rate) for key, rate in curve.items())
    if size <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if size <= right:
            part = math.log(size / left) / math.log(right / left)
            return low * ratio_of(part * math.log(high / low))
    return points[-1][1]


def _highest(tables: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The largest value of every key; values that are not positive are left out."""
    found: dict[str, float] = {}
    for table in tables:
        for key, rate in table.items():
            if rate > 0:
                found[key] = max(rate, found.get(key, 0.0))
    return found


def usable(ceilings: Sequence[Ceilings], threads: int) -> tuple[Ceilings, ...]:
    """The ceilings that were probed with this number of threads and were not disturbed."""
    return tuple(
        one
        for one in ceilings
        if one.threads == threads and (threads == 1 or (one.run_delay_share or 0.0) <= _DISTURBED)
    )


def roof(
    work: Work, seconds: float, ceilings: Sequence[Ceilings], precision: str, threads: int
) -> Roof | None:
    """The ceiling that binds a step.

    Args:
        work: the work of the step.
        seconds: its measured time.
        ceilings: those probed beside it; the highest of several counts.
        precision: precision of the step, a value of the mode's axis.
        threads: its number of threads.

    Returns:
        ``None`` if its bytes are unknown or no ceiling fits it.
    """
    fitting = usable(ceilings, threads)
    top = peak(fitting, precision)
    wide = bandwidth(fitting, work.moved_bytes or 0)
    if top is None or wide is None or seconds <= 0:
        return None
    floors = work.floors(top, wide, min(one.dispatch_ns for one in fitting) / 1e9)
    if floors is None:
        return None
    binds = max(floors, key=lambda name: floors[name])
    return Roof(binds, floors[binds], floors[binds] / seconds)


@dataclass(frozen=True)
class RooflinePart:
    """The work of a part of a step, e.g. a layer.

    Attributes:
        flops: two per multiply-accumulate.
        float32_bytes: bytes that its operators read and write together, counted as in float32.
        operators: number of operators.
    """

    flops: int
    float32_bytes: int
    operators: int


def floors(
    part: RooflinePart, ceilings: Sequence[Ceilings], precision: str, threads: int
) -> dict[str, float] | None:
    """Least seconds by each ceiling, for a part that consists of several operators.

    Each operator has its share of the bytes as its working set. In a precision of 16 bits all bytes
    are halved. If only some tensors are that narrow, the floor is lower than it could be, and so is
    the share of the roofline bound.

    Returns:
        ``None`` if it does nothing or no ceiling fits it.
    """
    fitting = usable(ceilings, threads)
    top = peak(fitting, precision)
    moved = part.float32_bytes * (0.5 if _DTYPES.get(precision) in _NARROW else 1.0)
    wide = bandwidth(fitting, moved / max(part.operators, 1))
    if top is None or wide is None or not part.operators:
        return None
    call = min(one.dispatch_ns for one in fitting) / 1e9
    return {
        "compute": part.flops / top,
        "memory": moved / wide,
        "dispatch": part.operators * call,
    }


def drift(ceilings: Sequence[Ceilings]) -> float | None:
    """The change of the machine between the first and the last probe.

    Returns:
        The largest of the ratios of equal ceilings, minus 1; ``None`` with fewer than two probes.
    """
    if len(ceilings) < 2:
        return None
    first, last = ceilings[0], ceilings[-1]
    pairs = [
        *_shared(first.flops_per_s, last.flops_per_s),
        *_shared(first.bytes_per_s, last.bytes_per_s),
    ]
    return max((max(a / b, b / a) - 1 for a, b in pairs), default=None)


def _shared(left: Mapping[str, float], right: Mapping[str, float]) -> list[tuple[float, float]]:
    return [(left[key], right[key]) for key in left if left[key] > 0 and right.get(key, 0) > 0]
