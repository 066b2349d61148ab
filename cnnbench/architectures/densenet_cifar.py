"""DenseNet for CIFAR: every layer sees the maps of all layers before it.

Paper: Huang, Liu, van der Maaten, Weinberger (arXiv:1608.06993), section 3 and table 2, which
states 1.0 M (L=40), 7.0 M (L=100) and, with bottlenecks and compression, 0.8 M parameters (BC,
L=100), all for k=12. DenseNet-121 to -201 for ImageNet come from torchvision.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import head


def _norm_conv(width_in: int, width: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(width_in, width, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(width_in), nn.ReLU(), convolution]


class DenseLayer(nn.Module):
    """Append ``growth`` new maps to the input; BC computes them from 4 x growth maps."""

    def __init__(self, width_in: int, growth: int, *, bottleneck: bool) -> None:
        super().__init__()
        layers = _norm_conv(width_in, 4 * growth, 1) if bottleneck else []
        layers += _norm_conv(4 * growth if bottleneck else width_in, growth, 3)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + growth, H, W)."""
        return torch.cat([x, self.layers(x)], dim=1)


def densenet_cifar(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    depth: int = 40,
    growth: int = 12,
    bottleneck: bool = False,
) -> nn.Module:
    """3x3 stem, three dense blocks with transitions between, mean, fc; logits (N, classes)."""
    # A dense layer is one convolution deep, with a bottleneck two; four layers are outside blocks.
    layers_per_block = (depth - 4) // (6 if bottleneck else 3)
    width = 2 * growth if bottleneck else 16
    layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False)]
    for block in range(3):
        for _ in range(layers_per_block):
            layers.append(DenseLayer(width, growth, bottleneck=bottleneck))
            width += growth
        if block < 2:
            width_out = width // 2 if bottleneck else width
            layers += [*_norm_conv(width, width_out, 1), nn.AvgPool2d(2)]
            width = width_out
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(), *head(width, num_classes))


for _name, _depth, _bottleneck, _params in (
    ("densenet40_cifar", 40, False, 1_019_722),
    ("densenet100_cifar", 100, False, None),
    ("densenet_bc100_cifar", 100, True, 769_162),
):
    add(
        Architecture(
            name=_name,
            family="DenseNet",
            task="classification",
            year=2016,
            paper="arXiv:1608.06993, table 2 (k=12)",
            input=(3, 32, 32),
            build=functools.partial(densenet_cifar, depth=_depth, bottleneck=_bottleneck),
            params=_params,
            min_size=4,
            tags=("lecture", "cifar"),
        )
    )
