"""A backward pass of a convolution by itself: the gradient of its input, or of its weights.

By the library one operator computes either, ``aten::convolution_backward`` with one gradient in its
mask, which is what autograd calls. The gradient of the input is a transposed convolution of that of
the output with the same weights (of a transposed one a convolution), so that whatever computes
``ConvProblem.adjoint`` computes it. Source: Dumoulin and Visin 2016, arXiv:1603.07285, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from cnnbench.conv.problem import ConvProblem


class BackwardPass(nn.Module):
    """One gradient of a convolution by the library; it holds the weights of one."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, problem: ConvProblem) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach())
        self.problem = problem

    def forward(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Gradient of the input or of the weights, in the shape of either.

        Args:
            x: input of the convolution, (N, C, H, W); of the gradient of the input, only its shape
                and its layout count.
            gradient: of the output, (N, K, P, Q).
        """
        of_input = self.problem.direction == "bwd_d"
        found = torch.ops.aten.convolution_backward(
            gradient, x, self.weight, None, self.problem.stride, self.problem.padding,
            self.problem.dilation, self.problem.transposed, self.problem.output_padding,
            self.problem.groups, (of_input, not of_input, False),
        )  # fmt: skip
        result: Tensor = found[0 if of_input else 1]
        return result

    @property
    def kernel(self) -> tuple[Tensor, Tensor]:
        """The weights and, as the result's channels have no bias, zeros for them."""
        return self.weight.detach(), self.weight.new_zeros(self.problem.c)


def given(
    problem: ConvProblem, batch: int, sample: tuple[int, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What a backward pass is called with: random input (N, C, H, W) and gradient (N, K, P, Q).

    Args:
        problem: the layer.
        batch: how many samples.
        sample: shape of one.
        generator: of the random numbers.
    """
    shapes = (sample, problem.output_shape[1:])
    x, gradient = (torch.randn(batch, *shape, generator=generator) for shape in shapes)
    return x, gradient
