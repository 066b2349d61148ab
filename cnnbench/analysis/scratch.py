"""Memory that a CPU holds inside an operator, invisible to any dispatcher.

Measured through the allocator's own events (torch 2.15, x86, AVX-512). In oneDNN a dense
convolution copies its input, weight and result to blocks of 16 channels and its result back; a 1x1
convolution of stride 1 needs none; a small single image runs without oneDNN and unfolds its input.
Modelled to a few percent of these cases, for float32 and bfloat16; anything else counts as none.
Norms and softmax copy an input that is not contiguous.
Batch norm's backward holds the input's gradient twice. Whole layers that are one kernel: ``fused``.
GPUs have workspaces of their own, which are not modelled.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_BLOCK = 16
# Below, torch runs a single ungrouped image without oneDNN (ATen/native/Convolution.cpp,
# use_mkldnn).
_SMALL_IMAGE = 20480


def _blocked(tensor: Tensor) -> int:
    """Bytes of an activation in blocks of channels; narrow inputs such as RGB stay as they are."""
    channels = tensor.shape[1]
    if channels < _BLOCK:
        return tensor.nbytes if channels == _BLOCK // 2 else 0
    return tensor.nbytes // channels * (-(-channels // _BLOCK) * _BLOCK)


def _padded(tensor: Tensor, block: int = _BLOCK) -> int:
    """Bytes with the channels filled up to blocks."""
    channels = tensor.shape[1]
    return tensor.nbytes // channels * (-(-channels // block) * block)


def _padded_weight(weight: Tensor, inner: int) -> int:
    """Bytes of an ungrouped weight in blocks of 16 results and of ``inner`` sources."""
    blocks = -(-weight.shape[1] // inner) * inner * -(-weight.shape[0] // _BLOCK) * _BLOCK
    return weight.nbytes // (weight.shape[0] * weight.shape[1]) * blocks


def _dense_forward(source: Tensor, weight: Tensor, out: Tensor) -> int:
    """An ungrouped convolution: results are padded always, sources from 16 channels on."""
    wide = weight.shape[1] >= _BLOCK
    copies = (_padded(source) if wide else 0) + _padded_weight(weight, _BLOCK if wide else 1)
    return max(copies + _padded(out) - out.nbytes, _padded(out))


def _dense_weight_step(gradient: Tensor, source: Tensor, weight: Tensor) -> int:
    """Blocks of both activations, of 8 where that is enough; few channels such as RGB stay."""
    channels = source.shape[1]
    block = 1 if channels <= 3 else _BLOCK // 2 if channels <= _BLOCK // 2 else _BLOCK
    both = block == _BLOCK // 2 and gradient.shape[1] <= block
    blocks = _padded(gradient, block=block if both else _BLOCK)
    blocks += _padded(source, block=block) if block > 1 else 0
    return max(blocks, weight.nbytes) + (weight.nbytes if both else _padded_weight(weight, block))


def _modelled(source: Tensor, transposed: bool) -> bool:
    return (
        not transposed
        and source.dim() in (4, 5)
        and source.dtype in (torch.float32, torch.bfloat16)
    )


def _channels_last(source: Tensor, weight: Tensor) -> bool:
    return not (source.is_contiguous() and weight.is_contiguous())


def _copied_weights(source: Tensor, weight: Tensor, groups: int) -> int:
    """Channels last copies no activations; the weight goes into that layout, then into blocks."""
    depthwise = groups == source.shape[1]
    return (1 if depthwise else 2) * weight.nbytes


def _copied_gradients(source: Tensor, weight: Tensor, groups: int) -> int:
    """The same in backward, where weights of narrow groups are padded to blocks of 16 by 16."""
    depthwise = groups == source.shape[1]
    copies = 1 if depthwise else 2
    if groups == 1 or (depthwise and weight.shape[-1] <= 3):
        return (copies + 1) * weight.nbytes
    inner, outer = weight.shape[1], weight.shape[0] // groups
    padding = -(-inner // _BLOCK) * _BLOCK * -(-outer // _BLOCK) * _BLOCK
    return copies * weight.nbytes + weight.nbytes // (inner * outer) * padding


def _pointwise(source: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether oneDNN needs no blocks, because it multiplies matrices; in bfloat16 it has blocks."""
    small = all(size == 1 for size in weight.shape[2:]) and all(step == 1 for step in stride)
    return small and source.dtype is torch.float32


