"""A network that computes another thing for each fault that can be injected, and some odd ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Each changes what is computed; only some of them change what the network is made of.
FAULTS = (
    "epsilon", "padding", "activation", "residual", "dropout", "sign", "permuted", "weight",
    "scale", "initialisation", "stride phase", "no norm", "last bias", "zero channel", "nan",
)  # fmt: skip
# Other ways to write the same network.
SAME = ("", "renamed", "another order", "sum", "float32 constant", "channels last", "in place")


class Net(nn.Module):
    """A stem, a residual block, a head; ``fault`` is one of ``FAULTS`` or ``SAME``."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        if fault == "another order":
            self.head = nn.Linear(16, 10)
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        mode = "reflect" if fault == "padding" else "zeros"
        conv = nn.Conv2d(16, 16, 3, padding=1, bias=False, padding_mode=mode)
        norm = nn.BatchNorm2d(16, eps=1e-3 if fault == "epsilon" else 1e-5)
        self.block = nn.ModuleDict({"renamed" if fault == "renamed" else "conv": conv})
        self.norm = nn.Identity() if fault == "no norm" else norm
        if fault != "another order":
            self.head = nn.Linear(16, 10)
        with torch.no_grad():
            if fault == "sign":
                conv.weight.neg_()
            if fault == "weight":
                conv.weight[3, 5, 1, 1] += 0.1
            if fault == "initialisation":
                conv.weight.mul_(2)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "stride phase":
            x = functional.pad(x, (0, 1, 0, 1))[..., 1:, 1:]
        if self.fault == "channels last":
            x = x.to(memory_format=torch.channels_last)
        x = self.stem(x)
        x = torch.relu_(x) if self.fault == "in place" else torch.relu(x)
        (conv,) = self.block.values()
        inner = self.norm(conv(x))
        if self.fault == "zero channel":
            inner = inner * (torch.arange(16).view(1, -1, 1, 1) != 7)
        if self.fault == "sum":
            x = inner.add(x)
        else:
            x = inner if self.fault == "residual" else x + inner
        x = functional.relu6(x) if self.fault == "activation" else torch.relu(x)
        if self.fault == "float32 constant":
            x = x * torch.tensor(0.1, dtype=torch.float32) * 10
        x = functional.dropout(x.mean((2, 3)), 0.1, training=self.fault == "dropout")
        x = self.head(x)
        if self.fault == "scale":
            x = x * 1.001
        if self.fault == "last bias":
            x = x + 1e-3
        if self.fault == "nan":
            x = torch.where(x > x.mean(), x / 0 * 0, x)
        return x.flip(1) if self.fault == "permuted" else x


def net(fault: str = "") -> Net:
    return Net(fault)


class Odd(nn.Module):
    """Outputs of a kind that is asked for."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x)
        odd = {
            "argmax": lambda: y.argmax(1),
            "bool": lambda: y > 0,
            "complex": lambda: torch.fft.rfft2(y),
            "dict": lambda: {"a": y, "b": y.sum()},
            "empty": lambda: y[:0],
            "half": lambda: y.half(),
            "found": lambda: y[y > y.mean()],
            "chaotic": lambda: torch.frac(y * 1e9),
            "noise": lambda: y + torch.randn_like(y),
            "many": lambda: [y * number for number in range(1, 20)],
            "infinite": lambda: y.masked_fill(y > 0, -torch.inf),
            "zero": lambda: y * 0,
            "float32 only": lambda: y + functional.conv2d(y, torch.ones(4, 4, 1, 1)),
            "one sample": lambda: y.view(1, -1),
            "stateful": lambda: y * self._next(),
            "refuses": lambda: self._refuse(),
        }
        return odd[self.kind]()

    def _next(self) -> int:
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls

    def _refuse(self) -> Tensor:
        raise ValueError("not on this machine")


def odd(kind: str) -> Odd:
    return Odd(kind)
