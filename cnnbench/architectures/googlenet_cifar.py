"""GoogLeNet for 32x32 images with its two auxiliary heads, as in a lecture's per-layer table.

Widths: Szegedy et al. 2014 (arXiv:1409.4842), table 1. Convolutions have a bias and no batch norm.
The maps are 4x4 in stage 3, 2x2 in stage 4 and 1x1 in stage 5, so the auxiliary heads drop the
paper's 5x5 average pool: 1x1 convolution to 128 on the 2x2 map, flatten 512, fc 1024, fc classes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from cnnbench.architectures.layers import Concat
from cnnbench.architectures.registry import register


class Heads(NamedTuple):
    """Logits (N, classes) of the classifier and, in training only, of the auxiliary heads."""

    logits: Tensor
    after_4a: Tensor | None = None
    after_4d: Tensor | None = None


def _conv(
    width_in: int, width: int, kernel: int, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width, kernel, stride, padding), nn.ReLU()]


def _inception(
    width_in: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
) -> nn.Module:
    """Return 1x1; 1x1 and 3x3; 1x1 and 5x5; 3x3 max-pool and 1x1, side by side."""
    return Concat(
        nn.Sequential(*_conv(width_in, one, 1)),
        nn.Sequential(*_conv(width_in, three[0], 1), *_conv(*three, 3, padding=1)),
        nn.Sequential(*_conv(width_in, five[0], 1), *_conv(*five, 5, padding=2)),
        nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *_conv(width_in, pool, 1)),
    )


def _auxiliary(width_in: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(width_in, 128, 1),
        nn.Flatten(),
        nn.Linear(512, 1024),
        nn.ReLU(),
        nn.Dropout(0.7),
        nn.Linear(1024, num_classes),
    )


class GoogLeNetCifar(nn.Module):
    """Stem, stages 3 to 5 of table 1 and up to three classifiers."""

    def __init__(self, num_classes: int, in_channels: int, *, auxiliary: bool) -> None:
        super().__init__()
        self.to_4a = nn.Sequential(
            *_conv(in_channels, 64, 7, stride=2, padding=3),
            nn.MaxPool2d(3, 2, padding=1),
            *_conv(64, 64, 1),
            *_conv(64, 192, 3, padding=1),
            nn.MaxPool2d(3, 2, padding=1),
            _inception(192, 64, (96, 128), (16, 32), 32),
            _inception(256, 128, (128, 192), (32, 96), 64),
            nn.MaxPool2d(3, 2, padding=1),
            _inception(480, 192, (96, 208), (16, 48), 64),
        )
        self.after_4a = _auxiliary(512, num_classes) if auxiliary else None
        self.to_4d = nn.Sequential(
            _inception(512, 160, (112, 224), (24, 64), 64),
            _inception(512, 128, (128, 256), (24, 64), 64),
            _inception(512, 112, (144, 288), (32, 64), 64),
        )
        self.after_4d = _auxiliary(528, num_classes) if auxiliary else None
        self.to_end = nn.Sequential(
            _inception(528, 256, (160, 320), (32, 128), 128),
            nn.MaxPool2d(3, 2, padding=1),
            _inception(832, 256, (160, 320), (32, 128), 128),
            _inception(832, 384, (192, 384), (48, 128), 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(1024, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor | Heads:
        """Logits (N, classes); in training with auxiliary heads, ``Heads``."""
        x = self.to_4a(x)
        first = self.after_4a(x) if self.training and self.after_4a is not None else None
        x = self.to_4d(x)
        second = self.after_4d(x) if self.training and self.after_4d is not None else None
        logits: Tensor = self.to_end(x)
        return logits if first is None else Heads(logits, first, second)


@register(
    "googlenet_cifar",
    family="GoogLeNet",
    task="classification",
    year=2014,
    paper="arXiv:1409.4842, table 1; lecture table for 32x32",
    input=(3, 32, 32),
    min_size=17,
    tags=("lecture", "cifar"),
    notes="two auxiliary heads run in training only, at sizes of 17 to 32",
)
def googlenet_cifar(
    num_classes: int = 10, in_channels: int = 3, *, aux_logits: bool = True
) -> nn.Module:
    """GoogLeNet on 32x32; logits (N, classes), in training also those of two auxiliary heads."""
    return GoogLeNetCifar(num_classes, in_channels, auxiliary=aux_logits)
