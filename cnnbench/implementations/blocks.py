"""Modules that replace a convolution and are more than a chain of layers.

Batch norm is left out: at inference it is folded into the convolutions. Knows no problem and no
table; channels and geometry are given as layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class ResidualConv(nn.Module):
    """``x + body(x)``."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        output: Tensor = self.body(x)
        return x + output


class FullyConnected(nn.Module):
    """A linear layer on the flattened map; its output has one pixel per channel."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, 1, 1)."""
        output: Tensor = self.linear(x.flatten(1))
        return output[:, :, None, None]


class Ghost(nn.Module):
    """Half of the maps by a convolution, the other half from those by a cheap depthwise one.

    Han et al.: GhostNet, 2019, arXiv:1911.11907, figure 1b.
    """

    def __init__(self, primary: nn.Module, cheap: nn.Module) -> None:
        super().__init__()
        self.primary = primary
        self.cheap = cheap

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, P, Q)."""
        maps: Tensor = self.primary(x)
        return torch.cat((maps, self.cheap(maps)), 1)


class Octave(nn.Module):
    """Half of the channels at half of the resolution, with paths both ways.

    The slow half is created by pooling and merged by upsampling within the layer, so that shapes
    are those of a plain convolution. Chen et al.: Drop an Octave, 2019, arXiv:1904.05049, section
    3.2.
    """

    def __init__(
        self, fast: nn.Module, fast_to_slow: nn.Module, slow_to_fast: nn.Module, slow: nn.Module
    ) -> None:
        super().__init__()
        self.fast = fast
        self.fast_to_slow = fast_to_slow
        self.slow_to_fast = slow_to_fast
        self.slow = slow

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H, W), H and W even."""
        high, low = x.chunk(2, 1)
        low = functional.avg_pool2d(low, 2)
        fast = self.fast(high) + _twice(self.slow_to_fast(low))
        slow = self.slow(low) + self.fast_to_slow(functional.avg_pool2d(high, 2))
        return torch.cat((fast, _twice(slow)), 1)


def _twice(x: Tensor) -> Tensor:
    """Every pixel as a square of two by two."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
