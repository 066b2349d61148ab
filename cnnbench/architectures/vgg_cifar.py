"""VGG for 32x32 images, as lectures print it layer by layer.

Blocks of 3x3 convolutions with bias, as in Simonyan & Zisserman 2014 (arXiv:1409.1556), table 1,
column A, with a head for one remaining pixel. VGG-11 to VGG-19 for ImageNet come from torchvision.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register

# (convolutions, width) of each block; each block ends in a 2x2 max-pool.
_BLOCKS = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))


def _features(in_channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for convolutions, width in _BLOCKS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
            in_channels = width
        layers.append(nn.MaxPool2d(2))
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
        *_features(in_channels),
        nn.Flatten(),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, num_classes),
    )
