"""BagNet: a ResNet-50 that sees no more than 9, 17 or 33 pixels at once.

Paper: Brendel & Bethge, "Approximating CNNs with Bag-of-local-Features models works surprisingly
well on ImageNet" (ICLR 2019, arXiv:1904.00760), appendix A. Almost all 3x3 convolutions are 1x1;
there is no padding, and shortcuts are cropped to fit. Counts as in osmr/imgclsmob, whose weights
are the authors'.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import DEPTHS, bottleneck_layers, head

# Stages whose first block keeps its 3x3 convolution; each doubles the receptive field.
_STAGES_WITH_3X3 = {9: 2, 17: 3, 33: 4}


class CroppedResidual(nn.Module):
    """relu(layers(x) + shortcut(x)), the shortcut cut at the bottom and right to the same size."""

    def __init__(self, width_in: int, inner: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inner * 4
        layers = bottleneck_layers(width_in, inner, width)
        layers[3] = nn.Conv2d(inner, inner, kernel, stride, bias=False)
        self.layers = nn.Sequential(*layers)
        changes = stride != 1 or width_in != width
        self.shortcut = (
            nn.Sequential(*conv_norm(width_in, width, 1, stride)) if changes else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, 4 inner, H', W') as for a convolution without padding."""
        out: Tensor = self.layers(x)
        shortcut: Tensor = self.shortcut(x)
        return functional.relu(out + shortcut[:, :, : out.shape[2], : out.shape[3]])


def bagnet(num_classes: int = 1000, in_channels: int = 3, *, patch: int = 33) -> nn.Module:
    """Sixteen bottlenecks, strides 2, 2, 2, 1, mean over all patches; logits (N, classes)."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, 64, 1, bias=False),
        *(*conv_norm(64, 64, 3), nn.ReLU()),
    ]
    width_in = 64
    for stage, blocks in enumerate(DEPTHS[50][0]):
        for block in range(blocks):
            kernel = 3 if block == 0 and stage < _STAGES_WITH_3X3[patch] else 1
            stride = 2 if block == 0 and stage < 3 else 1
            layers.append(CroppedResidual(width_in, 64 * 2**stage, kernel, stride))
            width_in = 256 * 2**stage
    return nn.Sequential(*layers, *head(width_in, num_classes))


for _patch, _params in ((9, 15_688_744), (17, 16_213_032), (33, 18_310_184)):
    add(
        Architecture(
            name=f"bagnet{_patch}",
            family="BagNet",
            task="classification",
            year=2019,
            paper="arXiv:1904.00760, appendix A; count as in osmr/imgclsmob",
            input=(3, 224, 224),
            build=functools.partial(bagnet, patch=_patch),
            params=_params,
            min_size=_patch,
            tags=("imagenet",),
        )
    )
