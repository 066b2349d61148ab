"""Shift-GEMM: one matrix product per tap with the tap's view, summed in the output.

Vasudevan, Anderson, Gregg: Parallel Multi Channel Convolution using General Matrix Multiplication,
2017, arXiv:1704.04428, in the form that copies each tap's view instead of shifting its product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    view = problem.itemsize * problem.n * problem.c * problem.p * problem.q
    padded = windows.padded_bytes(problem)
    again = problem.r * problem.s * 2 * (view + problem.output_bytes) + 2 * padded
    return ConvWork(problem.macs, padded + view, windows.reordered_bytes(problem), again)


def prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    """(K, C, R, S) -> (R, S, K, C): a matrix per tap."""
    del problem
    return Prepared((weight.permute(2, 3, 0, 1).contiguous(),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    padded = windows.padded(x, problem)
    view = x.new_empty(problem.n, problem.c, problem.p, problem.q)
    y = x.new_empty(problem.output_shape)
    y.copy_(prepared.bias.view(-1, 1, 1).expand_as(y))
    for r, s in windows.taps(problem):
        view.copy_(windows.seen(padded, problem, r, s))
        for image, one in zip(y.flatten(2), view.flatten(2), strict=True):
            image.addmm_(weight[r, s], one)
    return y


IMPLEMENTATION = Implementation(
    name="shift_gemm",
    meaning="per tap: copy what it sees, multiply, add to the output (NCHW)",
    source="Vasudevan et al. 2017, arXiv:1704.04428",
    work=_work,
    prepare=prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r * problem.s),
    refuses=windows.needs_one_group,
    layout="contiguous",
)
