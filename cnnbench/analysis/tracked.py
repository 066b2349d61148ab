"""A tensor whose elements are followed back to the input: its axes as factors, and what they read.

Reshaping keeps factors apart for as long as it can, so that a pixel shuffle, windows of attention
or a map flattened to tokens and back lose nothing. Only an operator that needs one index along an
axis fuses its factors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from cnnbench.analysis import reach as reaching
from cnnbench.analysis.reach import NotFollowed, Reach, Stencil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Shape = Sequence[int]


@dataclass(frozen=True, eq=False, slots=True)
class Tracked:
    """What the elements of one tensor read.

    Attributes:
        dims: the factors of each of its axes; an axis of size 1 has one factor.
        reaches: per axis of the input; ``None`` where it cannot be followed.
    """

    dims: tuple[tuple[int, ...], ...]
    reaches: tuple[Reach | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's own."""
        return tuple(map(prod, self.dims))

    @property
    def factors(self) -> tuple[int, ...]:
        """The sizes of all factors, axis by axis."""
        return tuple(size for dim in self.dims for size in dim)

    def _first(self, dim: int) -> int:
        return sum(map(len, self.dims[:dim]))

    def _of(self, dim: int) -> range:
        first = self._first(dim)
        return range(first, first + len(self.dims[dim]))

    def each(self, change: Callable[[Reach], Reach]) -> tuple[Reach | None, ...]:
        """Every reach changed; one that cannot be followed stays unknown."""
        return tuple(map(_tried(change), self.reaches))

    def _dims(self, dim: int, *new: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return (*self.dims[:dim], *new, *self.dims[dim + 1 :])

    def ignores(self, dim: int) -> bool:
        """Whether the place along an axis does not matter for what is read."""
        factors = self._of(dim)
        return all(one is not None and all(one.ignores(f) for f in factors) for one in self.reaches)

    def moves(self, dim: int) -> bool:
        """Whether the elements along an axis are positions in the input."""
        factors = self._of(dim)
        return any(one is not None and any(one.advance[f] for f in factors) for one in self.reaches)

    def permuted(self, order: Sequence[int]) -> Tracked:
        """Axes in another order."""
        factors = [factor for dim in order for factor in self._of(dim)]
        return Tracked(
            tuple(self.dims[dim] for dim in order), self.each(lambda one: one.permuted(factors))
        )

    def inserted(self, dim: int) -> Tracked:
        """One more axis, of size 1."""
        first = self._first(dim)
        dims = (*self.dims[:dim], (1,), *self.dims[dim:])
        return Tracked(dims, self.each(lambda one: one.inserted(first)))

    def removed(self, dim: int, place: int = 0) -> Tracked:
        """Without an axis: only what is at one place of it."""
        fixed = self.fixed(dim, place)
        first = fixed._first(dim)  # noqa: SLF001
        return Tracked(fixed._dims(dim), fixed.each(lambda one: one.dropped(first)))  # noqa: SLF001

    def fixed(self, dim: int, place: int = 0) -> Tracked:
        """What is at one place of an axis, whose size is then 1."""
        whole = self.fused(dim)
        first = self._first(dim)
        return Tracked(whole._dims(dim, (1,)), whole.each(lambda one: one.fixed(first, place)))  # noqa: SLF001

    def fused(self, dim: int) -> Tracked:
        """An axis as one factor."""
        result = self
        while len(result.dims[dim]) > 1:
            result = result._fused(dim, 0)
        return result

    def _fused(self, dim: int, place: int) -> Tracked:
        """Two neighbouring factors of an axis as one."""
        sizes = self.dims[dim]
        outer, inner = sizes[place : place + 2]
        factor = self._first(dim) + place

        def change(one: Reach) -> Reach:
            # A factor of size 1 would only get in the way.
            if outer == 1:
                return one.fixed(factor, 0).dropped(factor)
            if inner == 1:
                return one.fixed(factor + 1, 0).dropped(factor + 1)
            return one.fused(factor, inner)

        new = (*sizes[:place], outer * inner, *sizes[place + 2 :])
        return Tracked(self._dims(dim, new), self.each(change))

    def _split(self, dim: int, place: int, inner: int) -> Tracked:
        sizes = self.dims[dim]
        factor = self._first(dim) + place
        new = (*sizes[:place], sizes[place] // inner, inner, *sizes[place + 1 :])
        return Tracked(self._dims(dim, new), self.each(lambda one: one.split(factor, inner)))

    def mixed(self, dims: Iterable[int]) -> Tracked:
        """Every element along these axes reads what all of them read."""
        factors, sizes = [f for dim in dims for f in self._of(dim)], self.factors

        def change(one: Reach) -> Reach:
            for factor in factors:
                one = one.mixed(factor, sizes[factor])
            return one

        return replace(self, reaches=self.each(change))

    def resized(self, dim: int, size: int) -> Tracked:
        """Another number of elements along an axis whose place does not matter."""
        whole = self.fused(dim)
        first = self._first(dim)

        def change(one: Reach) -> Reach:
            if not one.ignores(first):
                raise NotFollowed
            return one

        return Tracked(whole._dims(dim, (size,)), whole.each(change))  # noqa: SLF001

    def through(self, dim: int, stencil: Stencil) -> Tracked:
        """What a result reads that reads an axis through a stencil."""
        whole = self.fused(dim)
        first = self._first(dim)
        dims = whole._dims(dim, (stencil.sizes[1],))  # noqa: SLF001
        return Tracked(dims, whole.each(lambda one: one.through(first, stencil)))

    def windowed(self, dim: int, stencils: Sequence[Stencil]) -> Tracked:
        """An axis as places, followed by an axis of taps; one stencil per tap."""
        whole = self.fused(dim)
        first = self._first(dim)
        dims = whole._dims(dim, (stencils[0].sizes[1],), (len(stencils),))  # noqa: SLF001
        return Tracked(dims, whole.each(lambda one: one.windowed(first, stencils)))

    def grouped(self, dim: int, groups: int, size: int) -> Tracked:
        """Mixed within each of some groups along an axis, which then has another size."""
        if groups == 1 or self.ignores(dim):
            return self.mixed([dim]).resized(dim, size)
        whole = self.fused(dim)
        parts = whole._split(dim, 0, whole.dims[dim][0] // groups)  # noqa: SLF001
        shape = (*parts.shape[:dim], groups, parts.shape[dim] // groups, *parts.shape[dim + 1 :])
        mixed = parts.reshaped(shape).mixed([dim + 1]).resized(dim + 1, size // groups)
        return mixed.reshaped((*shape[:dim], size, *shape[dim + 2 :]))

    def reshaped(self, shape: Shape) -> Tracked:
        """The same elements in the same order under another shape."""
        if tuple(shape) == self.shape:
            return self
        if 0 in shape:
            return unknown(shape, len(self.reaches))
        # All factors as if of one axis, from which the new axes are cut off from the left.
        rest = Tracked((self.factors,), self.reaches)
        dims: list[tuple[int, ...]] = []
        place = 0
        for size in shape:
            rest, end = _cut(rest, place, size)
            dims.append(rest.dims[0][place:end])
            place = end
        whole = Tracked((*dims, rest.dims[0][place:]), rest.reaches)
        for dim in range(len(dims)):
            whole = whole._tidy(dim)
        while whole.dims[-1]:
            # Left over are factors of size 1.
            whole = Tracked(
                (*whole.dims[:-1], whole.dims[-1][1:], whole.dims[-1][:1]), whole.reaches
            )
            whole = _without_last_one(whole)
        return Tracked(whole.dims[:-1], whole.reaches)

    def _tidy(self, dim: int) -> Tracked:
        """Factors of size 1 only where an axis has no other."""
        result = self
        while len(result.dims[dim]) > 1 and 1 in result.dims[dim]:
            place = result.dims[dim].index(1)
            result = result._fused(dim, max(place - 1, 0))
        return result

    def expanded(self, shape: Shape) -> Tracked:
        """Broadcast to a shape."""
        result = self
        while len(result.dims) < len(shape):
            result = result.inserted(0)
        for dim, size in enumerate(shape):
            if size != 1 and result.dims[dim] == (1,):
                result = result.fixed(dim).resized(dim, size)
        return result


def _tried(change: Callable[[Reach], Reach]) -> Callable[[Reach | None], Reach | None]:
    def tried(one: Reach | None) -> Reach | None:
        try:
            return change(one) if one is not None else None
        except NotFollowed:
            return None

    return tried


def _without_last_one(whole: Tracked) -> Tracked:
    last = len(whole.factors) - 1
    return Tracked(whole.dims[:-1], whole.each(lambda one: one.fixed(last, 0).dropped(last)))


def _cut(rest: Tracked, place: int, size: int) -> tuple[Tracked, int]:
    """Factors split and fused until some of them, from ``place`` on, have this product."""
    end, left = place, size
    if left == 1 and not (end < len(rest.dims[0]) and rest.dims[0][end] == 1):
        inserted = rest.each(lambda one: one.inserted(end))
        return Tracked(((*rest.dims[0][:end], 1, *rest.dims[0][end:]),), inserted), end + 1
    if left == 1:
        return rest, end + 1
    while left > 1:
        factor = rest.dims[0][end]
        if left % factor == 0:
            left //= factor
            end += 1
        elif factor % left == 0:
            rest = rest._split(0, end, factor // left)  # noqa: SLF001
        else:
            rest = rest._fused(0, end)  # noqa: SLF001
    return rest, end


def unknown(shape: Shape, axes: int) -> Tracked:
    """A tensor that reads something of the input, but what cannot be said."""
    return Tracked(tuple((size,) for size in shape), (None,) * axes)


def begin(shape: Shape, first: int) -> Tracked:
    """An input whose spatial axes begin at ``first``."""
    spatial = range(first, len(shape))
    return Tracked(
        tuple((size,) for size in shape),
        tuple(reaching.start(shape[axis], axis, len(shape)) for axis in spatial),
    )


def ended(operands: Sequence[Tracked], shape: Shape) -> Tracked:
    """Where only an end of all fields is certain: everything if one reads it, or not known."""
    axes = {len(operand.reaches) for operand in operands}
    if len(axes) > 1:
        return unknown(shape, max(axes))
    columns = zip(*(operand.reaches for operand in operands), strict=True)
    ends = (next((one for one in column if one and one.everywhere), None) for column in columns)
    reaches = tuple(one and reaching.everything(one.span, len(shape)) for one in ends)
    return Tracked(tuple((size,) for size in shape), reaches)


def joined(operands: Sequence[Tracked], shape: Shape) -> Tracked:
    """Element by element, after broadcasting."""
    result = operands[0].expanded(shape)
    for operand in operands[1:]:
        if operand is operands[0]:
            continue
        left, right = aligned(result, operand.expanded(shape))
        result = Tracked(left.dims, _pairs(left, right))
    return result


def aligned(left: Tracked, right: Tracked, but: int = -1) -> tuple[Tracked, Tracked]:
    """The same axes with the same factors, all ``but`` one."""
    for dim in range(len(left.dims)):
        if dim != but and left.dims[dim] != right.dims[dim]:
            left, right = _refined(left, right, dim)
    return left, right


def _refined(left: Tracked, right: Tracked, dim: int) -> tuple[Tracked, Tracked]:
    place = 0
    while left.dims[dim] != right.dims[dim]:
        ours, theirs = left.dims[dim][place], right.dims[dim][place]
        if ours == theirs:
            place += 1
        elif ours % theirs == 0:
            left = left._split(dim, place, ours // theirs)  # noqa: SLF001
        elif theirs % ours == 0:
            right = right._split(dim, place, theirs // ours)  # noqa: SLF001
        else:
            return left.fused(dim), right.fused(dim)
    return left, right


def _pairs(left: Tracked, right: Tracked) -> tuple[Reach | None, ...]:
    if len(left.reaches) != len(right.reaches):
        return (None,) * max(len(left.reaches), len(right.reaches))
    pairs = zip(left.reaches, right.reaches, strict=True)
    return tuple(_pair(ours, theirs, left.factors) for ours, theirs in pairs)


def _pair(left: Reach | None, right: Reach | None, sizes: Shape) -> Reach | None:
    for one in (left, right):
        if one is not None and one.everywhere:
            return one
    if left is None or right is None:
        return None
    try:
        return reaching.union(left, right, sizes)
    except NotFollowed:
        return None
