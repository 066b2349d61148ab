"""Where a kernel puts its result: an empty tensor of the right shape and memory format."""

from __future__ import annotations

import torch
from torch import Tensor

Pair = tuple[int, int]


def empty_output(x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """An uninitialised ``(N, K, P, Q)`` for ``conv2d(x, weight)``, channels last if ``x`` is."""
    spatial = (
        (size + 2 * pad - step * (taps - 1) - 1) // jump + 1
        for size, pad, step, taps, jump in zip(
            x.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
        )
    )
    wanted = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    return torch.empty(
        (x.shape[0], weight.shape[0], *spatial),
        dtype=x.dtype, device=x.device, memory_format=wanted,
    )  # fmt: skip
