"""Tensors put together: side by side along an axis, or written into a part of another one."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from cnnbench.analysis import reach as reaching
from cnnbench.analysis.reach import NotFollowed, Reach, Stencil
from cnnbench.analysis.tracked import Tracked, aligned, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence


def concatenated(parts: Sequence[Tracked | None], dim: int, sizes: Sequence[int]) -> Tracked:
    """Side by side along an axis; a part that is ``None`` is a constant."""
    parts = [part for part, size in zip(parts, sizes, strict=True) if size]
    sizes = [size for size in sizes if size]
    known = [part.fused(dim) for part in parts if part is not None]
    shape = (*known[0].shape[:dim], sum(sizes), *known[0].shape[dim + 1 :])
    axes = {len(part.reaches) for part in known}
    if len(axes) > 1:
        return unknown(shape, max(axes))
    pattern = known[0]
    for part in known[1:]:
        pattern = aligned(pattern, part, but=dim)[0]
    known = [aligned(pattern, part, but=dim)[1] for part in known]
    dims = (*pattern.dims[:dim], (shape[dim],), *pattern.dims[dim + 1 :])
    factor = sum(map(len, dims[:dim]))
    starts = [0, *accumulate(sizes)]
    places = [start for start, part in zip(starts, parts, strict=False) if part is not None]
    columns = zip(*(part.reaches for part in known), strict=True)
    margins = any(part.moves(dim) for part in known)
    row = _Row(Tracked(dims, ()).factors, factor, tuple(sizes), tuple(places), margins)
    return Tracked(dims, tuple(row.beside(column) for column in columns))


class _Row(NamedTuple):
    """Parts side by side.

    Attributes:
        factors: of the result.
        factor: along which.
        sizes: of all parts along it.
        starts: of those that are no constants.
        margins: whether constants are margins of a map, so that they are borders.
    """

    factors: tuple[int, ...]
    factor: int
    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    margins: bool

    def beside(self, parts: Sequence[Reach | None]) -> Reach | None:
        """What the parts read together."""
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        try:
            even = reaching.harmonised(known, self.factors, but=self.factor)
            moving = any(part.advance[self.factor] for part in even)
            return self._moving(even) if moving else self._still(even)
        except NotFollowed:
            return None

    def _still(self, parts: list[Reach]) -> Reach:
        if (
            self.margins
            and parts[0].ignores(self.factor)
            and all(reaching.same(part, parts[0]) for part in parts)
        ):
            return parts[0]
        every, known = [], iter(zip(parts, self.starts, strict=True))
        part, start = next(known)
        place = 0
        for size in self.sizes:
            if place == start:
                every.append(part)
                part, start = next(known, (part, -1))
            else:
                every.append(reaching.nothing(parts[0]))
            place += size
        return reaching.concatenated(every, self.factor, self.sizes)

    def _moving(self, parts: list[Reach]) -> Reach:
        """Parts that continue each other; beside constants, as a picture in its padding."""
        total = sum(self.sizes)
        moved = [
            part.through(self.factor, Stencil(((-start,),), 1, (total, total)))
            for part, start in zip(parts, self.starts, strict=True)
        ]
        if not all(reaching.same(part, moved[0]) for part in moved):
            raise NotFollowed
        return moved[0]


def written(
    base: Tracked | None, shape: Sequence[int], part: Tracked | None, size: Sequence[int],
    starts: Sequence[int],
) -> Tracked | None:  # fmt: skip
    """A tensor of some shape after a part of some size was written; ``None`` is a constant."""
    cut = [dim for dim in range(len(size)) if size[dim] != shape[dim]]
    if base is None or not cut:
        result = part
        for dim in cut:
            rest = shape[dim] - starts[dim] - size[dim]
            if result is not None:
                sizes = (starts[dim], size[dim], rest)
                result = concatenated([None, result, None], dim, sizes)
        return result
    if part is not None and all(base.moves(dim) for dim in cut) and _is_border(base, part, cut):
        return base
    if len(cut) > 1:
        return unknown(shape, len(base.reaches))
    dim = cut[0]
    return _overwritten(base, part, dim, (starts[dim], size[dim]))


def _overwritten(base: Tracked, part: Tracked | None, dim: int, place: tuple[int, int]) -> Tracked:
    total, (start, size) = base.shape[dim], place
    sizes = (start, size, total - start - size)
    ends = [
        base.through(dim, Stencil(((begin,),), 1, (total, length))) if length else None
        for begin, length in ((0, sizes[0]), (start + size, sizes[2]))
    ]
    return concatenated([ends[0], part, ends[1]], dim, sizes)


def _is_border(base: Tracked, part: Tracked, cut: Sequence[int]) -> bool:
    """Whether a part is a margin of a map, as circular padding writes it."""
    pairs = zip(base.reaches, part.reaches, strict=False)
    no_wider = all(
        old and new and new.widest(part.factors) <= old.widest(base.factors) for old, new in pairs
    )
    return no_wider and all(2 * part.shape[dim] < base.shape[dim] for dim in cut)
