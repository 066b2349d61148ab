"""Inception-v4: the Inception family without residual connections, at its largest.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning" (arXiv:1602.07261), figures 3 to 9. The paper states no count; 42,679,816
is that of the authors' TensorFlow model as converted by Cadene and timm, without the auxiliary
head.
"""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.layers import Concat, Size, conv_norm
from cnnbench.architectures.registry import register


def conv(
    width_in: int, width: int, kernel: Size, stride: int = 1, padding: Size = 0
) -> nn.Sequential:
    """Return convolution, batch norm (eps 0.001 as in TensorFlow's models) and ReLU."""
    return nn.Sequential(*conv_norm(width_in, width, kernel, stride, padding, eps=0.001), nn.ReLU())


def pooled_conv(width_in: int, width: int) -> nn.Sequential:
    """Return the pooling branch: a 3x3 mean that ignores the padding, then 1x1."""
    return nn.Sequential(
        nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), conv(width_in, width, 1)
    )


def stem(in_channels: int) -> list[nn.Module]:
    """Return figure 3: 299x299 images to 384 maps of 35x35."""
    return [
        conv(in_channels, 32, 3, 2),
        conv(32, 32, 3),
        conv(32, 64, 3, padding=1),
        Concat(nn.MaxPool2d(3, 2), conv(64, 96, 3, 2)),
        Concat(
            nn.Sequential(conv(160, 64, 1), conv(64, 96, 3)),
            nn.Sequential(
                conv(160, 64, 1),
                conv(64, 64, (1, 7), padding=(0, 3)),
                conv(64, 64, (7, 1), padding=(3, 0)),
                conv(64, 96, 3),
            ),
        ),
        Concat(conv(192, 192, 3, 2), nn.MaxPool2d(3, 2)),
    ]


def inception_a() -> nn.Module:
    """Return figure 4, on 384 maps of 35x35."""
    return Concat(
        conv(384, 96, 1),
        nn.Sequential(conv(384, 64, 1), conv(64, 96, 3, padding=1)),
        nn.Sequential(conv(384, 64, 1), conv(64, 96, 3, padding=1), conv(96, 96, 3, padding=1)),
        pooled_conv(384, 96),
    )


def reduction_a(width_in: int, widths: tuple[int, int, int, int]) -> nn.Module:
    """Return figure 7 with (k, l, m, n) of table 1: 35x35 to 17x17."""
    k, l, m, n = widths  # noqa: E741  the paper's names
    return Concat(
        conv(width_in, n, 3, 2),
        nn.Sequential(conv(width_in, k, 1), conv(k, l, 3, padding=1), conv(l, m, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def inception_b() -> nn.Module:
    """Return figure 5, on 1024 maps of 17x17."""
    return Concat(
        conv(1024, 384, 1),
        nn.Sequential(
            conv(1024, 192, 1),
            conv(192, 224, (1, 7), padding=(0, 3)),
            conv(224, 256, (7, 1), padding=(3, 0)),
        ),
        nn.Sequential(
            conv(1024, 192, 1),
            conv(192, 192, (7, 1), padding=(3, 0)),
            conv(192, 224, (1, 7), padding=(0, 3)),
            conv(224, 224, (7, 1), padding=(3, 0)),
            conv(224, 256, (1, 7), padding=(0, 3)),
        ),
        pooled_conv(1024, 128),
    )


def reduction_b() -> nn.Module:
    """Return figure 8: 17x17 to 8x8."""
    return Concat(
        nn.Sequential(conv(1024, 192, 1), conv(192, 192, 3, 2)),
        nn.Sequential(
            conv(1024, 256, 1),
            conv(256, 256, (1, 7), padding=(0, 3)),
            conv(256, 320, (7, 1), padding=(3, 0)),
            conv(320, 320, 3, 2),
        ),
        nn.MaxPool2d(3, 2),
    )


def _fork(width_in: int, width: int) -> nn.Module:
    """Return 1x3 and 3x1 side by side."""
    return Concat(
        conv(width_in, width, (1, 3), padding=(0, 1)), conv(width_in, width, (3, 1), padding=(1, 0))
    )


def inception_c() -> nn.Module:
    """Return figure 6, on 1536 maps of 8x8."""
    return Concat(
        conv(1536, 256, 1),
        nn.Sequential(conv(1536, 384, 1), _fork(384, 256)),
        nn.Sequential(
            conv(1536, 384, 1),
            conv(384, 448, (3, 1), padding=(1, 0)),
            conv(448, 512, (1, 3), padding=(0, 1)),
            _fork(512, 256),
        ),
        pooled_conv(1536, 256),
    )


@register(
    "inception_v4",
    family="Inception",
    task="classification",
    year=2016,
    paper="arXiv:1602.07261, figure 9; count of the TensorFlow model (Cadene, timm)",
    input=(3, 299, 299),
    params=42_679_816,
    top1=80.0,
    min_size=75,
    tags=("imagenet",),
    notes="without the auxiliary head of the TensorFlow model",
)
def inception_v4(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Stem, 4 x A, reduction, 7 x B, reduction, 3 x C, mean, fc; logits (N, classes)."""
    return nn.Sequential(
        *stem(in_channels),
        *(inception_a() for _ in range(4)),
        reduction_a(384, (192, 224, 256, 384)),
        *(inception_b() for _ in range(7)),
        reduction_b(),
        *(inception_c() for _ in range(3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(1536, num_classes),
    )
