"""Pre-activation ResNet: batch norm and ReLU in front of each convolution, a clean identity path.

Paper: He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks" (arXiv:1603.05027),
figure 4(e). Zagoruyko & Komodakis (arXiv:1605.07146), table 5, list 1.7 M parameters for depths 110
and 164 on CIFAR. Counts of the ImageNet depths are those of osmr/imgclsmob (PreResNet), which keeps
the stem's batch norm; strides are in the 3x3 convolutions, which changes no count.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn

from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import DEPTHS, head, stem


def _conv(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2, bias=False)


def _activation(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU()]


def _layers(width_in: int, inner: int, width: int, stride: int) -> nn.Sequential:
    if inner == width:
        convolutions = [_conv(width_in, width, 3, stride), *_activation(width)]
        return nn.Sequential(*convolutions, _conv(width, width, 3))
    return nn.Sequential(
        *(_conv(width_in, inner, 1), *_activation(inner)),
        *(_conv(inner, inner, 3, stride), *_activation(inner)),
        _conv(inner, width, 1),
    )


class PreActivation(nn.Module):
    """x + layers(activation(x)); where shapes change, a 1x1 projection of the activated input."""

    def __init__(self, width_in: int, inner: int, width: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.Sequential(*_activation(width_in))
        changes = stride != 1 or width_in != width
        self.projection = _conv(width_in, width, 1, stride) if changes else None
        self.layers = _layers(width_in, inner, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, width, H/stride, W/stride)."""
        activated = self.activation(x)
        identity = x if self.projection is None else self.projection(activated)
        out: Tensor = self.layers(activated)
        return out + identity


def _stages(
    width_in: int, stages: tuple[int, ...], inner: int, expansion: int
) -> tuple[list[nn.Module], int]:
    layers: list[nn.Module] = []
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(PreActivation(width_in, inner, inner * expansion, stride))
            width_in = inner * expansion
        inner *= 2
    return [*layers, *_activation(width_in)], width_in


def preact_resnet(num_classes: int = 1000, in_channels: int = 3, *, depth: int = 18) -> nn.Module:
    """ImageNet form: the stem of ResNet, four stages, a last activation; logits (N, classes)."""
    stages, bottleneck = DEPTHS[depth]
    layers, width = _stages(64, stages, 64, 4 if bottleneck else 1)
    return nn.Sequential(*stem(in_channels), *layers, *head(width, num_classes))


def preact_resnet_cifar(
    num_classes: int = 10, in_channels: int = 3, *, depth: int = 110
) -> nn.Module:
    """CIFAR form: 3x3 stem, stages of 16, 32, 64 (x 4 as bottlenecks); logits (N, classes)."""
    bottleneck = depth > 110
    blocks = (depth - 2) // (9 if bottleneck else 6)
    layers, width = _stages(16, (blocks,) * 3, 16, 4 if bottleneck else 1)
    return nn.Sequential(_conv(in_channels, 16, 3), *layers, *head(width, num_classes))


for _depth, _params in (
    (18, 11_687_848),
    (34, 21_796_008),
    (50, 25_549_480),
    (101, 44_541_608),
    (152, 60_185_256),
    (200, 64_666_280),
):
    add(
        Architecture(
            name=f"preact_resnet{_depth}",
            family="Pre-activation ResNet",
            task="classification",
            year=2016,
            paper="arXiv:1603.05027, figure 4(e); count as in osmr/imgclsmob (PreResNet)",
            input=(3, 224, 224),
            build=functools.partial(preact_resnet, depth=_depth),
            params=_params,
            min_size=1,
            tags=("imagenet",),
        )
    )

for _depth in (110, 164):
    add(
        Architecture(
            name=f"preact_resnet{_depth}_cifar",
            family="Pre-activation ResNet",
            task="classification",
            year=2016,
            paper="arXiv:1603.05027, table 2 and figure 4(e)",
            input=(3, 32, 32),
            build=functools.partial(preact_resnet_cifar, depth=_depth),
            min_size=1,
            tags=("cifar",),
        )
    )
