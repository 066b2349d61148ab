"""The convolutions of an analysed network, call by call, exactly as they reach the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.costs import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        output_padding: of a transposed one, along the spatial axes.
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
    output_padding: Shape
    transposed: bool
    macs: int


def convolutions(analysis: Analysis) -> Iterator[Convolution]:
    """Every forward call in the order it ran."""
    names = analysis.recording.stack.names
    for row in analysis.recording.rows:
        if row.backward or not row.plan.name.startswith("aten::convolution"):
            continue
        source, weight, _, stride, padding, dilation, transposed, more, groups = row.arguments
        kernel = tuple(weight.shape[2:])
        unbatched = len(row.output) == len(kernel) + 1
        yield Convolution(
            layer=names[row.layer],
            input=tuple(source.shape),
            channels=row.output[0 if unbatched else 1],
            kernel=kernel,
            stride=_full(stride, len(kernel)),
            padding=_full(padding, len(kernel)),
            dilation=_full(dilation, len(kernel)),
            groups=groups,
            output_padding=_full(more, len(kernel)),
            transposed=transposed,
            macs=row.macs,
        )


def _full(values: Sequence[int], axes: int) -> Shape:
    items = tuple(values)
    return items * axes if len(items) == 1 else items
