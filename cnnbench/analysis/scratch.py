"""Memory that a CPU holds inside an operator, invisible to any dispatcher.

Measured through the allocator's own events (torch 2.14, x86, AVX-512). Norms and softmax copy an
input that is not contiguous. Batch norm's backward holds the input's gradient twice. Convolutions:
``blocked``; whole layers that are one kernel: ``fused``. GPUs have workspaces of their own, which
are not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.analysis.blocked import convolution, convolution_backward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


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
    """The same, a copy of a gradient whose layout is not that of the input, and two sums.

    The sums have an element for every channel of every sample.
    """
    del out
    same = gradient.is_contiguous(memory_format=_format(source) or torch.contiguous_format)
    sums = 2 * source.shape[0] * source.shape[1] * source.itemsize
    return group_norm(None, source) + (0 if same else gradient.nbytes) + sums


# Bytes beyond arguments and results; ``None`` where they are not known.
SCRATCH: dict[str, Callable[..., int | None]] = {
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
