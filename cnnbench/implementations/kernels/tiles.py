"""The facts of the kernels that do not need Triton: their tiles, and the tensor for a result."""

from __future__ import annotations

import torch
from torch import Tensor

Pair = tuple[int, int]

# Output positions, output channels and terms of a tile. They are multiples of 16, as matrix units
# require.
GEMM_TILE = (64, 32, 32)

# Output columns and channels of a tile.
DEPTHWISE_TILE = (8, 64)


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
