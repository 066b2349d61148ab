"""The definition of a convolution in seven loops over Python numbers, and data to feed it.

The judge that owes nothing to torch.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import DTYPES, Implementation, Prepared, implementation
from cnnbench.implementations.implementation import FORMATS


def seven_loops(x: Tensor, weight: Tensor, bias: Tensor, problem: ConvProblem) -> Tensor:
    given, weights, biases = x.tolist(), weight.tolist(), bias.tolist()
    y = torch.zeros(problem.output_shape, dtype=torch.float64)
    per_group, outputs = problem.c // problem.groups, problem.k // problem.groups
    sizes = (problem.n, problem.k, problem.p, problem.q)
    for n, k, p, q in itertools.product(*map(range, sizes)):
        total = biases[k]
        for c, r, s in itertools.product(range(per_group), range(problem.r), range(problem.s)):
            h = p * problem.stride[0] - problem.padding[0] + r * problem.dilation[0]
            w = q * problem.stride[1] - problem.padding[1] + s * problem.dilation[1]
            if 0 <= h < problem.h and 0 <= w < problem.w:
                channel = k // outputs * per_group + c
                total += given[n][channel][h][w] * weights[k][c][r][s]
        y[n, k, p, q] = total
    return y


def data(problem: ConvProblem, seed: int, *, integers: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weights, bias; integers up to the given size, or of variances 1, 1/taps and 1."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (problem.input_shape, problem.weight_shape, (problem.k,))
    if integers:
        x, weight, bias = (
            torch.randint(-integers, integers + 1, shape, generator=generator) for shape in shapes
        )
    else:
        x, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
        weight = weight / problem.taps**0.5
    dtype = DTYPES[problem.dtype]
    x = x.to(dtype).contiguous(memory_format=FORMATS[problem.memory_format])
    return x, weight.to(dtype), bias.to(dtype)


def computed(
    how: Implementation, given: tuple[Tensor, Tensor, Tensor], problem: ConvProblem
) -> Tensor:
    x, weight, bias = given
    with torch.inference_mode():
        prepared: Prepared = how.prepare(weight, bias, problem)
        return how.convolve(x, prepared, problem)


def by_torch(given: tuple[Tensor, Tensor, Tensor], problem: ConvProblem) -> Tensor:
    """float64, by the library."""
    x, weight, bias = (tensor.double() for tensor in given)
    return implementation("").run(x, Prepared((weight,), bias), problem)


def error(got: Tensor, given: tuple[Tensor, Tensor, Tensor], problem: ConvProblem) -> float:
    """Relative to the output, or to what such an output usually is if it cancels by chance."""
    exact = by_torch(given, problem)
    x, weight, bias = given
    positive = by_torch((x.abs(), weight.abs(), bias.abs()), problem)
    scale = max(float(exact.norm()), float(positive.norm()) / problem.taps**0.5)
    return float((got.double() - exact).norm()) / (scale or 1.0)
