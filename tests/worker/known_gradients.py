"""Networks whose gradients follow from a formula, with their inputs and losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Chain(nn.Module):
    """A product with one number after another, the last of which is registered first."""

    def __init__(self, factors: Sequence[float]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Linear(1, 1) for _ in factors)
        for layer, factor in zip(self.steps, reversed(factors), strict=True):
            nn.init.constant_(layer.weight, factor)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in reversed(self.steps):
            x = layer(x)
        return x


def chain(factors: Sequence[float]) -> nn.Module:
    return Chain(factors)


class Shared(nn.Module):
    """A scalar product used twice, by a function and without calling the module that has it."""

    def __init__(self) -> None:
        super().__init__()
        self.holder = nn.Linear(2, 1, bias=False)
        self.norm = nn.LayerNorm(2)
        self.unused = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.holder.weight
        return nn.functional.linear(x, weight) + nn.functional.linear(x, weight)


def frozen() -> nn.Module:
    """A last layer that trains, though no layer with a matrix does."""
    return nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.LayerNorm(2))


def ones(batch: int) -> Tensor:
    return torch.ones(batch, 1, dtype=torch.float64)


def three_and_four(batch: int) -> Tensor:
    return torch.tensor([[3.0, 4.0]], dtype=torch.float64).expand(batch, 2)


def total(output: Tensor, inputs: object) -> Tensor:
    del inputs
    return output.sum()
