"""The library's own implementations: its default, and the flags that change its choice.

All of them call ``F.conv2d``; they differ in global flags, which ``worker.modes`` sets. The library
does not report what it executes and how much memory it takes, so these values are measured or
unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff, winograd
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem

_CPU, _CUDA = ("cpu",), ("cuda",)


def _work(_: ConvProblem) -> ConvWork:
    return ConvWork(macs=None, workspace=None)


def prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    """The weights, unchanged."""
    del problem
    return Prepared((weight,), bias)


def run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    """``F.conv2d``, or ``F.conv_transpose2d``."""
    (weight,) = prepared.weights
    if problem.transposed:
        return functional.conv_transpose2d(
            x, weight, prepared.bias, problem.stride, problem.padding, problem.output_padding,
            problem.groups, problem.dilation,
        )  # fmt: skip
    return functional.conv2d(
        x, weight, prepared.bias, problem.stride, problem.padding, problem.dilation, problem.groups
    )


def tolerance(problem: ConvProblem) -> float:
    """What the algorithm that the library chooses may be off."""
    # Where Winograd's algorithm is possible, the library may choose it.
    plain = problem.adjoint if problem.transposed and problem.direction else problem
    possible = not plain.transposed and not winograd.refuses(plain)
    return roundoff.winograd(4.0)(problem) if possible else roundoff.gemm(problem)


def _switch(
    name: str,
    meaning: str,
    source: str,
    kinds: tuple[str, ...],
    refuses: Callable[[ConvProblem], str] = lambda _: "",
    **flags: object,
) -> Implementation:
    return Implementation(
        name=name,
        meaning=meaning,
        source=source,
        work=_work,
        prepare=prepare,
        run=run,
        tolerance=tolerance,
        refuses=refuses,
        kinds=kinds,
        exact=("fp32", "bf16", "fp16", "fp64") if kinds == _CPU else (),
        passes=lambda problem: len(problem.post_ops),
        flags=flags,
        computes=("conv", "transposed"),
        library=True,
    )


def _depthwise_choice(problem: ConvProblem) -> str:
    if not hasattr(torch.backends.cudnn, "depthwise_kernel"):
        return f"needs a torch with a choice of depthwise kernel; this is {torch.__version__}"
    if problem.groups == 1 or problem.groups != problem.c:
        return f"needs a depthwise layer, not {problem.groups} groups for {problem.c} channels"
    return ""


# Not in the table: a mode without ``impl=`` means it.
DEFAULT = _switch("library", "the library's own choice", "torch conv2d", ("cpu", "cuda"))

NATIVE = _switch(
    "native", "torch's own kernels, oneDNN off", "torch.backends.mkldnn.enabled", _CPU, mkldnn=False
)
BENCHMARK = _switch(
    "cudnn_benchmark", "cuDNN tries its algorithms and keeps the fastest",
    "torch.backends.cudnn.benchmark", _CUDA, cudnn_benchmark=True,
)  # fmt: skip
DETERMINISTIC = _switch(
    "cudnn_deterministic", "cuDNN's deterministic algorithms only",
    "torch.backends.cudnn.deterministic", _CUDA, cudnn_deterministic=True,
)  # fmt: skip
DEPTHWISE_CUDNN = _switch(
    "depthwise_cudnn", "depthwise by cuDNN's kernel",
    "torch.backends.cudnn.depthwise_kernel", _CUDA, _depthwise_choice,
    cudnn_depthwise_kernel="cudnn",
)  # fmt: skip
DEPTHWISE_NATIVE = _switch(
    "depthwise_native", "depthwise by torch's own CUDA kernel",
    "torch.backends.cudnn.depthwise_kernel", _CUDA, _depthwise_choice,
    cudnn_depthwise_kernel="native",
)  # fmt: skip
