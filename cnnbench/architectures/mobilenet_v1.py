"""MobileNet v1: depthwise separable convolutions and a width multiplier.

Paper: Howard et al. 2017 (arXiv:1704.04861), table 1; counts for the multipliers in tables 6 and 7
(4.2, 2.6, 1.3 and 0.5 million). The exact counts are those of the TensorFlow reference
(``mobilenet_v1``), which batch-normalises both halves of each separable convolution and, where the
paper says ReLU, cuts at six.
"""

from __future__ import annotations

import functools

from torch import nn

from cnnbench.architectures.registry import Architecture, add

# (stride, width) of the thirteen separable convolutions of table 1.
_BLOCKS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512),) * 5,
    *((2, 1024), (1, 1024)),
)


def _conv(width_in: int, width: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(
        width_in, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(width), nn.ReLU6()]


def mobilenet_v1(
    num_classes: int = 1000, in_channels: int = 3, *, width_multiplier: float = 1.0
) -> nn.Module:
    """Conv 32 3x3/2, thirteen separable convolutions, mean, fc; logits (N, classes)."""

    def scaled(width: int) -> int:
        return int(width * width_multiplier)

    width = scaled(32)
    layers = _conv(in_channels, width, 3, stride=2)
    for stride, unscaled in _BLOCKS:
        layers += _conv(width, width, 3, stride, groups=width)
        layers += _conv(width, scaled(unscaled), 1, stride=1)
        width = scaled(unscaled)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.001)]
    return nn.Sequential(*layers, *head, nn.Linear(width, num_classes))


for _percent, _params, _top1 in (
    (100, 4_231_976, 70.6),
    (75, 2_585_560, 68.4),
    (50, 1_331_592, 63.7),
    (25, 470_072, 50.6),
):
    add(
        Architecture(
            name=f"mobilenet_v1_{_percent:03d}",
            family="MobileNetV1",
            task="classification",
            year=2017,
            paper="arXiv:1704.04861, tables 1, 6 and 7",
            input=(3, 224, 224),
            build=functools.partial(mobilenet_v1, width_multiplier=_percent / 100),
            params=_params,
            top1=_top1,
            min_size=1,
            tags=("imagenet", "mobile"),
        )
    )
