"""GoogLeNet as published, and the one for 32x32 images that a lecture shows layer by layer.

Paper: Szegedy et al. 2014 (arXiv:1409.4842): widths from table 1, response normalisation from
figure 3, auxiliary heads from section 5. Convolutions have a bias and no batch norm.

For 32x32 images the maps are 4x4 in stage 3, 2x2 in stage 4 and 1x1 in stage 5. The lecture leaves
out the response normalisation and pads its poolings. Its auxiliary heads have no 5x5 average pool
and no ReLU behind their 1x1 convolution. It stops at 1,024 features; the main head is the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from cnnbench.architectures.layers import Concat
from cnnbench.architectures.registry import register

if TYPE_CHECKING:
    from collections.abc import Callable


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


def _stem(in_channels: int, pool: Callable[[], nn.Module], normalises: bool) -> list[nn.Module]:
    """Return everything before stage 3: an eighth of the size, 192 maps."""
    # Constants as in the authors' Caffe model; the paper gives none.
    normalisation = [nn.LocalResponseNorm(5)] if normalises else []
    return [
        *(*_conv(in_channels, 64, 7, stride=2, padding=3), pool(), *normalisation),
        *(*_conv(64, 64, 1), *_conv(64, 192, 3, padding=1), *normalisation, pool()),
    ]


class GoogLeNet(nn.Module):
    """Stem, stages 3 to 5 of table 1 and up to three classifiers.

    Args:
        stem: takes images to 192 maps.
        pool: makes the max-pool between stages.
        auxiliary: makes an auxiliary head for its number of maps; ``None`` for none.
        num_classes: width of the main head.
    """

    def __init__(
        self,
        stem: list[nn.Module],
        pool: Callable[[], nn.Module],
        auxiliary: Callable[[int], nn.Module] | None,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.to_4a = nn.Sequential(
            *stem,
            _inception(192, 64, (96, 128), (16, 32), 32),
            _inception(256, 128, (128, 192), (32, 96), 64),
            pool(),
            _inception(480, 192, (96, 208), (16, 48), 64),
        )
        self.after_4a = auxiliary(512) if auxiliary else None
        self.to_4d = nn.Sequential(
            _inception(512, 160, (112, 224), (24, 64), 64),
            _inception(512, 128, (128, 256), (24, 64), 64),
            _inception(512, 112, (144, 288), (32, 64), 64),
        )
        self.after_4d = auxiliary(528) if auxiliary else None
        self.to_end = nn.Sequential(
            _inception(528, 256, (160, 320), (32, 128), 128),
            pool(),
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
    "googlenet_2014",
    family="GoogLeNet",
    task="classification",
    year=2014,
    paper="arXiv:1409.4842, table 1 and figure 3; count as in the authors' Caffe model",
    input=(3, 224, 224),
    params=6_998_552,
    min_size=223,
    tags=("lecture", "imagenet"),
    claim={"aux_logits": False},
    notes="counted without its two auxiliary heads, which run in training only, at 223 to 270",
)
def googlenet_2014(
    num_classes: int = 1000, in_channels: int = 3, *, aux_logits: bool = True
) -> nn.Module:
    """GoogLeNet; logits (N, classes), in training also those of two auxiliary heads.

    With them it has 13,378,280 parameters.
    """

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    def auxiliary(width: int) -> nn.Module:
        return nn.Sequential(
            *(nn.AvgPool2d(5, 3), *_conv(width, 128, 1), nn.Flatten()),
            *(nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, num_classes)),
        )

    stem = _stem(in_channels, pool, normalises=True)
    return GoogLeNet(stem, pool, auxiliary if aux_logits else None, num_classes)


@register(
    "googlenet_cifar",
    family="GoogLeNet",
    task="classification",
    year=2014,
    paper="arXiv:1409.4842, table 1; lecture table for 32x32",
    input=(3, 32, 32),
    params=7_188_302,
    min_size=17,
    tags=("lecture", "cifar"),
    notes="two auxiliary heads run in training only, at sizes of 17 to 32",
)
def googlenet_cifar(
    num_classes: int = 10, in_channels: int = 3, *, aux_logits: bool = True
) -> nn.Module:
    """GoogLeNet on 32x32; logits (N, classes), in training also those of two auxiliary heads."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, padding=1)

    def auxiliary(width: int) -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(width, 128, 1), nn.Flatten()),
            *(nn.Linear(512, 1024), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1024, num_classes)),
        )

    stem = _stem(in_channels, pool, normalises=False)
    return GoogLeNet(stem, pool, auxiliary if aux_logits else None, num_classes)
