"""Fast shape rules of convolutions and norms, under the same contract as ``shapes``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.analysis.shapes import fresh, like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_META = torch.device("meta")
_CONTIGUOUS = torch.contiguous_format
_CHANNELS_LAST = torch.channels_last


def convolution(
    source: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    """``floor((in + 2p - d(k-1) - 1) / s) + 1`` per axis, in the layout the CPU chooses.

    The stock meta kernel returns contiguous results whatever the operands; the CPU (and cuDNN)
    return channels last if either operand is. This decides what later operators must copy.
    """
    del output_padding
    shape, kernel = source.shape, weight.shape
    axes = len(kernel) - 2
    if (
        transposed
        or len(shape) != len(kernel)
        or not len(stride) == len(padding) == len(dilation) == axes
        or source.dtype is not weight.dtype
        or shape[1] != kernel[1] * groups
        or kernel[0] % groups
        or (bias is not None and bias.shape != kernel[:1])
    ):
        return NotImplemented
    layout = _convolution_layout(source, weight)
    if layout is None:
        return NotImplemented
    sizes = [shape[0], kernel[0]]
    for axis in range(axes):
        reach = dilation[axis] * (kernel[axis + 2] - 1) + 1
        size = (shape[axis + 2] + 2 * padding[axis] - reach) // stride[axis] + 1
        if size < 1:
            return NotImplemented
        sizes.append(size)
    return torch.empty(sizes, dtype=source.dtype, device=_META, memory_format=layout)


def _convolution_layout(source: Tensor, weight: Tensor) -> torch.memory_format | None:
    """Channels last wins; ``None`` for layouts that are neither."""
    layout = _CONTIGUOUS
    for tensor in (source, weight):
        if not tensor.is_contiguous():
            if tensor.dim() != 4 or not tensor.is_contiguous(memory_format=_CHANNELS_LAST):
                return None
            layout = _CHANNELS_LAST
    return layout


def convolution_backward(
    gradient: Tensor,
    source: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Sequence[bool],
) -> Any:
    """Gradients have the shapes of their tensors, and the layout of the forward result."""
    del stride, padding, dilation, output_padding, groups
    layout = _convolution_layout(source, weight)
    if layout is None or transposed:
        return NotImplemented
    return (
        fresh(source.shape, source.dtype, layout) if mask[0] else None,
        fresh(weight.shape, weight.dtype, layout) if mask[1] else None,
        fresh(bias_sizes or (), gradient.dtype) if mask[2] else None,
    )


def batch_norm(
    source: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """The result, and the statistics of the batch where they are computed."""
    del bias, momentum, eps
    if source.dim() < 2 or (weight is not None and weight.dtype is not source.dtype):
        return NotImplemented
    channels = source.shape[1]
    if not training and (mean is None or var is None or mean.shape[0] != channels):
        return NotImplemented
    if weight is not None and weight.shape[0] != channels:
        return NotImplemented
    out = like(source)
    if out is NotImplemented or source.dtype not in (torch.float32, torch.float64):
        return NotImplemented
    kept = (channels,) if training else (0,)
    return out, fresh(kept, source.dtype), fresh(kept, source.dtype)


def batch_norm_backward(
    gradient: Tensor,
    source: Tensor,
    weight: Tensor | None,
    mean: Any,
    var: Any,
    saved_mean: Any,
    saved_scale: Any,
    training: bool,
    eps: float,
    mask: Sequence[bool],
) -> Any:
    """Gradients of input, weight and bias."""
    del mean, var, saved_mean, saved_scale, training, eps
    if not gradient.is_contiguous() or not source.is_contiguous() or weight is None:
        return NotImplemented
    if not all(mask) or source.dtype is not weight.dtype:
        return NotImplemented
    return (
        fresh(source.shape, source.dtype),
        fresh(weight.shape, weight.dtype),
        fresh(weight.shape, weight.dtype),
    )


def layer_norm(
    source: Tensor,
    normalized: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Any:
    """A contiguous result, mean and scale per row."""
    del bias, eps
    kept = source.dim() - len(normalized)
    if source.dtype not in (torch.float32, torch.float64):
        return NotImplemented
    if list(source.shape[kept:]) != list(normalized):
        return NotImplemented
    if weight is not None and weight.dtype is not source.dtype:
        return NotImplemented
    rows = [*source.shape[:kept], *([1] * len(normalized))]
    return (
        fresh(source.shape, source.dtype),
        fresh(rows, source.dtype),
        fresh(rows, source.dtype),
    )
