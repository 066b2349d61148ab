"""MEC: im2col along the width only; the height is walked by views of the smaller matrix.

Cho, Brand: MEC: Memory-efficient Convolution for Deep Neural Network, 2017, arXiv:1706.06873.
This version uses one product per kernel row, summed in the output, instead of one per output row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _strips_bytes(problem: ConvProblem) -> int:
    strip = problem.q * problem.s * problem.c
    return problem.itemsize * problem.n * problem.padded[0] * strip


def _work(problem: ConvProblem) -> ConvWork:
    strips, padded = _strips_bytes(problem), windows.padded_bytes(problem)
    # Padding and strips first, then strips and output.
    workspace = max(padded + strips - problem.output_bytes, strips)
    again = 2 * (strips + padded) + 2 * problem.r * problem.output_bytes
    return ConvWork(problem.macs, workspace, problem.weight_bytes, again)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    # (K, C, R, S) -> (R, S C, K)
    rows = weight.permute(2, 3, 1, 0).reshape(problem.r, problem.s * problem.c, problem.k)
    return Prepared((rows.contiguous(),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    strips = _strips(windows.padded(x, problem), problem)
    y = x.new_empty(problem.n, problem.p * problem.q, problem.k)
    y.copy_(prepared.bias.expand_as(y))
    for r in range(problem.r):
        first = r * problem.dilation[0]
        for image, strip in zip(y, strips, strict=True):
            image.addmm_(strip[first : first + problem.p].flatten(0, 1), weight[r])
    return windows.as_image(y.view(problem.n, problem.p, problem.q, problem.k))


def _strips(padded: Tensor, problem: ConvProblem) -> Tensor:
    """(N, H padded, Q, S C): in every row, what the kernel's columns see."""
    rows = windows.as_rows(padded)
    strips = padded.new_empty(problem.n, problem.padded[0], problem.q, problem.s, problem.c)
    for s in range(problem.s):
        left, right = s * problem.dilation[1], problem.stride[1]
        strips[:, :, :, s] = rows[:, :, left : left + (problem.q - 1) * right + 1 : right]
    return strips.flatten(3)


IMPLEMENTATION = Implementation(
    name="mec",
    meaning="windows copied along the width only, one product per kernel row (NHWC)",
    source="Cho, Brand 2017, arXiv:1706.06873",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r),
    refuses=lambda problem: windows.needs_one_group(problem) or windows.needs_stride(problem, (0,)),
    layout="channels_last",
)
