"""ZFNet and OverFeat: AlexNet's two successors of 2013, with no grouping of convolutions."""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


def _conv(
    width_in: int, width: int, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width, kernel, stride, padding), nn.ReLU()]


def _classifier(pixels: int, hidden: tuple[int, int], num_classes: int) -> list[nn.Module]:
    return [
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(pixels, hidden[0]),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(*hidden),
        nn.ReLU(),
        nn.Linear(hidden[1], num_classes),
    ]


@register(
    "zfnet",
    family="ZFNet",
    task="classification",
    year=2013,
    paper="Zeiler & Fergus, arXiv:1311.2901, figure 3; count as in osmr/imgclsmob",
    input=(3, 224, 224),
    params=62_357_608,
    min_size=213,
    tags=("imagenet",),
)
def zfnet(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Conv 96 7x7/2, 256 5x5/2, 384, 384, 256, three max-pools, fc 4096-4096; logits (N, classes).

    Padding and rounded-up pooling give the map sizes of figure 3: 110, 55, 26, 13, 13, 6. Contrast
    normalisation between pooling and convolution, which has no parameters, is local response
    normalisation as in AlexNet.
    """
    return nn.Sequential(
        *_conv(in_channels, 96, 7, stride=2, padding=1),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5),
        *_conv(96, 256, 5, stride=2),
        nn.MaxPool2d(3, 2, padding=1),
        nn.LocalResponseNorm(5),
        *_conv(256, 384, 3, padding=1),
        *_conv(384, 384, 3, padding=1),
        *_conv(384, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
        *_classifier(256 * 6 * 6, (4096, 4096), num_classes),
    )


@register(
    "overfeat_fast",
    family="OverFeat",
    task="classification",
    year=2013,
    paper="Sermanet et al., arXiv:1312.6229, table 1; table 4 states 145 M parameters",
    input=(3, 231, 231),
    params=145_920_872,
    min_size=231,
    tags=("imagenet",),
)
def overfeat_fast(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Conv 96 11x11/4, 256 5x5, 512, 1024, 1024, fc 3072-4096; logits (N, classes).

    The exact count follows from table 1 (and stands in HewlettPackard/dlcookbook-dlbs); the paper
    cuts it to 145 M.
    """
    return nn.Sequential(
        *_conv(in_channels, 96, 11, stride=4),
        nn.MaxPool2d(2),
        *_conv(96, 256, 5),
        nn.MaxPool2d(2),
        *_conv(256, 512, 3, padding=1),
        *_conv(512, 1024, 3, padding=1),
        *_conv(1024, 1024, 3, padding=1),
        nn.MaxPool2d(2),
        *_classifier(1024 * 6 * 6, (3072, 4096), num_classes),
    )
