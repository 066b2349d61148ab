"""Depthwise, tap by tap: the output is a sum of R x S shifted images, each scaled per channel.

No channel is mixed with another, so there is no matrix product to gain from. Half-width types are
rounded after every tap. Howard et al.: MobileNets, 2017, arXiv:1704.04861, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import FORMATS, ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    padded = windows.padded_bytes(problem)
    passes = problem.r * problem.s * (problem.input_bytes + 2 * problem.output_bytes)
    return ConvWork(problem.macs, padded, windows.reordered_bytes(problem), passes + 2 * padded)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    # (K, 1, R, S) -> (R, S, C, multiplier, 1, 1)
    taps = weight.permute(2, 3, 0, 1).reshape(problem.r, problem.s, problem.c, -1, 1, 1)
    return Prepared((taps.contiguous(),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    padded = windows.padded(x, problem).unsqueeze(2)
    y = torch.empty(
        problem.output_shape,
        dtype=x.dtype,
        device=x.device,
        memory_format=FORMATS[problem.memory_format],
    )
    y.copy_(prepared.bias.view(-1, 1, 1).expand_as(y))
    channels = windows.by_group(y, problem.c)
    for r, s in windows.taps(problem):
        channels.addcmul_(windows.seen(padded, problem, r, s), weight[r, s])
    return y


def _refuses(problem: ConvProblem) -> str:
    if problem.groups == problem.c:
        return ""
    return f"needs a group per channel, not {problem.groups} groups for {problem.c} channels"


IMPLEMENTATION = Implementation(
    name="depthwise_taps",
    meaning="depthwise as a sum of shifted, scaled images",
    source="Howard et al. 2017, arXiv:1704.04861",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r * problem.s),
    refuses=_refuses,
)
