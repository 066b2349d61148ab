"""Xception: depthwise separable convolutions with residual connections.

Paper: Chollet 2016 (arXiv:1610.02357), figure 5; table 3 states 22,855,952 parameters. The module
has no padding in its two stem convolutions and no activation between depthwise and pointwise halves
(section 4.7), as in the author's reference implementation (Keras).
"""

from __future__ import annotations

from torch import Tensor, nn

from cnnbench.architectures.registry import register


def _separable(width_in: int, width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width_in, width_in, 3, padding=1, groups=width_in, bias=False),
        nn.Conv2d(width_in, width, 1, bias=False),
        nn.BatchNorm2d(width),
    ]


class Block(nn.Module):
    """Separable convolutions, each after a ReLU, with an identity or 1x1/2 shortcut around them."""

    def __init__(
        self, width_in: int, widths: tuple[int, ...], *, stride: int = 1, relu_first: bool = True
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = width_in
        for width_out in widths:
            layers += [nn.ReLU(), *_separable(width, width_out)]
            width = width_out
        if not relu_first:
            layers = layers[1:]
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if stride == 1 else _shortcut(width_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, last width, H/stride, W/stride)."""
        residual: Tensor = self.layers(x)
        shortcut: Tensor = self.shortcut(x)
        return residual + shortcut


def _shortcut(width_in: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))


@register(
    "xception",
    family="Xception",
    task="classification",
    year=2016,
    paper="arXiv:1610.02357, figure 5 and table 3",
    input=(3, 299, 299),
    params=22_855_952,
    top1=79.0,
    min_size=7,
    tags=("imagenet",),
)
def xception(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """Entry flow, eight middle blocks of width 728, exit flow, fc; logits (N, classes)."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 32, 3, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        Block(64, (128, 128), stride=2, relu_first=False),
        Block(128, (256, 256), stride=2),
        Block(256, (728, 728), stride=2),
        *(Block(728, (728, 728, 728)) for _ in range(8)),
        Block(728, (728, 1024), stride=2),
        *(*_separable(1024, 1536), nn.ReLU()),
        *(*_separable(1536, 2048), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2048, num_classes),
    )
