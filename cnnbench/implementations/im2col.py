"""im2col + GEMM, NCHW: every window becomes a column, the convolution one matrix product.

Chellapilla, Puri, Simard: High Performance Convolutional Neural Networks for Document Processing,
2006; as in Caffe. The columns of a pixel's window are stored R x S times. The gradient of the
weights is the product of the output's gradient and the same columns.
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
    backward = problem.direction == "bwd_w"
    result = problem.weight_bytes if backward else problem.output_bytes
    window = problem.c * problem.r * problem.s
    columns = problem.itemsize * problem.n * window * problem.p * problem.q
    # torch's unfold begins with a block as large as the input, and gives it back once it has a
    # larger one for the columns; if they need none, it keeps the first.
    begun, held = problem.input_bytes, max(problem.input_bytes, columns)
    both = begun + columns if columns > begun else held
    workspace = max(both - result, held)
    # Every further image adds to the gradient of the weights.
    sums = 2 * (problem.n - 1) * result if backward else 0
    return ConvWork(macs=problem.macs, workspace=workspace, traffic=2 * columns + sums)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    g = problem.groups
    return Prepared((weight.contiguous().view(g, problem.k // g, problem.taps),), bias)


def _columns(x: Tensor, problem: ConvProblem) -> Tensor:
    """The windows (N, g, C/g x R x S, P x Q)."""
    columns = functional.unfold(
        x, (problem.r, problem.s), problem.dilation, problem.padding, problem.stride
    )
    return columns.view(problem.n, problem.groups, problem.taps, problem.p * problem.q)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    g, pixels = problem.groups, problem.p * problem.q
    columns = _columns(x, problem)
    y = x.new_empty(problem.output_shape)
    bias = prepared.bias.view(g, -1, 1)
    for image, window in zip(y.view(problem.n, g, -1, pixels), columns, strict=True):
        # Group by group: a batched product of strided outputs would be copied.
        for part in range(g):
            torch.addmm(bias[part], weight[part], window[part], out=image[part])
    return y


def _weights(x: Tensor, gradient: Tensor, problem: ConvProblem) -> Tensor:
    g = problem.groups
    columns = _columns(x, problem)
    found = x.new_empty((g, problem.k // g, problem.taps))
    parts = gradient.view(problem.n, g, problem.k // g, -1)
    # The first product overwrites, the others add to it; group by group, as in the forward pass.
    for at, (image, window) in enumerate(zip(parts, columns, strict=True)):
        for part in range(g):
            torch.addmm(found[part], image[part], window[part].T, beta=min(at, 1), out=found[part])
    return found.view(problem.weight_shape)


def _tolerance(problem: ConvProblem) -> float:
    # The gradient of the weights is rounded to the dtype after every image.
    images = roundoff.rounded_taps(lambda one: one.n)
    return (images if problem.direction == "bwd_w" else roundoff.gemm)(problem)


IMPLEMENTATION = Implementation(
    name="im2col",
    meaning="windows copied to columns, then one matrix product per image (NCHW)",
    source="Chellapilla et al. 2006; Caffe",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=_tolerance,
    weights=_weights,
    layout="contiguous",
)
