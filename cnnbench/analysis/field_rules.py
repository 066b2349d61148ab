"""What the elements of a result read of an operand: a rule per kind of operator.

A rule takes the operand, the shape of the result and the operator's other arguments, in which an
``Operand`` stands for each tensor. ``field_table`` says which operator has which rule.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnbench.analysis import stencils
from cnnbench.analysis.reach import Stencil
from cnnbench.analysis.tracked import Tracked, joined, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


Shape = tuple[int, ...]


class Operand(NamedTuple):
    """A tensor among the arguments; ``tracked`` is ``None`` for a constant."""

    shape: tuple[int, ...]
    tracked: Tracked | None


def _full(values: Any, axes: int) -> tuple[Any, ...]:
    items = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    return items * axes if len(items) == 1 else items


def _dims(dims: Any, count: int) -> list[int]:
    """Axes as an argument names them; without a name, all."""
    if dims is None or isinstance(dims, bool) or dims in ([], ()):
        return list(range(count))
    return sorted({dim % count for dim in _full(dims, 1)})


def same(source: Tracked, *_: Any) -> Tracked:
    """Each element reads itself."""
    return source


def convolution(
    source: Tracked, out: Shape, weight: Operand, bias: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool = False, output_padding: Any = (), groups: int = 1, *_: Any,
) -> Tracked:  # fmt: skip
    """A window of positions, and all channels of its group."""
    del bias, output_padding
    kernel = weight.shape[2:]
    axes = len(kernel)
    channels = len(out) - axes - 1
    result = source.grouped(channels, groups, out[channels])
    kind = stencils.transposed if transposed else stencils.window
    steps = zip(
        kernel, _full(stride, axes), _full(padding, axes), _full(dilation, axes), strict=True
    )
    for dim, (taps, step, margin, apart) in enumerate(steps, channels + 1):
        sizes = (source.shape[dim], out[dim])
        result = result.through(dim, kind(sizes, taps, step, margin, apart))
    return result


def pool(
    axes: int, source: Tracked, out: Shape, kernel: Any, stride: Any = (), padding: Any = 0,
    dilation: Any = 1, *_: Any,
) -> Tracked:  # fmt: skip
    """A window of positions."""
    sizes = _full(kernel, axes)
    steps = zip(
        sizes,
        _full(stride or sizes, axes),
        _full(padding, axes),
        _full(dilation, axes),
        strict=True,
    )
    result = source
    for dim, (taps, step, margin, apart) in enumerate(steps, len(out) - axes):
        whole = (source.shape[dim], out[dim])
        result = result.through(dim, stencils.window(whole, taps, step, margin, apart))
    return result


def average_pool(
    axes: int, source: Tracked, out: Shape, kernel: Any, stride: Any = (), padding: Any = 0, *_: Any
) -> Tracked:
    """The same; what follows the padding is no dilation."""
    return pool(axes, source, out, kernel, stride, padding)


def adaptive_pool(axes: int, source: Tracked, out: Shape, *_: Any) -> Tracked:
    """Windows that share a map; a single one reads everything."""
    result = source
    for dim in range(len(out) - axes, len(out)):
        sizes = (source.shape[dim], out[dim])
        if sizes[1] == 1:
            result = result.mixed([dim]).resized(dim, 1)
        elif sizes[0] != sizes[1]:
            result = result.through(dim, stencils.adaptive(sizes))
    return result


def resize(
    axes: int, kind: Callable[..., Stencil], source: Tracked, out: Shape, target: Any, *rest: Any
) -> Tracked:
    """``rest`` are whether corners are aligned, for all kinds but the nearest, and scales."""
    del target
    align = {"align": bool(rest[0])} if rest and isinstance(rest[0], bool) else {}
    scales = [*rest[1 if align else 0 :], *[None] * axes]
    result = source
    for dim, scale in zip(range(len(out) - axes, len(out)), scales, strict=False):
        sizes = (source.shape[dim], out[dim])
        if sizes[0] == sizes[1] and scale in (None, 1.0):
            continue
        ratio = Fraction(1 / scale).limit_denominator(1000) if scale else Fraction(*sizes)
        if align.get("align"):
            ratio = stencils.corners(sizes)
        result = result.through(dim, kind(sizes, ratio, **align))
    return result


def antialiased(sizes: Any, ratio: Fraction, *, align: bool, reach: int) -> Stencil:
    """``stencils.antialiased``, for which aligned corners only change the ratio."""
    del align
    return stencils.antialiased(sizes, ratio, reach)


def batch_norm(
    source: Tracked, out: Shape, weight: Any, bias: Any, mean: Any = None, var: Any = None,
    training: Any = True, *_: Any,
) -> Tracked:  # fmt: skip
    """Statistics of the batch end every field, unless inference has running ones instead."""
    del weight, bias, var
    if not training or isinstance(mean, Operand) or mean is False:
        return source
    return source.mixed(dim for dim in range(len(out)) if dim != 1)


def layer_norm(source: Tracked, out: Shape, normalized: Sequence[int], *_: Any) -> Tracked:
    """Statistics over the last axes."""
    return source.mixed(range(len(out) - len(normalized), len(out)))


def group_norm(
    source: Tracked, out: Shape, weight: Any, bias: Any, batch: int, channels: int, positions: int,
    groups: int, *_: Any,
) -> Tracked:  # fmt: skip
    """Statistics over positions and the channels of a group."""
    del weight, bias, batch, positions
    mixed = source.mixed(range(2, len(out)))
    if groups == 1 or mixed.ignores(1):
        return mixed.mixed([1])
    return mixed.grouped(1, groups, groups).through(
        1, stencils.nearest((groups, channels), Fraction(groups, channels))
    )


def along(source: Tracked, out: Shape, dim: Any = -1, *_: Any) -> Tracked:
    """Every place along an axis reads all of them."""
    return source.mixed(_dims(dim, len(out)))


def top(source: Tracked, out: Shape, count: int, dim: int = -1, *_: Any) -> Tracked:
    """The largest along an axis may be anywhere."""
    del count
    return source.mixed(_dims(dim, len(out))).resized(dim % len(out), out[dim])


def transformed(source: Tracked, out: Shape, dims: Any, *_: Any) -> Tracked:
    """A Fourier transform mixes its axes."""
    result = source.mixed(_dims(dims, len(out)))
    for dim in _dims(dims, len(out)):
        result = result.resized(dim, out[dim])
    return result


def reduced(source: Tracked, out: Shape, dims: Any = None, *_: Any) -> Tracked:
    """Sums, means and extremes over axes."""
    gone = _dims(dims, len(source.dims))
    result = source.mixed(gone)
    for dim in reversed(gone):
        result = result.resized(dim, 1)
        if len(out) != len(source.dims):
            result = result.removed(dim)
    return result


def norm(source: Tracked, out: Shape, order: Any = 2, dims: Any = None, *_: Any) -> Tracked:
    """The same, after the order of the norm."""
    del order
    return reduced(source, out, dims)


def glu(source: Tracked, out: Shape, dim: int = -1) -> Tracked:
    """One half of the channels gates the other."""
    dim %= len(out)
    sizes = (source.shape[dim], out[dim])
    halves = [source.through(dim, stencils.shifted(sizes, by)) for by in (0, out[dim])]
    return joined(halves, out)


def cut(
    source: Tracked, out: Shape, dim: int = 0, first: int | None = None, last: int | None = None,
    step: int = 1,
) -> Tracked:  # fmt: skip
    """A slice."""
    dim %= len(out)
    size = source.shape[dim]
    begin = slice(first, last, step).indices(size)[0]
    return source.through(dim, stencils.shifted((size, out[dim]), begin, step))


def select(source: Tracked, out: Shape, dim: int, place: int) -> Tracked:
    """One place of an axis."""
    del out
    dim %= len(source.dims)
    return source.removed(dim, place % source.shape[dim])


def flip(source: Tracked, out: Shape, dims: Sequence[int]) -> Tracked:
    """From the other end."""
    result = source
    for dim in _dims(list(dims), len(out)) if dims else ():
        result = result.through(dim, stencils.shifted((out[dim],) * 2, out[dim] - 1, -1))
    return result


def roll(source: Tracked, out: Shape, shifts: Any, dims: Any = ()) -> Tracked:
    """A rotation is a shift by the shorter way, and its seam a border."""
    if not dims and len(out) > 1:
        return unknown(out, len(source.reaches))
    result = source
    for shift, dim in zip(_full(shifts, 1), _full(dims or 0, 1), strict=True):
        size = out[dim]
        by = -shift % size
        if source.moves(dim % len(out)):
            stencil = stencils.shifted((size, size), by - size if 2 * by > size else by)
        else:
            stencil = Stencil(tuple(((i + by) % size,) for i in range(size)), size, (size, size))
        result = result.through(dim % len(out), stencil)
    return result


def pad(source: Tracked, out: Shape, margins: Sequence[int], *_: Any) -> Tracked:
    """Padding of any kind, or cropping; margins from the last axis on."""
    result = source
    for place, before in enumerate(margins[::2], 1):
        dim = len(out) - place
        result = result.through(dim, stencils.shifted((source.shape[dim], out[dim]), -before))
    return result


def repeat(source: Tracked, out: Shape, repeats: Sequence[int]) -> Tracked:
    """Repeated along axes whose place does not matter."""
    result = source
    while len(result.dims) < len(out):
        result = result.inserted(0)
    for dim, times in enumerate(repeats):
        if times != 1:
            result = result.resized(dim, out[dim])
    return result


def chosen(source: Tracked, out: Shape, dim: int, index: Any) -> Tracked:
    """By indices, whose values are not known: the axis must not matter."""
    del index
    return source.resized(dim % len(out), out[dim])


def indexed(source: Tracked, out: Shape, indices: Sequence[Operand | None]) -> Tracked:
    """By one tensor of indices, whose values are not known: the axis must not matter."""
    given = [(dim, index) for dim, index in enumerate(indices) if index is not None]
    if len(given) != 1:
        return unknown(out, len(source.reaches))
    dim, index = given[0]
    chosen = source.resized(dim, 1)
    while len(chosen.dims) > len(out):
        chosen = chosen.removed(dim)
    while len(chosen.dims) < len(out):
        chosen = chosen.inserted(dim)
    for place, size in enumerate(index.shape):
        chosen = chosen.resized(dim + place, size)
    return chosen


def unfold(source: Tracked, out: Shape, dim: int, size: int, step: int) -> Tracked:
    """Windows as an axis of their own."""
    dim %= len(source.dims)
    sizes = (source.shape[dim], out[dim])
    taps = [stencils.shifted(sizes, tap, step) for tap in range(size)]
    whole = source.windowed(dim, taps)
    return whole.permuted([i for i in range(len(whole.dims)) if i != dim + 1] + [dim + 1])


def im2col(
    source: Tracked, out: Shape, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> Tracked:
    """Windows of a map as columns."""
    result, first = source, len(source.dims) - 2
    for axis in (1, 0):
        size = source.shape[first + axis]
        taps, apart, margin, step = (
            _full(value, 2)[axis] for value in (kernel, dilation, padding, stride)
        )
        count = (size + 2 * margin - apart * (taps - 1) - 1) // step + 1
        result = result.windowed(
            first + axis,
            [stencils.shifted((size, count), tap * apart - margin, step) for tap in range(taps)],
        )
    places = [first, first + 2, first + 1, first + 3]
    order = [*range(first), places[2], places[3], places[0], places[1]]
    return result.permuted(order).reshaped(out)


def pixel_shuffle(source: Tracked, out: Shape, factor: int) -> Tracked:
    """Channels become positions."""
    *rest, channels, height, width = source.shape
    split = (*rest, channels // factor**2, factor, factor, height, width)
    k = len(rest)
    order = [*range(k + 1), k + 3, k + 1, k + 4, k + 2]
    return source.reshaped(split).permuted(order).reshaped(out)


def pixel_unshuffle(source: Tracked, out: Shape, factor: int) -> Tracked:
    """Positions become channels."""
    *rest, channels, height, width = source.shape
    split = (*rest, channels, height // factor, factor, width // factor, factor)
    k = len(rest)
    order = [*range(k + 1), k + 2, k + 4, k + 1, k + 3]
    return source.reshaped(split).permuted(order).reshaped(out)


def channel_shuffle(source: Tracked, out: Shape, groups: int) -> Tracked:
    """Channels of groups take turns."""
    batch, channels, *rest = source.shape
    split = source.reshaped((batch, groups, channels // groups, *rest))
    return split.permuted([0, 2, 1, *range(3, len(rest) + 3)]).reshaped(out)


def view(source: Tracked, out: Shape, *_: Any) -> Tracked:
    """Another shape."""
    return source.reshaped(out)


def unsqueeze(source: Tracked, out: Shape, dim: int) -> Tracked:
    """One more axis."""
    return source.inserted(dim % len(out))


def squeeze(source: Tracked, out: Shape, dims: Any = None) -> Tracked:
    """Without axes of size 1."""
    del out
    result = source
    for dim in reversed(_dims(dims, len(source.dims))):
        if source.shape[dim] == 1:
            result = result.removed(dim)
    return result


def permute(source: Tracked, out: Shape, dims: Sequence[int]) -> Tracked:
    """Axes in another order."""
    return source.permuted([dim % len(out) for dim in dims])


def transpose(source: Tracked, out: Shape, first: int = 0, second: int = 1) -> Tracked:
    """Two axes exchanged."""
    order = list(range(len(out)))
    if len(out) > 1:
        order[first], order[second] = order[second], order[first]
    return source.permuted(order)


def expand(source: Tracked, out: Shape, *_: Any) -> Tracked:
    """Broadcast."""
    return source.expanded(out)


def restrided(source: Tracked, out: Shape, *_: Any) -> Tracked:
    """Other strides: the same elements if there is one axis and all of it is kept."""
    same_line = out == source.shape and sum(size > 1 for size in out) <= 1
    return source if same_line else unknown(out, len(source.reaches))


def recurrent(source: Tracked, out: Shape, *_: Any) -> Tracked:
    """Time first; the state carries everything on."""
    return source.mixed([0, 2]).resized(2, out[2])


def encoder(source: Tracked, *_: Any) -> Tracked:
    """A transformer layer: all tokens and channels."""
    return source.mixed([1, 2])
