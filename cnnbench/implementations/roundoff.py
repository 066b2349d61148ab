"""The allowed rounding error of a convolution, by what is summed in which precision.

Relative Frobenius errors against float64 on the same (already rounded) input and weights, for
data without structure. Rounding errors of different signs grow with the square root of the number
of additions (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 2.8); the
factors are about twice the worst values observed for random layers. Knows no implementation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.conv.problem import ConvProblem

# Relative error of rounding to nearest: half the distance of neighbouring numbers at 1.
UNIT = {"fp64": 2.0**-53, "fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}


def accumulator(problem: ConvProblem) -> float:
    """Unit of the sums inside a matrix product: half-width types add in fp32."""
    return min(UNIT[problem.dtype], UNIT["fp32"])


def gemm(problem: ConvProblem) -> float:
    """One sum of all products per element, C/g x R x S forward, rounded to the dtype at the end."""
    return 3 * UNIT[problem.dtype] + accumulator(problem) * math.sqrt(problem.summed)


def rounded_taps(rounds: Callable[[ConvProblem], int]) -> Callable[[ConvProblem], float]:
    """The output is rounded to its dtype after each of several partial sums."""

    def tolerance(problem: ConvProblem) -> float:
        return gemm(problem) + UNIT[problem.dtype] * math.sqrt(rounds(problem))

    return tolerance


def winograd(growth: float) -> Callable[[ConvProblem], float]:
    """Transforms with large and small factors multiply every rounding by ``growth``.

    (Barabasz, Anderson, Soodhalter, Gregg: Error Analysis and Improving the Accuracy of Winograd
    Convolution, 2020, arXiv:1803.10986.)
    """

    def tolerance(problem: ConvProblem) -> float:
        # The transforms round to the dtype whatever the number of channels.
        return growth * (2 * UNIT[problem.dtype] + gemm(problem))

    return tolerance


def fourier(problem: ConvProblem) -> float:
    """A transform of size n adds about log2 n roundings of the whole image to every pixel."""
    stages = math.log2(2 * problem.padded[0] * problem.padded[1])
    return gemm(problem) + 2 * stages * UNIT[problem.dtype]
