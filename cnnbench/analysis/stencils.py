"""Which places of its source the places of a result read, for every kind of window and resizing.

Exact, by fractions. A tap whose weight is zero (bilinear, exactly on a pixel) is not read.
Sources: aten/src/ATen/native/UpSample.h and AdaptivePooling.h.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from cnnbench.analysis.reach import Stencil

if TYPE_CHECKING:
    from collections.abc import Callable

Sizes = tuple[int, int]


def window(sizes: Sizes, kernel: int, stride: int, padding: int, dilation: int) -> Stencil:
    """Convolutions and pooling."""
    return Stencil((tuple(tap * dilation - padding for tap in range(kernel)),), stride, sizes)


def transposed(sizes: Sizes, kernel: int, stride: int, padding: int, dilation: int) -> Stencil:
    """A transposed convolution: each place of its source writes a window of the result."""
    taps = [[] for _ in range(stride)]  # type: list[list[int]]
    for place in range(stride):
        for tap in range(kernel):
            source = place + padding - tap * dilation
            if source % stride == 0:
                taps[place].append(source // stride)
    return Stencil(tuple(map(tuple, taps)), 1, sizes)


def shifted(sizes: Sizes, by: int, step: int = 1) -> Stencil:
    """Slices, padding (``by`` is negative), rotations; flips have a negative step."""
    return Stencil(((by,),), step, sizes)


def adaptive(sizes: Sizes) -> Stencil:
    """Adaptive pooling: windows that share the source evenly."""
    ratio = Fraction(*sizes)
    return _periodic(
        sizes, ratio, lambda place: range(floor(place * ratio), ceil((place + 1) * ratio))
    )


def nearest(sizes: Sizes, ratio: Fraction) -> Stencil:
    """The neighbour below: ``floor(i r)``."""
    return _periodic(sizes, ratio, lambda place: (floor(place * ratio),))


def nearest_exact(sizes: Sizes, ratio: Fraction) -> Stencil:
    """The neighbour: ``floor((i + 1/2) r)``."""
    return _periodic(sizes, ratio, lambda place: (floor((place + _HALF) * ratio),))


def corners(sizes: Sizes) -> Fraction:
    """Source places per result place where the corners coincide."""
    return Fraction(sizes[0] - 1, sizes[1] - 1) if sizes[1] > 1 else Fraction(0)


def linear(sizes: Sizes, ratio: Fraction, *, align: bool, reach: int = 1) -> Stencil:
    """Interpolation between ``reach`` neighbours on either side (1 linear, 2 cubic)."""

    def taps(place: int) -> range:
        at = place * ratio if align else (place + _HALF) * ratio - _HALF
        low = floor(at)
        return range(low, low + 1) if at == low else range(low - reach + 1, low + reach + 1)

    return _periodic(sizes, ratio, taps)


def antialiased(sizes: Sizes, ratio: Fraction, reach: int) -> Stencil:
    """Interpolation by a filter as wide as the ratio (1 linear, 2 cubic)."""
    wide = max(ratio, Fraction(1))

    def taps(place: int) -> list[int]:
        centre = (place + _HALF) * ratio
        first, last = floor(centre - reach * wide), ceil(centre + reach * wide)
        away = {tap: abs(tap + _HALF - centre) / wide for tap in range(first, last + 1)}
        # The cubic filter is zero at distance 1, too.
        return [tap for tap, far in away.items() if far < reach and far != 1]

    return _periodic(sizes, ratio, taps)


_HALF = Fraction(1, 2)


def _periodic(sizes: Sizes, ratio: Fraction, taps: Callable[[int], object]) -> Stencil:
    """One period of a rule whose result moves by ``ratio`` per place."""
    places = range(ratio.denominator)
    return Stencil(tuple(tuple(taps(place)) for place in places), ratio.numerator, sizes)  # type: ignore[arg-type,call-overload]
