"""The two building blocks of most convolutional networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]


def conv_norm(
    width_in: int,
    width: int,
    kernel: Size,
    stride: int = 1,
    padding: Size = 0,
    *,
    groups: int = 1,
    bias: bool = False,
    eps: float = 1e-5,
) -> list[nn.Module]:
    """Return a convolution and its batch normalisation."""
    convolution = nn.Conv2d(width_in, width, kernel, stride, padding, groups=groups, bias=bias)
    return [convolution, nn.BatchNorm2d(width, eps=eps)]


class Concat(nn.Module):
    """Branches side by side on one input, with their maps concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, sum of the branches' widths, H', W')."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)
