"""Fully connected networks: the counterpart that every lecture compares a CNN with."""

from __future__ import annotations

from torch import nn

from cnnbench.architectures.registry import register


def _mlp(pixels: int, hidden: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    width = pixels
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


@register(
    "mlp_mnist",
    family="MLP",
    task="classification",
    paper="784-512-512-10 with dropout 0.2, the multilayer perceptron of the Keras examples",
    input=(1, 28, 28),
    params=669_706,
    min_size=28,
    tags=("lecture", "mnist", "small"),
)
def mlp_mnist(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Flatten, fc 784-512-512-classes; logits (N, classes)."""
    return _mlp(in_channels * 28 * 28, (512, 512), num_classes, dropout=0.2)


@register(
    "mlp_cifar",
    family="MLP",
    task="classification",
    paper="lecture network (fc 3072-512-512-10), mlp_mnist for colour images",
    input=(3, 32, 32),
    min_size=32,
    tags=("lecture", "cifar", "small"),
)
def mlp_cifar(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Flatten, fc 3072-512-512-classes; logits (N, classes)."""
    return _mlp(in_channels * 32 * 32, (512, 512), num_classes, dropout=0.2)
