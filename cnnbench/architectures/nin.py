"""Network in Network: convolutions followed by 1x1 "mlpconv" layers, and no fully connected head.

Paper: Lin, Chen, Yan, "Network In Network" (arXiv:1312.4400), figure 2.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


def _mlpconv(
    width_in: int, width: int, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """Return a spatial convolution and two 1x1 convolutions, each with ReLU."""
    return [
        nn.Conv2d(width_in, width, kernel, stride, padding),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
        nn.Conv2d(width, width, 1),
        nn.ReLU(),
    ]


def _head() -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


@register(
    "nin_cifar",
    family="Network in Network",
    task="classification",
    year=2013,
    paper="arXiv:1312.4400; lecture table for 32x32 (3x3 convolutions of 96, 256, 384, classes)",
    input=(3, 32, 32),
    params=1_589_926,
    min_size=15,
    tags=("lecture", "cifar"),
)
def nin_cifar(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Four mlpconv blocks, 3x3/2 max-pools between, mean over the last map; logits (N, classes)."""
    return nn.Sequential(
        *_mlpconv(in_channels, 96, 3, padding=1),
        nn.MaxPool2d(3, 2),
        *_mlpconv(96, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
        *_mlpconv(256, 384, 3, padding=1),
        nn.MaxPool2d(3, 2),
        nn.Dropout(0.5),
        *_mlpconv(384, num_classes, 3, padding=1),
        *_head(),
    )


@register(
    "nin_imagenet",
    family="Network in Network",
    task="classification",
    year=2013,
    paper="arXiv:1312.4400; layer widths of the authors' ImageNet model in the Caffe model zoo",
    input=(3, 224, 224),
    min_size=67,
    tags=("imagenet",),
)
def nin_imagenet(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Conv 96 11x11/4, 256 5x5, 384 3x3, 1024 3x3, each with two 1x1; logits (N, classes)."""
    return nn.Sequential(
        *_mlpconv(in_channels, 96, 11, stride=4),
        nn.MaxPool2d(3, 2),
        *_mlpconv(96, 256, 5, padding=2),
        nn.MaxPool2d(3, 2),
        *_mlpconv(256, 384, 3, padding=1),
        nn.MaxPool2d(3, 2),
        nn.Dropout(0.5),
        *_mlpconv(384, 1024, 3, padding=1)[:-2],
        nn.Conv2d(1024, num_classes, 1),
        nn.ReLU(),
        *_head(),
    )
