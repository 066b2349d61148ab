"""A 1x1 convolution is a matrix product: channels against pixels (NCHW), pixels against channels.

It does exactly the layer's multiply-accumulates and needs no workspace. Lin, Chen, Yan: Network In
Network, 2013, arXiv:1312.4400, section 3.1, describes the layer as a small fully connected one at
every pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    return ConvWork(problem.macs, 0)


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    return Prepared((weight.reshape(problem.k, problem.c),), bias)


def _matmul(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    y = x.new_empty(problem.output_shape)
    for image, given in zip(y.flatten(2), x.flatten(2), strict=True):
        torch.addmm(prepared.bias.view(-1, 1), weight, given, out=image)
    return y


def _linear(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    del problem
    (weight,) = prepared.weights
    return windows.as_image(functional.linear(windows.as_rows(x), weight, prepared.bias))


MATMUL = Implementation(
    name="matmul_1x1",
    meaning="1x1 as a matrix product per image, K x C by C x HW (NCHW)",
    source="Lin et al. 2013, arXiv:1312.4400",
    work=_work,
    prepare=_prepare,
    run=_matmul,
    tolerance=roundoff.gemm,
    refuses=windows.needs_pointwise,
    layout="contiguous",
)

LINEAR = Implementation(
    name="linear_1x1",
    meaning="1x1 as a fully connected layer on every pixel, NHW x C by C x K (NHWC)",
    source="Lin et al. 2013, arXiv:1312.4400",
    work=_work,
    prepare=_prepare,
    run=_linear,
    tolerance=roundoff.gemm,
    refuses=windows.needs_pointwise,
    layout="channels_last",
)
