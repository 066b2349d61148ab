"""The definition: for every channel of a group and every tap, multiply and add a shifted image.

The loops have the order of a plain C program, but one element-wise operation replaces the loops
over images, output channels and pixels. Without a matrix product it is slow, but easy to verify.
Half-width types are summed in fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import FORMATS, ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem

# An element-wise pass does about 1 GMAC/s on a core; beyond this a call takes seconds.
_MOST_MACS = 2 << 30


def _widened(problem: ConvProblem) -> bool:
    return problem.itemsize == 2


def _work(problem: ConvProblem) -> ConvWork:
    per_pixel = 4 * problem.n
    padded, widened, sums = windows.padded_bytes(problem), 0, 0
    prepared = 0
    if _widened(problem):
        high, wide = problem.padded
        widened = per_pixel * problem.c * high * wide
        sums = per_pixel * problem.k * problem.p * problem.q
        prepared = 2 * problem.weight_bytes
    # The padded image, then the same in fp32 beside it; then fp32 sums, which become the output.
    beside_output = widened + sums if widened else padded
    workspace = max(padded + widened - problem.output_bytes, beside_output)
    passes = problem.taps * 2 * max(problem.output_bytes, sums)
    return ConvWork(problem.macs, workspace, prepared, passes + 2 * (padded + widened))


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    wide = weight.float() if _widened(problem) else weight
    g = problem.groups
    return Prepared((wide.view(1, g, -1, *problem.weight_shape[1:]),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    # (1, g, K/g, C/g, R, S)
    (weight,) = prepared.weights
    padded = windows.padded(x, problem)
    padded = windows.by_group(padded.float() if _widened(problem) else padded, problem.groups)
    sums = torch.empty(
        problem.output_shape,
        dtype=weight.dtype,
        device=x.device,
        memory_format=FORMATS[problem.memory_format],
    )
    sums.copy_(prepared.bias.view(-1, 1, 1).expand_as(sums))
    grouped = windows.by_group(sums, problem.groups)
    for c in range(problem.c // problem.groups):
        for r, s in windows.taps(problem):
            image = windows.seen(padded[:, :, None, c], problem, r, s)
            grouped.addcmul_(image, weight[:, :, :, c, r, s, None, None])
    return sums.to(x.dtype)


IMPLEMENTATION = Implementation(
    name="direct",
    meaning="the definition, a multiply-add of a shifted image per channel and tap",
    source="definition",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=lambda problem: (
        f"is for layers up to {_MOST_MACS} MACs, not {problem.macs}"
        if problem.macs > _MOST_MACS
        else ""
    ),
)
