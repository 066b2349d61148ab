"""oneDNN with its weights reordered once, instead of on every call as the default does.

An activation that follows is computed with the convolution.

Freezing a compiled network does the same. It uses the functions of torch's own compiler. They are
private to torch, so it refuses a torch version without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem

# Seen with torch 2.11 and 2.14: of random layers whose outputs are made of padded columns alone,
# about one in five ended in a segmentation fault; of all others none did. With 2.15 none does.
_SOUND = "2.15"


def _work(_: ConvProblem) -> ConvWork:
    # oneDNN chooses the blocked format and pads channels to its blocks.
    return ConvWork(macs=None, workspace=None, prepared=None)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # noqa: SLF001
    packed = reorder(
        weight.contiguous().to_mkldnn(), list(problem.padding), list(problem.stride),
        list(problem.dilation), problem.groups, list(problem.input_shape),
    )  # fmt: skip
    return Prepared((packed,), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    convolution = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001
    y: Tensor = convolution(
        x, weight, prepared.bias, problem.padding, problem.stride, problem.dilation,
        problem.groups, "relu" if problem.activated else "none", [], "",
    )  # fmt: skip
    return y


def _refuses(problem: ConvProblem) -> str:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "needs a torch with oneDNN"
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return f"needs torch's oneDNN operators, which {torch.__version__} lacks"
    if torch.__version__ < _SOUND and problem.columns_read == 0:
        return f"kills its process before torch {_SOUND} where every column falls on padding"
    supported = {"bf16": "_is_mkldnn_bf16_supported", "fp16": "_is_mkldnn_fp16_supported"}
    name = supported.get(problem.dtype)
    if name is not None and not getattr(torch.ops.mkldnn, name, lambda: False)():
        return f"needs a processor on which oneDNN computes in {problem.dtype}"
    return ""


IMPLEMENTATION = Implementation(
    name="prepacked",
    meaning="oneDNN, weights reordered once beforehand",
    source="oneDNN; torch.ops.mkldnn",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=_refuses,
    kinds=("cpu",),
    dtypes=("fp32", "bf16", "fp16"),
    passes=lambda _: 0,
)
