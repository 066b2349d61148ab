"""EfficientNet from its scaling rule, for the size beyond torchvision's b0 to b7: L2.

Papers: Tan & Le (arXiv:1905.11946), table 1 and equation 3; Xie et al., "Self-training with Noisy
Student" (arXiv:1911.04252), table 7: width 4.3, depth 5.3, resolution 800, 480 M parameters. The
exact count is that of the TensorFlow model as converted by timm (480,309,308).
"""

from __future__ import annotations

import functools
import math

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import head

# Table 1: expansion, kernel, stride, width, layers.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def _scaled(width: int, factor: float) -> int:
    """Return the width times the factor, to the nearest eight but never below 90 % of it."""
    exact = width * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


def _conv(
    width_in: int, width: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    layers = conv_norm(width_in, width, kernel, stride, kernel // 2, groups=groups, eps=0.001)
    return [*layers, nn.SiLU()]


class Gate(nn.Module):
    """Squeeze-and-excitation whose bottleneck is a quarter of the block's input."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        gate: Tensor = self.gate(x)
        return gate * x


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, gate, project; with a shortcut where shapes allow."""

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int, expansion: int, drop: float
    ) -> None:
        super().__init__()
        inner = width_in * expansion
        self.layers = nn.Sequential(
            *(_conv(width_in, inner, 1) if expansion > 1 else []),
            *_conv(inner, inner, kernel, stride, groups=inner),
            Gate(inner, max(1, width_in // 4)),
            *conv_norm(inner, width, 1, eps=0.001),
        )
        self.shortcut = stride == 1 and width_in == width
        self.drop = StochasticDepth(drop, "row")

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, width, H/stride, W/stride)."""
        out: Tensor = self.layers(x)
        return x + self.drop(out) if self.shortcut else out


def efficientnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
) -> nn.Module:
    """EfficientNet for a width and a depth coefficient; logits (N, classes)."""
    width_in = _scaled(32, width)
    layers: list[nn.Module] = _conv(in_channels, width_in, 3, 2)
    repeats = [math.ceil(stage[4] * depth) for stage in _STAGES]
    built = 0
    for (expansion, kernel, first, unscaled, _), blocks in zip(_STAGES, repeats, strict=True):
        for block in range(blocks):
            stride, out = (first if block == 0 else 1), _scaled(unscaled, width)
            drop = 0.2 * built / sum(repeats)
            layers.append(MBConv(width_in, out, kernel, stride, expansion, drop))
            width_in, built = out, built + 1
    last = _scaled(1280, width)
    layers += [*_conv(width_in, last, 1), *head(last, num_classes)]
    layers.insert(-1, nn.Dropout(dropout))
    return nn.Sequential(*layers)


add(
    Architecture(
        name="efficientnet_l2",
        family="EfficientNet",
        task="classification",
        year=2019,
        paper="arXiv:1911.04252, table 7; count of the TensorFlow model",
        input=(3, 800, 800),
        build=functools.partial(efficientnet, width=4.3, depth=5.3, dropout=0.5),
        params=480_309_308,
        top1=88.4,
        min_size=1,
        tags=("imagenet", "giant"),
        notes="top-1 with 300 million unlabelled images",
    )
)
