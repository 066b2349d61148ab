"""One small network per activation function: the same convolutions, another function behind each.

Six 3x3 convolutions of 32, 64 and 128 maps on 32x32 pixels, as networks for CIFAR have them. They
are in no catalogue, because they are no architectures of anybody's, but a comparison.

Sources of the functions: Glorot, Bordes, Bengio 2011 (ReLU); Maas, Hannun, Ng 2013 (leaky ReLU);
He et al. arXiv:1502.01852 (PReLU); Clevert et al. arXiv:1511.07289 (ELU); Hendrycks and Gimpel
arXiv:1606.08415 (GELU); Elfwing et al. arXiv:1702.03118 (SiLU); Misra arXiv:1908.08681 (Mish);
Howard et al. arXiv:1905.02244 (hard swish); Goodfellow et al. arXiv:1302.4389 (maxout).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnbench.architectures.registry import Architecture
from cnnbench.catalogue import ACTIVATION
from cnnbench.errors import UnknownName

_WIDTHS = (32, 64, 128)


class Maxout(nn.Module):
    """The larger of two maps, for every pair of them."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 C, H, W) to (N, C, H, W)."""
        return torch.maximum(*x.chunk(2, 1))


@dataclass(frozen=True)
class Activation:
    """A function between two layers.

    Attributes:
        make: the module behind a convolution of that number of maps.
        pieces: maps of the convolution for each map of the result.
    """

    make: Callable[[int], nn.Module]
    pieces: int = 1


def _of(kind: Callable[..., nn.Module], **arguments: bool) -> Activation:
    return Activation(lambda _: kind(**arguments))


# Under the names of ``catalogue.ACTIVATIONS``.
TABLE: dict[str, Activation] = {
    "identity": _of(nn.Identity),
    "relu": _of(nn.ReLU),
    "relu_in_place": _of(nn.ReLU, inplace=True),
    "leaky_relu": _of(nn.LeakyReLU),
    "prelu": Activation(nn.PReLU),
    "elu": _of(nn.ELU),
    "gelu": _of(nn.GELU),
    "silu": _of(nn.SiLU),
    "mish": _of(nn.Mish),
    "hardswish": _of(nn.Hardswish),
    "tanh": _of(nn.Tanh),
    "sigmoid": _of(nn.Sigmoid),
    "maxout": Activation(lambda _: Maxout(), pieces=2),
}


def architecture(name: str) -> Architecture:
    """Return the network of ``activation:NAME``.

    Raises:
        UnknownName: there is no such function.
    """
    function = name.removeprefix(ACTIVATION)
    if function not in TABLE:
        raise UnknownName("activation function", function, TABLE)
    return Architecture(
        name=name,
        family="Activation",
        task="classification",
        input=(3, 32, 32),
        build=functools.partial(_build, TABLE[function]),
        min_size=4,
    )


def _build(activation: Activation, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    layers: list[nn.Module] = []
    taken = in_channels
    for number, width in enumerate(_WIDTHS):
        layers += [nn.MaxPool2d(2)] if number else []
        for _ in range(2):
            convolution = nn.Conv2d(taken, activation.pieces * width, 3, padding=1)
            layers += [convolution, activation.make(width)]
            taken = width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, num_classes))
    return nn.Sequential(*layers, *head)
