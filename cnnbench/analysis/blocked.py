"""Memory that a CPU holds inside of a convolution: copies in blocks of channels, columns of images.

Measured through the allocator's own events (torch 2.14, oneDNN 3.12, x86, AVX-512, one thread). In
oneDNN a convolution copies its input, weight and result to blocks of 16 channels (of 8 or 4 where
groups are no multiples of 16) and its result back. What has no blocks is multiplied as a matrix of
columns: groups of other sizes, depthwise layers that multiply channels, gradients of weights in
groups below 8 and of wide kernels. Without oneDNN torch itself unfolds small single images and
multiplies 1x1 kernels. ``None`` stands for what is not known.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_BLOCK = 16
_FLOAT = 4
# Below, torch runs a single ungrouped image without oneDNN, and from this batch on a 1x1 kernel
# with it (ATen/native/Convolution.cpp, use_mkldnn, on one thread).
_SMALL_IMAGE, _POINTWISE_BATCH = 20480, 16
# Wider kernels have no blocked gradient of the weight.
_WIDEST = {torch.float32: 14, torch.bfloat16: 20}
# Columns of a forward pass are made for as much of an image as the cache of a core takes.
_CACHE = 900_000


class _Sizes(NamedTuple):
    """A convolution of two or three spatial axes: its large activation, its weight, its result."""

    source: Tensor
    weight: Tensor
    result: Tensor
    stride: Sequence[int]
    padding: Sequence[int]
    groups: int
    flat: bool

    @property
    def depthwise(self) -> bool:
        return self.groups == self.source.shape[1] == self.weight.shape[0]

    @property
    def block(self) -> int:
        """Channels in a block, 0 where there are no blocks."""
        if self.groups == 1 or self.depthwise:
            return _BLOCK
        inner, outer = self.weight.shape[1], self.weight.shape[0] // self.groups
        return next((size for size in (16, 8, 4) if inner % size == outer % size == 0), 0)

    @property
    def strided(self) -> bool:
        return any(step > 1 for step in self.stride)

    @property
    def sampled(self) -> int:
        """Bytes of the elements of an image that a 1x1 kernel with a stride reads."""
        if self.groups > 1 or self.taps > 1 or not self.strided:
            return 0
        return self.source.nbytes // self.source.shape[0] // prod(self.stride)

    @property
    def summed(self) -> int:
        """Bytes of sums in float32 that a 1x1 kernel keeps of an image in lower precision."""
        pointwise = self.lower and self.groups == self.taps == 1
        return _FLOAT * self.result.numel() // self.result.shape[0] if pointwise else 0

    @property
    def taps(self) -> int:
        return prod(self.weight.shape[2:])

    def columns(self, itemsize: int) -> int:
        """Bytes of one group and image unfolded."""
        return self.weight.shape[1] * self.taps * prod(self.result.shape[2:]) * itemsize

    @property
    def lower(self) -> bool:
        return self.source.dtype is torch.bfloat16


def _sizes(
    source: Tensor,
    weight: Tensor,
    result: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
) -> _Sizes:
    """One spatial axis is two of which the first has one element."""
    flat = source.dim() == 3
    if flat:
        source, weight, result = (one.unsqueeze(2) for one in (source, weight, result))
        stride, padding = (1, *stride), (0, *padding)
    return _Sizes(source, weight, result, stride, padding, groups, flat)


def _modelled(sizes: _Sizes, transposed: bool) -> bool:
    """Whether it is known: no groups or few channels in space and time, nor strides in groups."""
    source, weight = sizes.source, sizes.weight
    if transposed or source.dtype not in _WIDEST or source.dim() != weight.dim():
        return False
    if source.dim() == 5:
        wide = min(weight.shape[:2]) >= _BLOCK or weight.shape[1] <= 3
        return sizes.groups == 1 and (wide or _multiplied(sizes))
    blocked = sizes.block and sizes.taps > 1
    return sizes.groups == 1 or sizes.depthwise or not sizes.strided or bool(blocked)


def _filled(channels: int, block: int = _BLOCK) -> int:
    """A number of channels filled up to whole blocks."""
    return -(-channels // block) * block


def _padded(tensor: Tensor, block: int = _BLOCK) -> int:
    """Bytes with the channels filled up to blocks."""
    channels = tensor.shape[1]
    return tensor.nbytes // channels * _filled(channels, block)


def _padded_weight(weight: Tensor, inner: int, outer: int = _BLOCK) -> int:
    """Bytes of an ungrouped weight in blocks of ``outer`` results and ``inner`` sources."""
    blocks = _filled(weight.shape[1], inner) * _filled(weight.shape[0], outer)
    return weight.nbytes // (weight.shape[0] * weight.shape[1]) * blocks


def _layout(tensor: Tensor) -> torch.memory_format:
    """Channels last where the strides say so, as torch suggests it."""
    if tensor.is_contiguous():
        return torch.contiguous_format
    strides = tensor.stride()
    last = torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d
    return last if strides[1] == 1 and strides[0] >= strides[2] else torch.contiguous_format


def _common_layout(sizes: _Sizes) -> torch.memory_format:
    """The layout in which a convolution is done; along one axis it is always the same."""
    if sizes.flat:
        return torch.contiguous_format
    first = _layout(sizes.source)
    return _layout(sizes.weight) if first is torch.contiguous_format else first


def _laid_out(layout: torch.memory_format, *tensors: Tensor) -> int:
    """Bytes of copies of the tensors that have another layout."""
    return sum(one.nbytes for one in tensors if not one.is_contiguous(memory_format=layout))


def _multiplied(sizes: _Sizes) -> bool:
    """Whether torch multiplies matrices without oneDNN, group by group; depth is not asked for."""
    small = sizes.weight.shape[-2:] == (1, 1) and not sizes.strided
    return small and not sizes.lower and sizes.source.shape[0] < _POINTWISE_BATCH


def _product(sizes: _Sizes, copies: int, result: int, *, backward: bool) -> int:
    """Copies for a group at a time, every group's result; with depth columns of all images."""
    if sizes.groups > 1:
        return max(copies // sizes.groups, result)
    unfolded = sizes.source.dim() == 5 and (backward or sizes.taps > 1)
    return sizes.source.shape[0] * sizes.columns(sizes.source.itemsize) if unfolded else 0


def _unfolded(sizes: _Sizes) -> bool:
    """Whether torch uses the column form instead of oneDNN."""
    source, large = sizes.source, all(size > 3 for size in sizes.weight.shape[2:])
    return (
        source.shape[0] == sizes.groups == 1
        and not large and not sizes.lower
        and prod(source.shape[:4]) <= _SMALL_IMAGE
    )  # fmt: skip


def _copied_weights(sizes: _Sizes) -> int:
    """Channels last copies no activations; the weight goes into that layout, then into blocks."""
    return (1 if sizes.depthwise else 2) * sizes.weight.nbytes


def _copied_gradients(sizes: _Sizes) -> int:
    """The same in backward: a copy of the weight, its gradient in blocks, then twice more without.

    Of narrow groups the blocks are 16 by 16, and in lower precision all are.
    """
    weight, copied = sizes.weight, 0 if sizes.depthwise else sizes.weight.nbytes
    blocks = 1 if sizes.groups == 1 and not sizes.lower else _BLOCK
    if sizes.depthwise and weight.shape[-1] <= 3:
        return copied + weight.nbytes + weight.nbytes
    inner, outer = weight.shape[1], weight.shape[0] // sizes.groups
    filled = _filled_sources(sizes) if blocks > 1 else inner
    gradient = weight.nbytes // (inner * outer) * filled * _filled(outer, blocks)
    if not sizes.lower:
        return copied + gradient + weight.nbytes
    sums = gradient // weight.itemsize * _FLOAT + _transposed(sizes)
    return copied + gradient + max(sums, 2 * weight.nbytes) - weight.nbytes


def _filled_sources(sizes: _Sizes) -> int:
    """Source channels of a group in blocks; few such as RGB stay."""
    inner = sizes.weight.shape[1]
    return inner if sizes.groups == 1 and inner <= 3 else _filled(inner)


def _transposed(sizes: _Sizes) -> int:
    """Bytes of an image and its gradient with lines as the fastest axis, in lower precision.

    Source: oneDNN, ``jit_avx512_core_bf16_conv_kernel``; kernels of one tap have another algorithm.
    """
    source, weight, result = sizes.source, sizes.weight, sizes.result
    if sizes.taps == 1:
        return 0
    step, even = sizes.stride[-1], 2
    margin = _filled(-(-sizes.padding[-1] // step) + 1, even)
    line = _filled(-(-source.shape[-1] // step) + margin, even) * step
    taken = _filled_sources(sizes) * prod(source.shape[2:-1]) * line
    given = _filled(weight.shape[0] // sizes.groups) * prod(result.shape[2:-1])
    return sizes.groups * source.itemsize * (taken + given * _filled(result.shape[-1], even))


def _forward(sizes: _Sizes) -> int:
    """First everything in blocks, then the result in blocks and dense."""
    source, weight, result = sizes.source, sizes.weight, sizes.result
    if not sizes.block:
        sums = result.numel() // result.shape[0] // sizes.groups * _FLOAT if sizes.lower else 0
        return max(min(sizes.columns(source.itemsize) + sums, _CACHE), result.nbytes)
    if sizes.groups > 1:
        block = _BLOCK if sizes.depthwise else 1  # others are whole blocks
        copied = weight.nbytes // weight.shape[0] * _filled(weight.shape[0], block)
        copies = _padded(source, block) + copied
        wide = _padded(result, block)
    else:
        whole = weight.shape[1] >= _BLOCK
        copies = (_padded(source) if whole else 0) + _padded_weight(weight, _BLOCK if whole else 1)
        wide = _padded(result)
    return max(copies + wide - result.nbytes + sizes.sampled + sizes.summed, wide)


def named(layer: nn.Module, call: Sequence[Any]) -> str:
    """What a convolution is called by: its layer, or the function."""
    if isinstance(layer, nn.modules.conv._ConvNd):  # noqa: SLF001
        return type(layer).__name__
    axes = next(one.dim() for one in call if isinstance(one, torch.Tensor)) - 2
    # ``transposed``, which backward has one place later; beside it are groups, and 1 equals True.
    transposed = any(one is True for one in call[6:8])
    return f"conv_transpose{axes}d" if transposed else f"conv{axes}d"


def convolution(
    out: Tensor,
    source: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    /,
) -> int | None:
    """Bytes beyond input and result at the worst moment of a forward convolution."""
    del bias, dilation, output_padding
    sizes = _sizes(source, weight, out, stride, padding, groups)
    if not _modelled(sizes, transposed):
        return None
    layout = _common_layout(sizes)
    copied = _laid_out(layout, sizes.source)
    if _multiplied(sizes):
        return copied + _product(sizes, source.nbytes, out.nbytes, backward=False)
    if _unfolded(sizes):
        return copied + _laid_out(torch.contiguous_format, weight) + sizes.columns(source.itemsize)
    if layout is not torch.contiguous_format:
        return copied + _copied_weights(sizes)
    return copied + _forward(sizes)


def convolution_backward(
    out: Sequence[Tensor | None],
    gradient: Tensor,
    source: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Sequence[bool],
    /,
) -> int | None:
    """Bytes beyond arguments and results; the input's gradient comes first, then the weight's."""
    del bias_sizes, dilation, output_padding
    sizes = _sizes(source, weight, gradient, stride, padding, groups)
    if not _modelled(sizes, transposed):
        return None
    layout = _common_layout(sizes)
    copied = _laid_out(layout, sizes.source, sizes.result)
    if _multiplied(sizes):
        given = source.nbytes + gradient.nbytes
        return copied + _product(sizes, given, source.nbytes if mask[0] else 0, backward=True)
    if _unfolded(sizes):
        return copied + _laid_out(torch.contiguous_format, weight) + sizes.columns(source.itemsize)
    if layout is not torch.contiguous_format:
        return copied + _copied_gradients(sizes)
    for_input = _input_step(sizes) if mask[0] else 0
    kept = source.nbytes if mask[0] else 0
    for_weight = kept + _weight_step(sizes) if mask[1] else 0
    results = sum(tensor.nbytes for tensor in out if tensor is not None)
    return copied + max(for_input - results, for_weight - results, 0)


def _input_step(sizes: _Sizes) -> int:
    """The most that the input's gradient takes, itself included."""
    source, weight = sizes.source, sizes.weight
    if sizes.strided and (sizes.groups == 1 or (sizes.lower and sizes.depthwise)):
        # Another algorithm, whose result is copied twice; of groups it takes pairs of blocks.
        channels = weight.shape[1]
        block = next((size for size in (16, 32) if channels <= size), 64)
        block = block if sizes.groups == 1 else 2 * _BLOCK
        copied = weight.nbytes // channels * _filled(channels, block)
        return source.nbytes + max(sizes.result.nbytes + copied, 2 * source.nbytes)
    if not sizes.block:
        sums = source.numel() // source.shape[0] // sizes.groups * _FLOAT if sizes.lower else 0
        return source.nbytes + max(sizes.columns(_FLOAT) + sums, source.nbytes)
    if sizes.groups > 1:
        block = _BLOCK if sizes.depthwise else 1
        copied = weight.nbytes
    else:
        block, copied = _BLOCK, _padded_weight(weight, _BLOCK)
    wide = _padded(source, block)
    return wide + max(_padded(sizes.result, block) + copied, source.nbytes)


def _weight_step(sizes: _Sizes) -> int:
    """The most that the weight's gradient takes, itself included."""
    source, weight = sizes.source, sizes.weight
    narrow = sizes.groups > 1 and sizes.block < _BLOCK // 2
    narrow = narrow or (sizes.lower and sizes.block < _BLOCK)
    if sizes.depthwise:
        narrow = weight.shape[-1] > 3
    if narrow or weight.shape[-1] > _WIDEST[source.dtype]:
        # Partial sums in float32, four of them.
        inside = sizes.columns(source.itemsize) + 4 * weight.numel() * _FLOAT
        return max(inside, weight.nbytes) + weight.nbytes
    sums = _FLOAT * weight.numel() if sizes.lower else 0
    if sums and not sizes.depthwise:
        filled = _filled_sources(sizes) * _filled(weight.shape[0] // sizes.groups)
        sums = _FLOAT * sizes.groups * filled * sizes.taps + _transposed(sizes)
    if sizes.groups == 1 and not sums:
        return _dense_weight_step(sizes)
    block = 1 if sizes.groups > 1 and not sizes.depthwise else _BLOCK
    gradient, taken = _padded(sizes.result, block), source.nbytes
    if source.shape[1] >= _BLOCK or sizes.groups > 1:
        taken = _padded(source, block)
    elif source.shape[1] != _BLOCK // 2:
        taken = 0
    return max(gradient + taken + sums, weight.nbytes) + weight.nbytes


def _dense_weight_step(sizes: _Sizes) -> int:
    """Blocks of both activations, of 8 where that is enough; few channels such as RGB stay."""
    half = _BLOCK // 2
    taken, given = sizes.source.shape[1], sizes.result.shape[1]
    inner = 1 if taken <= 3 else half if taken <= half else _BLOCK
    few = given <= half and 3 < taken < _BLOCK
    outer = half if few or (inner == half and given % _BLOCK == half) else _BLOCK
    blocks = _padded(sizes.result, outer) + (_padded(sizes.source, inner) if inner > 1 else 0)
    weight = sizes.weight
    copied = weight.nbytes if inner == outer == half else _padded_weight(weight, inner, outer)
    return max(blocks + sizes.sampled, weight.nbytes) + copied
