"""Which pixels of one axis of the input the elements of a tensor read: exact interval arithmetic.

An axis of a tensor is a product of *factors* (one, unless it was reshaped), and every factor has a
period ``p`` and an advance ``a``: element ``i`` along it reads the interval of element ``i mod p``,
moved by ``a (i // p)`` pixels. A convolution has period 1 and its stride as advance; a transposed
convolution of stride 2 has period 2; what does not matter has period 1 and advance 0; what follows
no rule is a table: its period is its size, and its advance 0. Because everything is an integer, the
arithmetic is exact, and because it repeats, an interior element stands for all of them: borders are
those of an input without end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Pixels = npt.NDArray[np.int64]

# Stands for "without end"; no picture is that large, and sums of it do not overflow.
FAR = 1 << 40
# Elements of a table beyond which something is not followed.
LIMIT = 1 << 17


class NotFollowed(Exception):
    """What is read cannot be said."""


@dataclass(frozen=True, slots=True)
class Stencil:
    """Which places of its source the places of a result read, along one axis.

    Attributes:
        taps: for each place of a period, what it reads.
        per: by how much that moves from one period to the next.
        sizes: of the source and of the result.
    """

    taps: tuple[tuple[int, ...], ...]
    per: int
    sizes: tuple[int, int]


def _moved(pixels: Pixels, by: Any) -> Pixels:
    """Pixels moved; those without end stay where they are."""
    moved: Pixels = np.where(np.abs(pixels) < FAR, pixels + by, pixels)
    return moved


@dataclass(frozen=True, eq=False, slots=True)
class Reach:
    """The interval of pixels along one axis of the input that each element reads.

    Attributes:
        low, high: its ends, an axis per factor, as long as the factor's period. All of ``low`` at
            ``-FAR`` and ``high`` at ``FAR`` is everything; the other way round is nothing.
        advance: per factor, the pixels by which both ends move from one period to the next.
        span: pixels of the input along this axis.
    """

    low: Pixels
    high: Pixels
    advance: tuple[int, ...]
    span: int

    def __post_init__(self) -> None:
        if self.low.size > LIMIT:
            raise NotFollowed

    @property
    def everywhere(self) -> bool:
        """Whether every element reads everything."""
        return bool((self.low <= -FAR).all() and (self.high >= FAR).all())

    def widest(self, sizes: Sequence[int]) -> int:
        """The largest number of pixels from the first to the last that one element reads.

        Of a tensor with factors of these sizes: a period may be longer than there are elements.
        """
        here = tuple(slice(size) for size in sizes)
        return max(int((self.high[here] - self.low[here]).max()) + 1, 0)

    @property
    def middle(self) -> float | None:
        """The centre of what the first element reads; ``None`` without a place in the picture."""
        low, high = int(self.low.flat[0]), int(self.high.flat[0])
        return (low + high) / 2 if low > -FAR and high < FAR and low <= high else None

    def period(self, factor: int) -> int:
        """After how many elements it repeats."""
        return int(self.low.shape[factor])

    def ignores(self, factor: int) -> bool:
        """Whether the place along a factor does not matter."""
        return self.low.shape[factor] == 1 and not self.advance[factor]

    def at(self, factor: int, places: Pixels) -> tuple[Pixels, Pixels]:
        """The ends at these places of a factor."""
        shape = [1] * self.low.ndim
        shape[factor] = -1
        period = self.low.shape[factor]
        by = (self.advance[factor] * (places // period)).reshape(shape)
        which = places % period
        low, high = self.low.take(which, axis=factor), self.high.take(which, axis=factor)
        return (low, high) if not self.advance[factor] else (_moved(low, by), _moved(high, by))

    def _with(self, factor: int, ends: tuple[Pixels, Pixels], advance: int = 0) -> Reach:
        moved = (*self.advance[:factor], advance, *self.advance[factor + 1 :])
        return Reach(*ends, moved, self.span)

    # One factor becomes another.

    def mixed(self, factor: int, size: int) -> Reach:
        """Every element along a factor reads what all of them read."""
        if self.ignores(factor):
            return self
        low, high = self.at(factor, np.arange(size))
        ends = low.min(axis=factor, keepdims=True), high.max(axis=factor, keepdims=True)
        step = abs(self.advance[factor]) // self.period(factor)
        return self._with(factor, ends).settled(max(step - 1, 0) if size > 1 else 0)

    def fixed(self, factor: int, place: int) -> Reach:
        """Only the element at one place is left."""
        if self.ignores(factor):
            return self
        return self._with(factor, self.at(factor, np.array([place]))).settled(0)

    def tabulated(self, factor: int, size: int) -> Reach:
        """The same as a table, within the borders of the input unless another factor moves it."""
        low, high = self.at(factor, np.arange(size))
        table = self._with(factor, (low, high))
        if any(table.advance):
            return table
        ends = (
            np.where(low > -FAR, low.clip(0), low),
            np.where(high < FAR, high.clip(max=self.span - 1), high),
        )
        return self._with(factor, ends).settled(0)

    def settled(self, slack: int) -> Reach:
        """What stands still and covers the axis, but for ``slack`` at its ends, is everything.

        Strides leave pixels over at the ends; to read every place of a map is still to read all.
        """
        if any(self.advance):
            return self
        whole = (self.low <= slack) & (self.high >= self.span - 1 - slack)
        if not whole.any():
            return self
        low, high = np.where(whole, -FAR, self.low), np.where(whole, FAR, self.high)
        return replace(self, low=low, high=high)

    def through(self, factor: int, stencil: Stencil) -> Reach:
        """What a result reads through a stencil."""
        if self.ignores(factor):
            return self
        period, advance = self.period(factor), self.advance[factor]
        if not advance:
            return self._explicit(factor, stencil)
        turns = period // gcd(period, stencil.per)
        ends = self._seen(factor, stencil, turns)
        return self._with(factor, ends, advance * stencil.per * turns // period).compact(factor)

    def _explicit(self, factor: int, stencil: Stencil) -> Reach:
        """The same of a table, which ends at its borders."""
        turns = -(-stencil.sizes[1] // len(stencil.taps))
        low, high = self._seen(factor, stencil, turns, within=True)
        places = np.arange(stencil.sizes[1])
        ends = low.take(places, axis=factor), high.take(places, axis=factor)
        return self._with(factor, ends).compact(factor).settled(0)

    def _seen(
        self, factor: int, stencil: Stencil, turns: int, *, within: bool = False
    ) -> tuple[Pixels, Pixels]:
        width = max(map(len, stencil.taps))
        rows = [(*taps, *[taps[-1] if taps else 0] * (width - len(taps))) for taps in stencil.taps]
        places = np.array(rows, dtype=np.int64).reshape(1, len(rows), width)
        places = places + stencil.per * np.arange(turns).reshape(-1, 1, 1)
        empty = np.array([not taps for taps in stencil.taps])
        unread = np.broadcast_to(empty.reshape(1, -1, 1), places.shape)
        if within:
            unread = unread | (places < 0) | (places >= stencil.sizes[0])
        if places.size * self.low.size // self.period(factor) > 16 * LIMIT:
            raise NotFollowed
        return (
            _least(self.at(factor, places.ravel())[0], factor, unread, FAR),
            -_least(-self.at(factor, places.ravel())[1], factor, unread, FAR),
        )

    def split(self, factor: int, inner: int) -> Reach:
        """A factor as a product of two, of which the second has ``inner`` elements."""
        period, advance = self.period(factor), self.advance[factor]
        rest = self.low.shape[:factor], self.low.shape[factor + 1 :]
        if inner % period == 0:
            shape = (*rest[0], 1, period, *rest[1])
            steps = (advance * (inner // period), advance)
            ends = self.low.reshape(shape), self.high.reshape(shape)
        else:
            outer = period // gcd(period, inner)
            shape = (*rest[0], outer, inner, *rest[1])
            steps = (advance * (outer * inner // period), 0)
            low, high = self.at(factor, np.arange(outer * inner))
            ends = low.reshape(shape), high.reshape(shape)
        moved = (*self.advance[:factor], *steps, *self.advance[factor + 1 :])
        return Reach(*ends, moved, self.span).compact(factor).compact(factor + 1)

    def fused(self, factor: int, inner: int) -> Reach:
        """A factor and the next one, which has ``inner`` elements, as one."""
        moved = (*self.advance[: factor + 1], *self.advance[factor + 2 :])
        if self.ignores(factor) and self.ignores(factor + 1):
            return Reach(
                self.low.squeeze(factor + 1), self.high.squeeze(factor + 1), moved, self.span
            )
        if self.low.size // self.period(factor + 1) * inner > LIMIT:
            raise NotFollowed
        low, high = self.at(factor + 1, np.arange(inner))
        shape = (*low.shape[:factor], -1, *low.shape[factor + 2 :])
        return Reach(low.reshape(shape), high.reshape(shape), moved, self.span).compact(factor)

    def windowed(self, factor: int, stencils: Sequence[Stencil]) -> Reach:
        """A factor as a product of places and taps: what each tap reads, tap by tap."""
        if self.ignores(factor):
            return self.inserted(factor + 1)
        read = [self.through(factor, stencil).inserted(factor + 1) for stencil in stencils]
        return concatenated(read, factor + 1, [1] * len(read))

    def compact(self, factor: int) -> Reach:
        """The same with the shortest period."""
        period, advance = self.period(factor), self.advance[factor]
        for prime in _primes(period):
            short, step = period // prime, advance // prime
            if advance % prime or not all(
                _repeats(ends, factor, short, step) for ends in (self.low, self.high)
            ):
                continue
            places = np.arange(short)
            ends = self.low.take(places, axis=factor), self.high.take(places, axis=factor)
            return self._with(factor, ends, step).compact(factor)
        return self

    # Factors come, go, and change places.

    def inserted(self, factor: int) -> Reach:
        """One more factor, which does not matter."""
        low, high = np.expand_dims(self.low, factor), np.expand_dims(self.high, factor)
        return Reach(low, high, (*self.advance[:factor], 0, *self.advance[factor:]), self.span)

    def dropped(self, factor: int) -> Reach:
        """Without a factor that does not matter."""
        low, high = self.low.squeeze(factor), self.high.squeeze(factor)
        return Reach(low, high, (*self.advance[:factor], *self.advance[factor + 1 :]), self.span)

    def permuted(self, order: Sequence[int]) -> Reach:
        """Factors in another order."""
        moved = tuple(self.advance[factor] for factor in order)
        return Reach(self.low.transpose(order), self.high.transpose(order), moved, self.span)


def start(span: int, moving: int, factors: int) -> Reach:
    """The input's own: every element reads itself."""
    pixel = np.zeros((1,) * factors, dtype=np.int64)
    return Reach(pixel, pixel, tuple(int(factor == moving) for factor in range(factors)), span)


