"""A transposed convolution as stride² small convolutions, one for each place within a stride.

Outputs that are a whole number of strides apart see the same taps of the kernel, so that each such
set is a convolution of the input, and no product is with an inserted zero. Shi et al. 2016,
arXiv:1609.07009 (the same function as their sub-pixel convolution); the sets are interleaved.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import FORMATS, ConvWork, Implementation, Prepared
from cnnbench.implementations.zero_insertion import turned

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


@dataclass(frozen=True)
class _Phase:
    """The outputs ``first``, ``first + stride``, … along an axis.

    Attributes:
        first: the place of the first of them.
        outputs: how many they are.
        taps: of the kernel that they see, a range; empty if they get the bias alone.
        before: zeros that the input needs before its first element; negative ones are cut off.
        needed: elements of input that they see, zeros included.
        dilation: of the small convolution.
    """

    first: int
    outputs: int
    taps: range
    before: int
    needed: int
    dilation: int


def _phases(problem: ConvProblem, axis: int) -> list[_Phase]:
    outputs, kernel = ((problem.p, problem.r), (problem.q, problem.s))[axis]
    stride, padding, dilation = (
        one[axis] for one in (problem.stride, problem.padding, problem.dilation)
    )
    # Taps this far apart fall on the same outputs, one input element or several apart.
    step = stride // gcd(stride, dilation)
    gap = dilation // gcd(stride, dilation)
    found = []
    for first in range(min(stride, outputs)):
        fit = [
            tap
            for tap in range(min(step, kernel))
            if not (first + padding - tap * dilation) % stride
        ]
        taps = range(fit[0], kernel, step) if fit else range(0)
        count = len(range(first, outputs, stride))
        reach = (max(len(taps), 1) - 1) * gap
        # Where the first tap of the first output looks; the last one looks ``reach`` before it.
        at = (first + padding - taps[0] * dilation) // stride if taps else 0
        found.append(_Phase(first, count, taps, reach - at, count + reach, gap))
    return found


def _pairs(problem: ConvProblem) -> list[tuple[_Phase, _Phase]]:
    return list(itertools.product(_phases(problem, 0), _phases(problem, 1)))


def _work(problem: ConvProblem) -> ConvWork:
    pairs = [(one, other) for one, other in _pairs(problem) if one.taps and other.taps]
    per_group = problem.c // problem.groups
    products = sum(
        one.outputs * other.outputs * len(one.taps) * len(other.taps) for one, other in pairs
    )
    padded = problem.c * sum(one.needed * other.needed for one, other in pairs)
    return ConvWork(
        macs=problem.n * problem.k * per_group * products,
        workspace=None,
        prepared=problem.weight_bytes,
        # A padded input for each, written and read, and every output moved to its place.
        traffic=2 * (problem.itemsize * problem.n * padded + problem.output_bytes),
    )


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    parts = []
    for one, other in _pairs(problem):
        if one.taps and other.taps:
            rows, columns = one.taps, other.taps
            taken = weight[:, :, rows.start : rows.stop : rows.step,
                           columns.start : columns.stop : columns.step]  # fmt: skip
            kernel = turned(taken.contiguous(), problem.groups)
            parts.append(kernel.contiguous(memory_format=FORMATS[problem.memory_format]))
    return Prepared(tuple(parts), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    y = torch.empty(
        problem.output_shape, dtype=x.dtype, device=x.device,
        memory_format=FORMATS[problem.memory_format],
    )  # fmt: skip
    down, right = problem.stride
    weights = iter(prepared.weights)
    for one, other in _pairs(problem):
        place = y[:, :, one.first :: down, other.first :: right]
        if not (one.taps and other.taps):
            place.copy_(prepared.bias.view(-1, 1, 1).expand_as(place))
            continue
        given = functional.pad(
            x,
            (other.before, other.needed - other.before - problem.w,
             one.before, one.needed - one.before - problem.h),
        )  # fmt: skip
        place.copy_(
            functional.conv2d(
                given, next(weights), prepared.bias, dilation=(one.dilation, other.dilation),
                groups=problem.groups,
            )
        )  # fmt: skip
    return y


def _refuses(problem: ConvProblem) -> str:
    most = 64
    count = min(problem.stride[0], problem.p) * min(problem.stride[1], problem.q)
    return f"makes up to {most} small convolutions, not {count}" if count > most else ""


IMPLEMENTATION = Implementation(
    name="subpixel",
    meaning="transposed: stride² small convolutions, interleaved",
    source="Shi et al. 2016, arXiv:1609.07009",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=_refuses,
    computes=("transposed",),
)
