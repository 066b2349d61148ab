"""Where the taps of a convolution fall along one axis. Pure functions of whole numbers; no torch.

An axis is ``size`` elements of input and ``outputs`` of output, with a kernel, a stride, a padding
and a dilation. The transposed convolution scatters where the other gathers: its output ``o`` gets
tap ``r`` of input ``i`` if ``o = i stride - padding + r dilation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def gathered(
    size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int
) -> Iterator[int]:
    """The inputs that products of a convolution read, once for each product off the padding."""
    for start in range(-padding, outputs * stride - padding, stride):
        for tap in range(kernel):
            if 0 <= start + tap * dilation < size:
                yield start + tap * dilation


def scattered(
    size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int
) -> Iterator[int]:
    """The inputs that a transposed convolution reads, once for each product that is not cut off."""
    for at in range(size):
        for tap in range(kernel):
            if 0 <= at * stride - padding + tap * dilation < outputs:
                yield at
