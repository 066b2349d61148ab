"""Implicit GEMM: im2col's matrix product without its matrix, as a Triton kernel of our own.

A readable reference for CUDA, with groups, stride, padding and dilation; library kernels of the
same algorithm are faster. Tiles at the edges compute zeros, which the formula counts. Triton is
imported by the first call. Chetlur et al.: cuDNN, 2014, arXiv:1410.0759, section 3.1.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared
from cnnbench.implementations.kernels.tiles import GEMM_TILE

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


@cache
def without_triton() -> str:
    """Why our Triton kernels cannot run here; empty if they can."""
    return "" if importlib.util.find_spec("triton") else "needs the package triton"


def _work(problem: ConvProblem) -> ConvWork:
    sizes = problem.n * problem.p * problem.q, problem.k // problem.groups, problem.taps
    macs = problem.groups
    for size, tile in zip(sizes, GEMM_TILE, strict=True):
        macs *= ceil(size / tile) * tile
    return ConvWork(macs, 0, problem.weight_bytes)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    del problem
    # Terms are counted with channels first, so channels must be adjacent in memory.
    return Prepared((weight.contiguous(memory_format=torch.channels_last),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    from cnnbench.implementations.kernels import implicit_gemm

    return implicit_gemm.convolve(
        x,
        prepared.weights[0],
        prepared.bias,
        problem.stride,
        problem.padding,
        problem.dilation,
        problem.groups,
    )


IMPLEMENTATION = Implementation(
    name="triton_gemm",
    meaning="implicit GEMM as a Triton kernel, a readable reference",
    source="Chetlur et al. 2014, arXiv:1410.0759",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=lambda _: without_triton(),
    kinds=("cuda",),
    dtypes=("fp32", "bf16", "fp16"),
    exact=("fp32", "bf16", "fp16"),
)
