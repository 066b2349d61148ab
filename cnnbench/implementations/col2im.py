"""A transposed convolution as a matrix product whose columns are added up where they overlap, NCHW.

The backward pass of im2col; as in Caffe's deconvolution layer. Every pixel becomes a column of
R x S values for each output channel, which is added to the window that it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _full(problem: ConvProblem) -> tuple[int, int]:
    """Height and width of the output before padding is cut off."""
    (high, wide), (down, right) = problem.extent, problem.stride
    return (problem.h - 1) * down + high, (problem.w - 1) * right + wide


def _cuts(problem: ConvProblem) -> bool:
    """Whether the sum is made whole and cut: torch's ``fold`` knows no longer output padding."""
    return any(
        more >= step for more, step in zip(problem.output_padding, problem.stride, strict=True)
    )


def _work(problem: ConvProblem) -> ConvWork:
    window = problem.k * problem.r * problem.s
    columns = problem.itemsize * problem.n * window * problem.h * problem.w
    high, wide = _full(problem)
    cuts, output = _cuts(problem), problem.output_bytes
    summed = problem.itemsize * problem.n * problem.k * high * wide if cuts else output
    # torch's fold begins with a block as large as the columns, which are held beside it, and keeps
    # it unless the sum needs a larger one.
    workspace = columns + (columns + summed if summed > columns else columns) - output
    if cuts:
        workspace = max(workspace, columns + max(columns, summed))
    # The sum is written twice, the second time with the bias, and read in between.
    traffic = 2 * (columns + output + (summed if cuts else 0))
    return ConvWork(
        macs=problem.macs, workspace=workspace, prepared=problem.weight_bytes, traffic=traffic
    )


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    g = problem.groups
    parts = weight.contiguous().view(g, problem.c // g, -1).transpose(1, 2).contiguous()
    return Prepared((parts,), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    g, pixels = problem.groups, problem.h * problem.w
    columns = x.new_empty((problem.n, g, problem.k // g * problem.r * problem.s, pixels))
    for image, column in zip(x.reshape(problem.n, g, -1, pixels), columns, strict=True):
        torch.bmm(weight, image, out=column)
    columns = columns.view(problem.n, -1, pixels)
    cuts = _cuts(problem)
    y = functional.fold(
        columns,
        _full(problem) if cuts else (problem.p, problem.q),
        (problem.r, problem.s),
        problem.dilation,
        (0, 0) if cuts else problem.padding,
        problem.stride,
    )
    if cuts:
        (above, beside), (high, wide) = problem.padding, _full(problem)
        y = functional.pad(
            y, (-beside, problem.q + beside - wide, -above, problem.p + above - high)
        )
    return y.add_(prepared.bias.view(-1, 1, 1))


IMPLEMENTATION = Implementation(
    name="col2im",
    meaning="transposed: one matrix product, its columns added up to windows (NCHW)",
    source="Caffe; backward pass of Chellapilla et al. 2006",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r * problem.s),
    layout="contiguous",
    computes=("transposed",),
)
