"""Inception-ResNet-v2: Inception blocks as scaled residuals.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi (arXiv:1602.07261), figures 15 to 19 in the form of the
authors' TensorFlow model, whose stem is that of Inception v3 (Cadene and timm count 55,843,464,
without the auxiliary head).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.inception_v4 import conv, pooled_conv, reduction_a
from cnnbench.architectures.layers import Concat
from cnnbench.architectures.registry import register


class ScaledResidual(nn.Module):
    """relu(x + scale * up(branches(x))), section 3.3: the scale keeps wide networks stable."""

    def __init__(
        self, branches: nn.Module, width: int, maps: int, scale: float, *, activate: bool = True
    ) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(width, maps, 1)
        self.scale = scale
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        out: Tensor = x + self.scale * self.up(self.branches(x))
        return functional.relu(out) if self.activate else out


def _block35() -> nn.Module:
    branches = Concat(
        conv(320, 32, 1),
        nn.Sequential(conv(320, 32, 1), conv(32, 32, 3, padding=1)),
        nn.Sequential(conv(320, 32, 1), conv(32, 48, 3, padding=1), conv(48, 64, 3, padding=1)),
    )
    return ScaledResidual(branches, 128, 320, 0.17)


def _block17() -> nn.Module:
    branches = Concat(
        conv(1088, 192, 1),
        nn.Sequential(
            conv(1088, 128, 1),
            conv(128, 160, (1, 7), padding=(0, 3)),
            conv(160, 192, (7, 1), padding=(3, 0)),
        ),
    )
    return ScaledResidual(branches, 384, 1088, 0.10)


def _block8(scale: float = 0.20, *, activate: bool = True) -> nn.Module:
    branches = Concat(
        conv(2080, 192, 1),
        nn.Sequential(
            conv(2080, 192, 1),
            conv(192, 224, (1, 3), padding=(0, 1)),
            conv(224, 256, (3, 1), padding=(1, 0)),
        ),
    )
    return ScaledResidual(branches, 448, 2080, scale, activate=activate)


def _stem(in_channels: int) -> list[nn.Module]:
    """Return the stem of Inception v3 and its first mixed block: 320 maps of 35x35."""
    mixed = Concat(
        conv(192, 96, 1),
        nn.Sequential(conv(192, 48, 1), conv(48, 64, 5, padding=2)),
        nn.Sequential(conv(192, 64, 1), conv(64, 96, 3, padding=1), conv(96, 96, 3, padding=1)),
        pooled_conv(192, 64),
    )
    return [
        *(conv(in_channels, 32, 3, 2), conv(32, 32, 3), conv(32, 64, 3, padding=1)),
        nn.MaxPool2d(3, 2),
        *(conv(64, 80, 1), conv(80, 192, 3)),
        nn.MaxPool2d(3, 2),
        mixed,
    ]


def _reduction_b() -> nn.Module:
    """Return figure 18: 17x17 to 8x8."""
    return Concat(
        nn.Sequential(conv(1088, 256, 1), conv(256, 384, 3, 2)),
        nn.Sequential(conv(1088, 256, 1), conv(256, 288, 3, 2)),
        nn.Sequential(conv(1088, 256, 1), conv(256, 288, 3, padding=1), conv(288, 320, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


@register(
    "inception_resnet_v2",
    family="Inception",
    task="classification",
    year=2016,
    paper="arXiv:1602.07261, figure 15; count of the TensorFlow model (Cadene, timm)",
    input=(3, 299, 299),
    params=55_843_464,
    top1=80.1,
    min_size=75,
    tags=("imagenet",),
    notes="without the auxiliary head of the TensorFlow model",
)
def inception_resnet_v2(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Stem, 10, 20 and 10 residual blocks on 35x35, 17x17 and 8x8, fc; logits (N, classes)."""
    return nn.Sequential(
        *_stem(in_channels),
        *(_block35() for _ in range(10)),
        reduction_a(320, (256, 256, 384, 384)),
        *(_block17() for _ in range(20)),
        _reduction_b(),
        *(_block8() for _ in range(9)),
        _block8(1.0, activate=False),
        conv(2080, 1536, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(1536, num_classes),
    )
