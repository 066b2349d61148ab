"""ResNet for CIFAR: 6n+2 layers, and shortcuts without parameters.

Paper: He, Zhang, Ren, Sun (arXiv:1512.03385), section 4.2; table 6 states 0.27, 0.46, 0.66, 0.85
and 1.7 million parameters for 20, 32, 44, 56 and 110 layers. The exact counts follow from the
paper's option A and are those of akamaster/pytorch_resnet_cifar10.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import Residual, basic_layers, head


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, and zeros for the maps that are new."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.before = (width - width_in) // 2
        self.after = width - width_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, width, H/2, W/2)."""
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def resnet_cifar(
    num_classes: int = 10, in_channels: int = 3, *, depth: int = 20, skip: bool = True
) -> nn.Module:
    """3x3 stem, three stages of (depth - 2)/6 blocks of 16, 32, 64 maps; logits (N, classes)."""
    layers: list[nn.Module] = [*conv_norm(in_channels, 16, 3, 1, 1), nn.ReLU()]
    width_in = 16
    for width in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            shrinks = width_in != width
            shortcut = PaddedShortcut(width_in, width) if shrinks else nn.Identity()
            convolutions = basic_layers(width_in, width, 2 if shrinks else 1)
            layers.append(Residual(convolutions, shortcut if skip else None))
            width_in = width
    return nn.Sequential(*layers, *head(width_in, num_classes))


for _depth, _params in (
    (20, 269_722),
    (32, 464_154),
    (44, 658_586),
    (56, 853_018),
    (110, 1_727_962),
):
    add(
        Architecture(
            name=f"resnet{_depth}_cifar",
            family="ResNet",
            task="classification",
            year=2015,
            paper="arXiv:1512.03385, section 4.2 and table 6 (option A)",
            input=(3, 32, 32),
            build=functools.partial(resnet_cifar, depth=_depth),
            params=_params,
            min_size=1,
            tags=("lecture", "cifar"),
        )
    )

# Shortcuts of option A have no parameters, so the plain twins have as many.
for _depth, _params in ((20, 269_722), (56, 853_018)):
    add(
        Architecture(
            name=f"plain{_depth}_cifar",
            family="Plain network",
            task="classification",
            year=2015,
            paper="arXiv:1512.03385, figure 1: the ResNet of this depth without shortcuts",
            input=(3, 32, 32),
            build=functools.partial(resnet_cifar, depth=_depth, skip=False),
            params=_params,
            min_size=1,
            tags=("lecture", "cifar"),
        )
    )
