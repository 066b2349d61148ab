"""Networks with inputs of many kinds, and functions that make them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Two(nn.Module):
    """Indices, a picture, and a mask by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(1000, 8)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, indices: Tensor, image: Tensor, mask: Tensor | None = None) -> Tensor:
        words = self.table(indices)
        if mask is not None:
            words = words * mask.unsqueeze(-1)
        both = [words.mean(1), self.conv(image).mean((2, 3))]
        answer: Tensor = self.head(torch.cat(both, 1))
        return answer


def two(batch: int, seed: int) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(1000, (batch, 6), generator=generator)
    image = torch.randn(batch, 3, 9, 9, generator=generator)
    return (indices, image), {"mask": torch.rand(batch, 6, generator=generator) < 0.5}


class Nested(nn.Module):
    """One positional argument: a dict that holds a dict and half-precision numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, batch: dict) -> dict[str, Tensor]:
        return {"out": self.layer(batch["x"]["pixels"].float()) + batch["y"]}


def nested(batch: int) -> tuple[dict]:
    return ({"x": {"pixels": torch.rand(batch, 8).half()}, "y": torch.rand(batch, 4)},)


class Keywords(nn.Module):
    """Keyword-only arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, *, x: Tensor, t: Tensor) -> Tensor:
        answer: Tensor = self.layer(x) * t.unsqueeze(-1)
        return answer


def keywords(batch: int) -> dict[str, Tensor]:
    return {"x": torch.rand(batch, 8), "t": torch.rand(batch)}


def single(batch: int) -> Tensor:
    return torch.rand(batch, 8)


def nothing(batch: int) -> int:
    return batch


class Decides(nn.Module):
    """What it does depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layer(x)
        if answer.sum() > 0:
            answer = answer * 2
        return answer * answer.mean().item()


def four(batch: int) -> Tensor:
    return torch.rand(4, 8)


def with_a_graph(batch: int) -> Tensor:
    return torch.rand(batch, 8, requires_grad=True) * 2


def pictures(batch: int) -> tuple[list[Tensor]]:
    return ([torch.rand(3, 8, 9) for _ in range(batch)],)


def graph(batch: int) -> tuple[Tensor, Tensor]:
    return torch.rand(50 * batch + 7, 16), torch.randint(50, (2, 280 * batch + 7))
