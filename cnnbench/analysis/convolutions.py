"""The convolutions of an analysed network, call by call, exactly as they reach the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.costs import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.analysis.result import Analysis


@dataclass(frozen=True)
class Convolution:
    """One forward call of a convolution of any number of spatial axes.

    Attributes:
        layer: path of the module that called it.
        input: its whole shape, batch and channels first.
        channels: of the output.
        kernel, stride, padding, dilation: along the spatial axes.
        groups: of channels.
        transposed: whether it is a transposed convolution.
        macs: multiply-accumulates of the call.
    """

    layer: str
    input: Shape
    channels: int
    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    transposed: bool
    macs: int


def convolutions(analysis: Analysis) -> Iterator[Convolution]:
    """Every forward call in the order it ran."""
    names = analysis.recording.stack.names
    for row in analysis.recording.rows:
        window = row.window
        # Only convolutions know their groups and padding; pooling has a window of its own kind.
        if row.backward or window is None or not window.source:
            continue
        unbatched = len(row.output) == len(window.kernel) + 1
        yield Convolution(
            layer=names[row.layer],
            input=window.source,
            channels=row.output[0 if unbatched else 1],
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=window.groups,
            transposed=window.transposed,
            macs=row.macs,
        )
