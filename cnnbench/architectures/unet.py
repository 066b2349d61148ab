"""U-Net as published: convolutions without padding, so the output is smaller than the input.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation"
(arXiv:1505.04597), figure 1: 572x572 grey values in, 388x388 pixels of two classes out. The paper
states no parameter count.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from cnnbench.architectures.registry import register

_WIDTHS = (64, 128, 256, 512, 1024)


def _double(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(width_in, width, 3), nn.ReLU()), *(nn.Conv2d(width, width, 3), nn.ReLU())
    )


def _crop(x: Tensor, like: Tensor) -> Tensor:
    """Cut the middle of ``x`` to the height and width of ``like``."""
    top, left = ((x.shape[axis] - like.shape[axis]) // 2 for axis in (2, 3))
    return x[:, :, top : top + like.shape[2], left : left + like.shape[3]]


class UNet(nn.Module):
    """Down four times, up four times, and the cropped maps of each level joined on the way up."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(_WIDTHS))
        self.first = _double(in_channels, _WIDTHS[0])
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), _double(narrow, wide)) for narrow, wide in pairs
        )
        # Section 3.1: dropout at the end of the contracting path.
        self.dropout = nn.Dropout(0.5)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 2, 2) for narrow, wide in reversed(pairs)
        )
        self.merge = nn.ModuleList(_double(wide, narrow) for narrow, wide in reversed(pairs))
        self.classify = nn.Conv2d(_WIDTHS[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) to logits (N, classes, H - 184, W - 184) for H and W of 16 n + 12."""
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.dropout(levels.pop())
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            x = merge(torch.cat([_crop(levels.pop(), x), x], dim=1))
        logits: Tensor = self.classify(x)
        return logits


@register(
    "unet",
    family="U-Net",
    task="segmentation",
    year=2015,
    paper="arXiv:1505.04597, figure 1",
    input=(1, 572, 572),
    min_size=188,
    tags=("lecture", "segmentation"),
)
def unet(num_classes: int = 2, in_channels: int = 1) -> nn.Module:
    """U-Net of figure 1; logits (N, classes, H - 184, W - 184)."""
    return UNet(num_classes, in_channels)
