"""ResNet from its blocks as in lectures, and deep networks without the skip connection.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385),
table 1. ResNet-18 to -152 themselves come from torchvision; ``resnet18_lecture`` is checked against
its weights. As there, bottlenecks have their stride in the 3x3 convolution (v1.5), where the paper
has it in the first 1x1.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import Architecture, add, register

# Table 1: blocks in conv2_x to conv5_x, and whether they are bottlenecks.
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
    200: ((3, 24, 36, 3), True),
}


class Residual(nn.Module):
    """relu(layers(x) + shortcut(x)); without a shortcut, the plain network's relu(layers(x))."""

    def __init__(self, layers: list[nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/stride, W/stride)."""
        out: Tensor = self.layers(x)
        return functional.relu(out if self.shortcut is None else out + self.shortcut(x))


def _shortcut(width_in: int, width: int, stride: int) -> nn.Module:
    """Return the identity where shapes allow it, else a 1x1 projection (option B of the paper)."""
    if stride == 1 and width_in == width:
        return nn.Identity()
    return nn.Sequential(*conv_norm(width_in, width, 1, stride))


class IdentityBlock(nn.Module):
    """x + layers(x), and nothing behind the sum."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        out: Tensor = self.layers(x)
        return out + x


def basic_layers(
    width_in: int, width: int, stride: int = 1, *, bias: bool = False
) -> list[nn.Module]:
    """Return two 3x3 convolutions."""
    return [
        *(*conv_norm(width_in, width, 3, stride, 1, bias=bias), nn.ReLU()),
        *conv_norm(width, width, 3, 1, 1, bias=bias),
    ]


def bottleneck_layers(
    width_in: int, inner: int, width: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return 1x1 to the inner width, 3x3 (grouped for ResNeXt), 1x1 to the outer width."""
    return [
        *(*conv_norm(width_in, inner, 1), nn.ReLU()),
        *(*conv_norm(inner, inner, 3, stride, 1, groups=groups), nn.ReLU()),
        *conv_norm(inner, width, 1),
    ]


def stem(in_channels: int, *, bias: bool = False) -> list[nn.Module]:
    """Return conv1 of table 1 and the max-pool behind it: a quarter of the size, 64 maps."""
    convolution = conv_norm(in_channels, 64, 7, 2, 3, bias=bias)
    return [*convolution, nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]


def head(width: int, num_classes: int) -> list[nn.Module]:
    """Return the mean over the last map and the classifier."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)]


def resnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    depth: int = 18,
    skip: bool = True,
    groups: int = 1,
    group_width: int = 64,
) -> nn.Module:
    """Table 1 for one depth; ``groups`` x ``group_width`` as in ResNeXt; logits (N, classes)."""
    stages, bottleneck = DEPTHS[depth]
    layers = stem(in_channels)
    width_in = 64
    for stage, blocks in enumerate(stages):
        inner = groups * group_width * 2**stage
        width = 256 * 2**stage if bottleneck else inner
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            if bottleneck:
                convolutions = bottleneck_layers(width_in, inner, width, stride, groups)
            else:
                convolutions = basic_layers(width_in, width, stride)
            shortcut = _shortcut(width_in, width, stride) if skip else None
            layers.append(Residual(convolutions, shortcut))
            width_in = width
    return nn.Sequential(*layers, *head(width_in, num_classes))


@register(
    "resnet18_lecture",
    family="ResNet",
    task="classification",
    year=2015,
    paper="arXiv:1512.03385, table 1; equal to torchvision's resnet18 under equal weights",
    input=(3, 224, 224),
    params=11_689_512,
    min_size=1,
    tags=("lecture", "imagenet"),
)
def resnet18_lecture(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """ResNet-18 from basic blocks; logits (N, classes)."""
    return resnet(num_classes, in_channels, depth=18)


@register(
    "resnet18_lecture_cifar",
    family="ResNet",
    task="classification",
    year=2015,
    paper="lecture network: arXiv:1512.03385, table 1, written with lazy layers for 32x32",
    input=(3, 32, 32),
    params=11_184_650,
    min_size=1,
    tags=("lecture", "cifar"),
    notes="what torch's convolutions have by default: a bias, and no batch norm on the shortcut",
)
def resnet18_lecture_cifar(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """ResNet-18 with biases and bare 1x1 shortcuts; logits (N, classes)."""
    layers = stem(in_channels, bias=True)
    width_in = 64
    for width in (64, 128, 256, 512):
        for stride in (1 if width == 64 else 2, 1):
            grows = width_in != width
            shortcut = nn.Conv2d(width_in, width, 1, stride) if grows else nn.Identity()
            layers.append(Residual(basic_layers(width_in, width, stride, bias=True), shortcut))
            width_in = width
    return nn.Sequential(*layers, *head(width_in, num_classes))


@register(
    "residual_block_net",
    family="ResNet",
    task="classification",
    year=2015,
    paper="lecture network: a block of 1x1 and 3x3 on n maps of 24x24, fc 751",
    input=(64, 24, 24),
    params=27_726_703,
    min_size=24,
    tags=("lecture", "small"),
    notes="the lecture leaves the number of maps open: 64 here",
)
def residual_block_net(num_classes: int = 751, in_channels: int = 64) -> nn.Module:
    """One residual block that keeps its shape, flatten, fc; logits (N, classes).

    The lecture's block has no batch norm, and its last ReLU stands before the sum.
    """
    block = IdentityBlock(
        [
            *(nn.Conv2d(in_channels, in_channels, 1), nn.ReLU()),
            *(nn.Conv2d(in_channels, in_channels, 3, padding=1), nn.ReLU()),
        ]
    )
    return nn.Sequential(block, nn.Flatten(), nn.Linear(in_channels * 24 * 24, num_classes))


for _depth in (18, 34, 50, 101, 152):
    add(
        Architecture(
            name=f"plain{_depth}",
            family="Plain network",
            task="classification",
            year=2015,
            paper="arXiv:1512.03385, figure 3 (middle): the ResNet of this depth without shortcuts",
            input=(3, 224, 224),
            build=functools.partial(resnet, depth=_depth, skip=False),
            min_size=1,
            tags=("lecture", "imagenet"),
        )
    )


add(
    Architecture(
        name="resnext101_32x48d",
        family="ResNeXt",
        task="classification",
        year=2018,
        paper="Mahajan et al., arXiv:1805.00932 (829 M parameters); ResNeXt of arXiv:1611.05431",
        input=(3, 224, 224),
        build=functools.partial(resnet, depth=101, groups=32, group_width=48),
        params=828_411_176,
        top1=85.4,
        min_size=1,
        tags=("imagenet", "giant"),
        notes="top-1 with pre-training on 940 million public images",
    )
)
