"""BN-Inception (Inception v2): GoogLeNet with batch norm and two 3x3 for each 5x5.

Paper: Ioffe & Szegedy, "Batch Normalization" (arXiv:1502.03167), appendix and figure 5. The model
follows the commonly measured Caffe model (Cadene; 11,295,240 parameters): convolutions keep a bias
in front of batch norm, the first convolution is an ordinary 7x7, and the pooling branch of 4c has
128 maps.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.layers import Concat, conv_norm
from cnnbench.architectures.registry import register
from cnnbench.architectures.resnet import head


def _conv(
    width_in: int, width: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    return nn.Sequential(*conv_norm(width_in, width, kernel, stride, padding, bias=True), nn.ReLU())


def _three(width_in: int, inner: int, width: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(_conv(width_in, inner, 1), _conv(inner, width, 3, stride, 1))


def _double(width_in: int, inner: int, width: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        _conv(width_in, inner, 1), _conv(inner, width, 3, 1, 1), _conv(width, width, 3, stride, 1)
    )


def _mixed(
    width_in: int,
    one: int,
    three: tuple[int, int],
    double: tuple[int, int],
    pool: int,
    *,
    largest: bool = False,
) -> nn.Module:
    pooling = nn.MaxPool2d(3, 1, padding=1) if largest else nn.AvgPool2d(3, 1, padding=1)
    return Concat(
        _conv(width_in, one, 1),
        _three(width_in, *three),
        _double(width_in, *double),
        nn.Sequential(pooling, _conv(width_in, pool, 1)),
    )


def _reducing(width_in: int, three: tuple[int, int], double: tuple[int, int]) -> nn.Module:
    """Return the blocks 3c and 4e, which halve the map and pass it through a max-pool."""
    return Concat(
        _three(width_in, *three, stride=2),
        _double(width_in, *double, stride=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    )


@register(
    "bn_inception",
    family="Inception",
    task="classification",
    year=2015,
    paper="arXiv:1502.03167, figure 5; count as in Cadene's and osmr's repositories",
    input=(3, 224, 224),
    params=11_295_240,
    top1=74.8,
    min_size=31,
    tags=("imagenet",),
    notes="top-1 of the paper's single crop; maps must be even where blocks 3c and 4e halve them",
)
def bn_inception(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Stem, blocks 3a to 5b, mean, fc; logits (N, classes)."""
    return nn.Sequential(
        _conv(in_channels, 64, 7, 2, 3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *(_conv(64, 64, 1), _conv(64, 192, 3, 1, 1)),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _mixed(192, 64, (64, 64), (64, 96), 32),
        _mixed(256, 64, (64, 96), (64, 96), 64),
        _reducing(320, (128, 160), (64, 96)),
        _mixed(576, 224, (64, 96), (96, 128), 128),
        _mixed(576, 192, (96, 128), (96, 128), 128),
        _mixed(576, 160, (128, 160), (128, 160), 128),
        _mixed(608, 96, (128, 192), (160, 192), 128),
        _reducing(608, (128, 192), (192, 256)),
        _mixed(1056, 352, (192, 320), (160, 224), 128),
        _mixed(1024, 352, (192, 320), (192, 224), 128, largest=True),
        *head(1024, num_classes),
    )
