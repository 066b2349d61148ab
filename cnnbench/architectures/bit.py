"""Big Transfer: pre-activation ResNets with group norm and standardised weights.

Paper: Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning"
(arXiv:1912.11370), section 2; R152x4 is ResNet-152 with four times the width (928 M parameters with
the 21,000-class head removed). 936,533,224 with 1000 classes is the count of the released
BiT-M fine-tuned model (timm: resnetv2_152x4_bit).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import DEPTHS


class StandardizedConv(nn.Conv2d):
    """A convolution whose kernels are shifted and scaled to mean 0 and variance 1 at each call."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve as ``nn.Conv2d`` does."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-8)
        return functional.conv2d(
            x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def _conv(width_in: int, width: int, kernel: int, stride: int = 1) -> nn.Module:
    return StandardizedConv(width_in, width, kernel, stride, padding=kernel // 2, bias=False)


def _activation(width: int) -> list[nn.Module]:
    return [nn.GroupNorm(32, width), nn.ReLU()]


class Unit(nn.Module):
    """x + layers(activation(x)); where shapes change, a 1x1 projection of the activated input."""

    def __init__(self, width_in: int, inner: int, stride: int) -> None:
        super().__init__()
        width = inner * 4
        self.activation = nn.Sequential(*_activation(width_in))
        changes = stride != 1 or width_in != width
        self.projection = _conv(width_in, width, 1, stride) if changes else None
        self.layers = nn.Sequential(
            *(_conv(width_in, inner, 1), *_activation(inner)),
            *(_conv(inner, inner, 3, stride), *_activation(inner)),
            _conv(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, 4 inner, H/stride, W/stride)."""
        activated = self.activation(x)
        identity = x if self.projection is None else self.projection(activated)
        out: Tensor = self.layers(activated)
        return out + identity


def bit_resnet(
    num_classes: int = 1000, in_channels: int = 3, *, depth: int = 152, width: int = 4
) -> nn.Module:
    """Stem without norm, four stages, last activation, 1x1 classifier; logits (N, classes)."""
    width_in = 64 * width
    # The released models pad the max-pool with zeros, not with minus infinity.
    pool: list[nn.Module] = [nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)]
    layers = [_conv(in_channels, width_in, 7, 2), *pool]
    for stage, blocks in enumerate(DEPTHS[depth][0]):
        inner = 64 * width * 2**stage
        for block in range(blocks):
            layers.append(Unit(width_in, inner, 2 if stage > 0 and block == 0 else 1))
            width_in = inner * 4
    classifier = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(width_in, num_classes, 1), nn.Flatten()]
    return nn.Sequential(*layers, *_activation(width_in), *classifier)


add(
    Architecture(
        name="bit_resnet152x4",
        family="BiT",
        task="classification",
        year=2019,
        paper="arXiv:1912.11370, section 2; count of the released model (timm)",
        input=(3, 480, 480),
        build=functools.partial(bit_resnet, depth=152, width=4),
        params=936_533_224,
        min_size=1,
        tags=("imagenet", "giant"),
    )
)
