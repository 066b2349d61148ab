"""SE-ResNet-50: channels weighted by what the whole map contains.

Paper: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks" (arXiv:1709.01507), figure 3
and table 1, reduction ratio 16. The authors' Caffe model is followed: stride in the first 1x1
convolution and a max-pool without padding that rounds up; its count is 28,088,024 (the paper states
the ResNet's 25 million plus 10 %: about 2.5 million).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import register
from cnnbench.architectures.resnet import DEPTHS, head


class SqueezeExcitation(nn.Module):
    """Scale each map by a gate computed from the means of all maps."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        gate: Tensor = self.gate(x)
        return x * gate


class SEBottleneck(nn.Module):
    """A bottleneck whose residual is gated before the addition (figure 3)."""

    def __init__(self, width_in: int, inner: int, stride: int) -> None:
        super().__init__()
        width = inner * 4
        self.layers = nn.Sequential(
            *(*conv_norm(width_in, inner, 1, stride), nn.ReLU()),
            *(*conv_norm(inner, inner, 3, 1, 1), nn.ReLU()),
            *conv_norm(inner, width, 1),
        )
        changes = stride != 1 or width_in != width
        self.shortcut = (
            nn.Sequential(*conv_norm(width_in, width, 1, stride)) if changes else nn.Identity()
        )
        self.gate = SqueezeExcitation(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, 4 inner, H/stride, W/stride)."""
        out: Tensor = self.layers(x)
        shortcut: Tensor = self.shortcut(x)
        return functional.relu(self.gate(out) + shortcut)


@register(
    "se_resnet50",
    family="SENet",
    task="classification",
    year=2017,
    paper="arXiv:1709.01507, table 1",
    input=(3, 224, 224),
    params=28_088_024,
    top1=76.7,
    min_size=3,
    tags=("imagenet",),
)
def se_resnet50(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """ResNet-50 with a gate in each of its sixteen blocks; logits (N, classes)."""
    layers = [*conv_norm(in_channels, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    width_in = 64
    for stage, blocks in enumerate(DEPTHS[50][0]):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(SEBottleneck(width_in, 64 * 2**stage, stride))
            width_in = 256 * 2**stage
    return nn.Sequential(*layers, *head(width_in, num_classes))
