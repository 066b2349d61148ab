"""The library's convolution with the norm of a unit folded into its weights.

What deployment does first (Jacob et al. 2017, arXiv:1712.05877, section 3.2; ``fuse_conv_bn_eval``
of torch). A norm in inference multiplies a channel by a number and adds another, so the function
stays the same. The activation is an operator of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.implementations import library
from cnnbench.implementations.implementation import ConvWork, Implementation

if TYPE_CHECKING:
    from cnnbench.conv.problem import ConvProblem


def _work(problem: ConvProblem) -> ConvWork:
    return ConvWork(macs=None, workspace=None, prepared=problem.weight_bytes)


def _refuses(problem: ConvProblem) -> str:
    if problem.direction:
        return "computes forward passes only"
    return "" if problem.normed else "needs a unit with a batch norm (--unit conv+bn+relu)"


IMPLEMENTATION = Implementation(
    name="folded",
    meaning="the library's, a unit's norm folded into its weights",
    source="Jacob et al. 2017, arXiv:1712.05877; torch conv2d",
    work=_work,
    prepare=library.prepare,
    run=library.run,
    tolerance=library.tolerance,
    refuses=_refuses,
    computes=("conv", "transposed"),
    library=True,
)
