"""VGG's convolutions, and the VGG for 32x32 images that lectures show layer by layer.

Paper: Simonyan & Zisserman 2014 (arXiv:1409.1556), table 1. Blocks of 3x3 convolutions with bias, a
2x2 max-pool behind each. VGG-11 to VGG-19 as classifiers (A, B, D, E) come from torchvision; column
C is here, and column D (VGG-16) for the networks that are built on it.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register

# (convolutions, width) of each block: column D, and the lecture's for one pixel left at the end.
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_CIFAR = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))


def block(width_in: int, width: int, convolutions: int) -> list[nn.Module]:
    """Return one block without its pooling."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU()]
        width_in = width
    return layers


def features(in_channels: int, blocks: tuple[tuple[int, int], ...]) -> list[nn.Module]:
    """Return all blocks, each with its max-pool."""
    layers: list[nn.Module] = []
    for convolutions, width in blocks:
        layers += [*block(in_channels, width, convolutions), nn.MaxPool2d(2)]
        in_channels = width
    return layers


@register(
    "vgg_cifar",
    family="VGG",
    task="classification",
    year=2014,
    paper="arXiv:1409.1556, table 1 A; lecture table for 32x32, fc 512-512-10",
    input=(3, 32, 32),
    params=9_750_922,
    min_size=32,
    tags=("lecture", "cifar"),
)
def vgg_cifar(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Five blocks, then fc 512-512-512-classes with dropout; logits (N, classes)."""
    return nn.Sequential(
        *features(in_channels, _CIFAR),
        nn.Flatten(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, num_classes),
    )


@register(
    "vgg16_c",
    family="VGG",
    task="classification",
    year=2014,
    paper="arXiv:1409.1556, table 1 C; the exact count of table 2's 134 million",
    input=(3, 224, 224),
    params=133_638_952,
    min_size=32,
    tags=("lecture", "imagenet"),
)
def vgg16_c(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """VGG-16 with a 1x1 convolution as the third of blocks 3 to 5; logits (N, classes).

    As in torchvision's VGG, maps of other sizes are averaged to 7x7.
    """
    layers: list[nn.Module] = []
    for convolutions, width in VGG16:
        layers += block(in_channels, width, 2)
        if convolutions > 2:
            layers += [nn.Conv2d(width, width, 1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        in_channels = width
    return nn.Sequential(
        *(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten()),
        *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(4096, num_classes),
    )
