"""A transposed convolution as a convolution of the input with zeros between its pixels.

The kernel is turned by half a circle, channels of input and output are exchanged. Dumoulin and
Visin 2016, arXiv:1603.07285, section 4; stride² - 1 of stride² products are with a zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import FORMATS, ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _spread(problem: ConvProblem) -> tuple[int, int]:
    """Height and width of the input with zeros between its pixels and around them."""
    return problem.p + problem.extent[0] - 1, problem.q + problem.extent[1] - 1


def _work(problem: ConvProblem) -> ConvWork:
    high, wide = _spread(problem)
    spread = problem.itemsize * problem.n * problem.c * high * wide
    macs = problem.n * problem.k * problem.p * problem.q * problem.taps
    return ConvWork(macs=macs, workspace=None, prepared=problem.weight_bytes, traffic=2 * spread)


def turned(weight: Tensor, groups: int) -> Tensor:
    """Weight (C, K/g, R, S) -> (K, C/g, R, S), the kernels turned by half a circle."""
    c, per_group, r, s = weight.shape
    parts = weight.flip(2, 3).view(groups, c // groups, per_group, r, s).transpose(1, 2)
    return parts.reshape(groups * per_group, c // groups, r, s).contiguous()


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    kernel = turned(weight.contiguous(), problem.groups)
    return Prepared((kernel.contiguous(memory_format=FORMATS[problem.memory_format]),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    high, wide = _spread(problem)
    spread = torch.empty(
        (problem.n, problem.c, high, wide), dtype=x.dtype, device=x.device,
        memory_format=FORMATS[problem.memory_format],
    ).zero_()  # fmt: skip
    (rows, above), (columns, beside) = (_kept(problem, axis, high, wide) for axis in (0, 1))
    down, right = problem.stride
    spread[:, :, above::down, beside::right][:, :, : len(rows), : len(columns)] = x[
        :, :, rows.start : rows.stop, columns.start : columns.stop
    ]
    return functional.conv2d(
        spread, weight, prepared.bias, dilation=problem.dilation, groups=problem.groups
    )


def _kept(problem: ConvProblem, axis: int, high: int, wide: int) -> tuple[range, int]:
    """The inputs along an axis that padding does not cut off, and where the first of them goes."""
    size, room = ((problem.h, high), (problem.w, wide))[axis]
    stride = problem.stride[axis]
    shift = problem.extent[axis] - 1 - problem.padding[axis]
    first = max(0, -(shift // stride))
    last = min(size, (room - 1 - shift) // stride + 1)
    return range(first, max(first, last)), first * stride + shift


IMPLEMENTATION = Implementation(
    name="zero_insertion",
    meaning="transposed: zeros between the pixels, then a convolution by the library",
    source="Dumoulin and Visin 2016, arXiv:1603.07285, section 4",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    computes=("transposed",),
)