def nothing(like: Reach) -> Reach:
    """That of a constant."""
    return replace(like, low=np.full_like(like.low, FAR), high=np.full_like(like.low, -FAR))


def everything(span: int, factors: int) -> Reach:
    """What has mixed all positions."""
    ends = np.full((1,) * factors, -FAR), np.full((1,) * factors, FAR)
    return Reach(*ends, (0,) * factors, span)


def union(left: Reach, right: Reach, sizes: Sequence[int]) -> Reach:
    """What both read together; the two have the same factors, of these sizes."""
    if left.everywhere or right.everywhere:
        return left if left.everywhere else right
    left, right = harmonised([left, right], sizes)
    low, high = np.minimum(left.low, right.low), np.maximum(left.high, right.high)
    joined = replace(left, low=low, high=high).settled(0)
    for factor in range(low.ndim):
        joined = joined.compact(factor)
    return joined


def harmonised(reaches: Sequence[Reach], sizes: Sequence[int], but: int = -1) -> list[Reach]:
    """The same reaches with the same period and advance along each factor, all ``but`` one.

    Where one moves faster than another, all become tables.
    """
    result = list(reaches)
    for factor, size in enumerate(sizes):
        if factor != but:
            result = _harmonised(result, factor, size)
    return result


def _harmonised(reaches: list[Reach], factor: int, size: int) -> list[Reach]:
    firm = [one for one in reaches if (np.abs(one.low) < FAR).any()]
    paces = {Fraction(one.advance[factor], one.period(factor)) for one in firm}
    if len(paces) > 1:
        reaches = [one.tabulated(factor, size) for one in reaches]
        firm = reaches
    if all(one.ignores(factor) for one in reaches):
        return reaches
    period = lcm(*(one.period(factor) for one in reaches))
    if period > LIMIT:
        raise NotFollowed
    pattern = firm[0] if firm else reaches[0]
    advance = pattern.advance[factor] * (period // pattern.period(factor))
    places = np.arange(period)
    return [one._with(factor, one.at(factor, places), advance) for one in reaches]  # noqa: SLF001


def concatenated(reaches: Sequence[Reach], factor: int, sizes: Sequence[int]) -> Reach:
    """Side by side along a factor; the other factors are in harmony already."""
    if all(one.ignores(factor) and same(one, reaches[0]) for one in reaches):
        return reaches[0]
    tables = [one.at(factor, np.arange(size)) for one, size in zip(reaches, sizes, strict=True)]
    low = np.concatenate([table[0] for table in tables], axis=factor)
    high = np.concatenate([table[1] for table in tables], axis=factor)
    return reaches[0]._with(factor, (low, high)).compact(factor)  # noqa: SLF001


def same(left: Reach, right: Reach) -> bool:
    """Whether all elements read the same."""
    equal = np.array_equal(left.low, right.low) and np.array_equal(left.high, right.high)
    return equal and left.advance == right.advance


def _least(pixels: Pixels, factor: int, unread: npt.NDArray[np.bool_], far: int) -> Pixels:
    """The least over the taps of each place; ``far`` where nothing is read."""
    last = np.moveaxis(pixels, factor, -1)
    last = last.reshape(*last.shape[:-1], *unread.shape)
    least = np.where(unread, far, last).min(axis=-1)
    merged: Pixels = np.moveaxis(least.reshape(*least.shape[:-2], -1), -1, factor)
    return merged


def _repeats(ends: Pixels, factor: int, short: int, step: int) -> bool:
    last = np.moveaxis(ends, factor, -1)
    return np.array_equal(last[..., short:], _moved(last[..., :-short], step))


def _primes(number: int) -> list[int]:
    found, prime = [], 2
    while number > 1:
        if number % prime == 0:
            found.append(prime)
            while number % prime == 0:
                number //= prime
        prime += 1
    return found
