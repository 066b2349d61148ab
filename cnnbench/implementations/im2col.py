"""im2col + GEMM, NCHW: every window becomes a column, the convolution one matrix product.

Chellapilla, Puri, Simard: High Performance Convolutional Neural Networks for Document Processing,
2006; as in Caffe. The columns of a pixel's window are stored R x S times.
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


def _work(problem: ConvProblem) -> ConvWork:
    window = problem.c * problem.r * problem.s
    columns = problem.itemsize * problem.n * window * problem.p * problem.q
    # torch's unfold begins with a block as large as the input, and gives it back once it has a
    # larger one for the columns; if they need none, it keeps the first.
    begun, held = problem.input_bytes, max(problem.input_bytes, columns)
    both = begun + columns if columns > begun else held
    workspace = max(both - problem.output_bytes, held)
    return ConvWork(macs=problem.macs, workspace=workspace, traffic=2 * columns)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    g = problem.groups
    return Prepared((weight.contiguous().view(g, problem.k // g, problem.taps),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    g, pixels = problem.groups, problem.p * problem.q
    columns = functional.unfold(
        x, (problem.r, problem.s), problem.dilation, problem.padding, problem.stride
    )
    columns = columns.view(problem.n, g, problem.taps, pixels)
    y = x.new_empty(problem.output_shape)
    bias = prepared.bias.view(g, -1, 1)
    for image, window in zip(y.view(problem.n, g, -1, pixels), columns, strict=True):
        # Group by group: a batched product of strided outputs would be copied.
        for part in range(g):
            torch.addmm(bias[part], weight[part], window[part], out=image[part])
    return y


IMPLEMENTATION = Implementation(
    name="im2col",
    meaning="windows copied to columns, then one matrix product per image (NCHW)",
    source="Chellapilla et al. 2006; Caffe",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    layout="contiguous",
)