def _unfolds(source: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether torch uses the column form instead of oneDNN."""
    large_kernel = all(size > 3 for size in weight.shape[2:])
    return (
        source.shape[0] == 1 and groups == 1 and not large_kernel and source.numel() <= _SMALL_IMAGE
    )


def _columns(source: Tensor, weight: Tensor, result: Tensor) -> int:
    copied = weight.nbytes if _channels_last(source, weight) else 0
    return (
        copied + source.shape[1] * prod(weight.shape[2:]) * prod(result.shape[2:]) * source.itemsize
    )


def convolution(
    out: Tensor,
    source: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Sequence[int],
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    /,
) -> int:
    """Bytes beyond input and result at the worst moment of a forward convolution."""
    del bias, padding, dilation, output_padding
    if not _modelled(source, transposed) or _pointwise(source, weight, stride):
        return 0
    if _unfolds(source, weight, groups):
        return _columns(source, weight, out)
    if _channels_last(source, weight):
        return _copied_weights(source, weight, groups)
    if groups == 1:
        return _dense_forward(source, weight, out)
    # First everything in blocks, then the result in blocks and dense.
    computing = _blocked(source) + weight.nbytes + _blocked(out) - out.nbytes
    return max(computing, _blocked(out))


def convolution_backward(
    out: Sequence[Tensor | None],
    gradient: Tensor,
    source: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Sequence[bool],
    /,
) -> int:
    """Bytes beyond arguments and results; the input's gradient comes first, then the weight's."""
    del bias_sizes, padding, dilation, output_padding
    if not _modelled(source, transposed) or _pointwise(source, weight, stride):
        return 0
    if _unfolds(source, weight, groups):
        return _columns(source, weight, gradient)
    if _channels_last(source, weight):
        return _copied_gradients(source, weight, groups)
    blocked = _padded if groups == 1 else _blocked
    copied = _padded_weight(weight, _BLOCK) if groups == 1 else weight.nbytes
    for_input = blocked(gradient) + copied + blocked(source)
    for_input = max(for_input, blocked(source) + source.nbytes) if mask[0] else 0
    kept = source.nbytes if mask[0] else 0
    for_weight = kept + _weight_step(gradient, source, weight, groups) if mask[1] else 0
    results = sum(tensor.nbytes for tensor in out if tensor is not None)
    return max(for_input - results, for_weight - results, 0)


def _weight_step(gradient: Tensor, source: Tensor, weight: Tensor, groups: int) -> int:
    """Blocks of both activations (none for narrow groups and large depthwise), then a weight."""
    depthwise = groups == source.shape[1]
    plain = groups > 1 and (not depthwise or weight.shape[-1] > 3)
    if plain or prod(weight.shape[2:]) > 100:
        return 2 * weight.nbytes
    # Gradients in bfloat16 are summed in float32 first.
    sums = 4 * weight.numel() if weight.dtype is torch.bfloat16 else 0
    if groups == 1 and not sums:
        return _dense_weight_step(gradient, source, weight)
    return max(_blocked(gradient) + _blocked(source) + sums, weight.nbytes) + weight.nbytes


def batch_norm_backward(out: Sequence[Tensor | None], gradient: Tensor, source: Tensor, /,
                        *_: Any) -> int:  # fmt: skip
    """The input's gradient a second time, whatever the layout."""
    del out, gradient
    return source.nbytes


def first_copied(out: Any, source: Tensor, /, *_: Any) -> int:
    """A contiguous copy of an input that is not contiguous."""
    del out
    return 0 if source.is_contiguous() else source.nbytes


def both_copied(out: Any, gradient: Tensor, source: Tensor, /, *_: Any) -> int:
    """The same of a gradient and of what it is taken by."""
    return first_copied(out, gradient) + first_copied(out, source)


def _format(tensor: Tensor) -> torch.memory_format | None:
    """The layout in which group norm takes an activation as it is."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    if tensor.is_contiguous():
        return torch.contiguous_format
    layout = layouts.get(tensor.dim())
    return layout if layout and tensor.is_contiguous(memory_format=layout) else None


def group_norm(out: Any, source: Tensor, /, *_: Any) -> int:
    """A copy of an input of any other layout."""
    del out
    return 0 if _format(source) else source.nbytes


def group_norm_backward(out: Any, gradient: Tensor, source: Tensor, /, *_: Any) -> int:
    """The same, and a copy of a gradient whose layout is not that of the input."""
    del out
    same = gradient.is_contiguous(memory_format=_format(source) or torch.contiguous_format)
    return group_norm(None, source) + (0 if same else gradient.nbytes)


SCRATCH: dict[str, Callable[..., int]] = {
    "aten::native_batch_norm_backward": batch_norm_backward,
    "aten::convolution": convolution,
    "aten::convolution_backward": convolution_backward,
    "aten::native_group_norm": group_norm,
    "aten::native_group_norm_backward": group_norm_backward,
    "aten::native_layer_norm": first_copied,
    "aten::native_layer_norm_backward": both_copied,
    "aten::_softmax": first_copied,
    "aten::_log_softmax": first_copied,
    "aten::_softmax_backward_data": both_copied,
    "aten::_log_softmax_backward_data": both_copied,
}
