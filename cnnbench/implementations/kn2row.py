"""kn2row: a matrix product of the whole image per tap, its result shifted into the output.

Vasudevan, Anderson, Gregg, 2017, arXiv:1704.04428, accumulating variant. Nothing of the input is
copied or padded; with a stride most of each product is thrown away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff, shift_gemm, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    taps, pixels = problem.r * problem.s, problem.h * problem.w
    product = problem.itemsize * problem.k * pixels
    macs = problem.n * problem.k * problem.c * pixels * taps
    again = taps * (problem.input_bytes + 2 * problem.n * product + 2 * problem.output_bytes)
    return ConvWork(macs, product, windows.reordered_bytes(problem), again)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    product = x.new_empty(problem.k, problem.h * problem.w)
    y = x.new_empty(problem.output_shape)
    y.copy_(prepared.bias.view(-1, 1, 1).expand_as(y))
    for image, given in zip(y, x.flatten(2), strict=True):
        for r, s in windows.taps(problem):
            (above, below), (left, right) = _reached(problem, 0, r), _reached(problem, 1, s)
            if above >= below or left >= right:
                continue
            torch.mm(weight[r, s], given, out=product)
            part = product.view(problem.k, problem.h, problem.w)
            rows, columns = _sources(problem, 0, r, above), _sources(problem, 1, s, left)
            part = part[:, rows, columns][:, : below - above, : right - left]
            image[:, above:below, left:right] += part
    return y


def _reached(problem: ConvProblem, axis: int, tap: int) -> tuple[int, int]:
    """First and one past the last output along an axis for which a tap sees the image."""
    size, outputs = (problem.h, problem.p) if axis == 0 else (problem.w, problem.q)
    stride = problem.stride[axis]
    # Output i sees the image's row i stride - offset.
    offset = problem.padding[axis] - tap * problem.dilation[axis]
    return max(0, -(-offset // stride)), min(outputs, (size - 1 + offset) // stride + 1)


def _sources(problem: ConvProblem, axis: int, tap: int, first: int) -> slice:
    stride = problem.stride[axis]
    start = first * stride - problem.padding[axis] + tap * problem.dilation[axis]
    return slice(start, None, stride)


IMPLEMENTATION = Implementation(
    name="kn2row",
    meaning="per tap: multiply the whole image, shift the product into the output (NCHW)",
    source="Vasudevan et al. 2017, arXiv:1704.04428",
    work=_work,
    prepare=shift_gemm.prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r * problem.s),
    refuses=windows.needs_one_group,
    layout="contiguous",
)
