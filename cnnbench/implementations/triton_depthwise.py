"""Depthwise convolution in NHWC as a Triton kernel of our own.

Memory bounds it, so a short kernel can come near a library's. Programs at the edges compute zeros,
which the formula counts. Triton is imported by the first call. Howard et al.: MobileNets, 2017,
arXiv:1704.04861, section 3.1.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared
from cnnbench.implementations.kernels.tiles import DEPTHWISE_TILE
from cnnbench.implementations.triton_gemm import without_triton

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    columns, channels = (
        ceil(size / tile) * tile
        for size, tile in zip((problem.q, problem.k), DEPTHWISE_TILE, strict=True)
    )
    return ConvWork(
        problem.n * problem.p * columns * channels * problem.taps, 0, problem.weight_bytes
    )


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    # (K, 1, R, S) as (R, S, K) in memory: a program reads the taps of neighbouring channels.
    taps = weight.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    del problem
    return Prepared((taps,), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    from cnnbench.implementations.kernels import depthwise

    return depthwise.convolve(
        x, prepared.weights[0], prepared.bias, problem.stride, problem.padding, problem.dilation
    )


def _refuses(problem: ConvProblem) -> str:
    if problem.groups != problem.c:
        return f"needs a group per channel, not {problem.groups} groups for {problem.c} channels"
    return without_triton()


IMPLEMENTATION = Implementation(
    name="triton_depthwise",
    meaning="depthwise NHWC as a Triton kernel, a readable reference",
    source="Howard et al. 2017, arXiv:1704.04861",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=_refuses,
    layout="channels_last",
    kinds=("cuda",),
    dtypes=("fp32", "bf16", "fp16"),
    exact=("fp32", "bf16", "fp16"),
)
