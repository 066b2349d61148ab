"""Networks whose time, memory or output is known beforehand, for testing cnnbench itself.

They are named like a user's networks (``cnnbench.worker.oracles:repeated``), so that they use the
same code path as real networks.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

_MEBIBYTE = 1 << 20


class Repeated(nn.Module):
    """One convolution, called repeatedly: its time is proportional to the number of calls."""

    def __init__(self, times: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        for _ in range(self.times):
            x = self.conv(x)
        return x


def repeated(times: int = 20, channels: int = 16, twin: str = "") -> nn.Module:
    """A network that calls one convolution ``times`` times.

    Args:
        times: calls; 22 take 1.1 times as long as 20.
        channels: in and out.
        twin: changes the name of the network and nothing else, so that it can be compared with
            itself.
    """
    del twin
    return Repeated(times, channels)


class Sleeps(nn.Module):
    """Sleeps for a given time and does nothing else."""

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.seconds = milliseconds / 1e3

    def forward(self, x: Tensor) -> Tensor:
        """Anything -> its mean, later."""
        time.sleep(self.seconds)
        return x.mean()


def sleeps(milliseconds: float = 20.0) -> nn.Module:
    """A network that sleeps."""
    return Sleeps(milliseconds)


class Holds(nn.Module):
    """Allocates a block, writes to all of it, keeps it for a given time, and frees it."""

    def __init__(self, mebibytes: int, milliseconds: float) -> None:
        super().__init__()
        self.bytes = mebibytes * _MEBIBYTE
        self.seconds = milliseconds / 1e3

    def forward(self, x: Tensor) -> Tensor:
        """Anything -> its mean."""
        held = torch.empty(self.bytes, dtype=torch.uint8).fill_(1)
        time.sleep(self.seconds)
        del held
        return x.mean()


def holds(mebibytes: int = 64, milliseconds: float = 1.0) -> nn.Module:
    """A network whose peak memory is known to the byte."""
    return Holds(mebibytes, milliseconds)


class Wrong(nn.Module):
    """Its output is 10 % off when its input has NHWC strides: a deliberately wrong kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        answer: Tensor = self.conv(x)
        return answer * (1.0 if x.is_contiguous() else 1.1)


def wrong(channels: int = 16) -> nn.Module:
    """A network with one wrong mode: ``channels_last``."""
    return Wrong(channels)
