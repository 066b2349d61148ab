"""NASNet-A: cells found by search, stacked by hand.

Paper: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition" (arXiv:1707.07012), figure 4; tables 2 and 3 state 88.9 M (6 @ 4032) and 5.3 M (4 @
1056). The exact counts are those of the TensorFlow models without auxiliary head (Cadene:
88,753,150 and 5,289,978). Padding is symmetric; TensorFlow pads one side more where a stride meets
an even size.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnbench.architectures.layers import conv_norm
from cnnbench.architectures.registry import Architecture, add
from cnnbench.architectures.resnet import head


class CellPlan(NamedTuple):
    """A cell of figure 4.

    Inputs 0 and 1 are the previous and the current hidden state; results count from 2.

    Attributes:
        pairs: for each result the two (operation, input) that are added.
        kept: the inputs and results that are concatenated.
    """

    pairs: tuple[tuple[tuple[str, int], tuple[str, int]], ...]
    kept: tuple[int, ...]


# An operation is a kind, a kernel and, where it is 2, a stride.
NORMAL = CellPlan(
    (
        (("sep5", 1), ("sep3", 0)),
        (("sep5", 0), ("sep3", 0)),
        (("avg3", 1), ("same", 0)),
        (("avg3", 0), ("avg3", 0)),
        (("sep3", 1), ("same", 1)),
    ),
    (0, 2, 3, 4, 5, 6),
)
REDUCTION = CellPlan(
    (
        (("sep5/2", 1), ("sep7/2", 0)),
        (("max3/2", 1), ("sep7/2", 0)),
        (("avg3/2", 1), ("sep5/2", 0)),
        (("avg3", 2), ("same", 3)),
        (("sep3", 2), ("max3/2", 1)),
    ),
    (3, 4, 5, 6),
)


def _separable(width_in: int, width: int, kernel: int, stride: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(
        width_in, width_in, kernel, stride, kernel // 2, groups=width_in, bias=False
    )
    return [nn.ReLU(), depthwise, *conv_norm(width_in, width, 1, eps=0.001)]


def _operation(name: str, width_in: int, width: int) -> nn.Module:
    if name == "same":
        return nn.Identity()
    kind, kernel, stride = name[:3], int(name[3]), 2 if name.endswith("/2") else 1
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, kernel // 2)
    if kind == "avg":
        return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    # Appendix A.4: separable convolutions are always applied twice.
    return nn.Sequential(
        *_separable(width_in, width, kernel, stride), *_separable(width, width, kernel, 1)
    )


class FactorizedReduction(nn.Module):
    """Halve a map without losing pixels: two 1x1/2 convolutions, one of them shifted by a pixel."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(width_in, width // 2, 1, bias=False)
        self.odd = nn.Conv2d(width_in, width // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width_in, H, W) to (N, width, H/2, W/2)."""
        x = functional.relu(x)
        shifted = functional.pad(x, (-1, 1, -1, 1))
        paths = [self.even(x[:, :, ::2, ::2]), self.odd(shifted[:, :, ::2, ::2])]
        out: Tensor = self.norm(torch.cat(paths, dim=1))
        return out


def _fit(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), *conv_norm(width_in, width, 1, eps=0.001))


class Cell(nn.Module):
    """One cell: fit both hidden states to its width, then follow the plan."""

    def __init__(
        self, plan: CellPlan, previous: nn.Module, widths: tuple[int, int], width: int
    ) -> None:
        """``widths`` are those of the fitted previous and of the unfitted current state."""
        super().__init__()
        self.plan = plan
        self.previous = previous
        self.current = _fit(widths[1], width)
        inputs = (widths[0], *(width,) * 6)
        self.operations = nn.ModuleList(
            _operation(name, inputs[state], width) for pair in plan.pairs for name, state in pair
        )

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Two hidden states to (N, width x kept, H, W) of the next one."""
        states = [self.previous(previous), self.current(current)]
        operations = iter(self.operations)
        for (_, left), (_, right) in self.plan.pairs:
            states.append(next(operations)(states[left]) + next(operations)(states[right]))
        return torch.cat([states[kept] for kept in self.plan.kept], dim=1)


class NASNet(nn.Module):
    """Stem, two reduction cells, then three runs of normal cells with reductions between."""

    def __init__(
        self, classes: int, in_channels: int, stem: int, filters: int, cells: int, *, skip: bool
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(in_channels, stem, 3, 2, eps=0.001))
        self.cells = nn.ModuleList()
        # After a reduction, the large network continues from the state before the last one.
        self.passes: list[bool] = []
        widths = self._stem_cells(stem, filters)
        for run in range(3):
            width = filters * 2**run
            if run > 0:
                widths = self._reduce(widths, width, skip=skip)
            for index in range(cells):
                fit = FactorizedReduction if index == 0 else _fit
                self._append(Cell(NORMAL, fit(widths[0], width), (width, widths[1]), width))
                widths = widths[1], width * 6
        layers: list[nn.Module] = [nn.ReLU(), *head(widths[1], classes)]
        layers.insert(-1, nn.Dropout(0.5))
        self.head = nn.Sequential(*layers)

    def _append(self, cell: Cell, *, passes: bool = False) -> None:
        self.cells.append(cell)
        self.passes.append(passes)

    def _stem_cells(self, stem: int, filters: int) -> tuple[int, int]:
        """Append both and return the widths of the two hidden states after them."""
        quarter, half = filters // 4, filters // 2
        self._append(Cell(REDUCTION, nn.Identity(), (stem, stem), quarter))
        fit = FactorizedReduction(stem, half)
        self._append(Cell(REDUCTION, fit, (half, quarter * 4), half))
        return quarter * 4, half * 4

    def _reduce(self, widths: tuple[int, int], width: int, *, skip: bool) -> tuple[int, int]:
        fit = _fit(widths[0], width)
        self._append(Cell(REDUCTION, fit, (width, widths[1]), width), passes=skip)
        return (widths[0] if skip else widths[1]), width * 4

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, classes)."""
        previous = current = self.stem(x)
        for cell, passes in zip(self.cells, self.passes, strict=True):
            following = cell(current, previous)
            previous, current = (previous if passes else current), following
        logits: Tensor = self.head(current)
        return logits


def nasnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    stem: int = 32,
    filters: int = 44,
    cells: int = 4,
    skip: bool = False,
) -> nn.Module:
    """NASNet-A ``cells`` @ 24 x ``filters``; logits (N, classes)."""
    return NASNet(num_classes, in_channels, stem, filters, cells, skip=skip)


_LARGE: dict[str, Any] = {"stem": 96, "filters": 168, "cells": 6, "skip": True}

for _name, _size, _arguments, _params, _top1, _tags in (
    ("nasnet_mobile", 224, {}, 5_289_978, 74.0, ("imagenet", "mobile")),
    ("nasnet_large", 331, _LARGE, 88_753_150, 82.7, ("imagenet",)),
):
    add(
        Architecture(
            name=_name,
            family="NASNet",
            task="classification",
            year=2017,
            paper="arXiv:1707.07012, figure 4, tables 2 and 3; count as in Cadene's repository",
            input=(3, _size, _size),
            build=functools.partial(nasnet, **_arguments),
            params=_params,
            top1=_top1,
            min_size=3,
            tags=_tags,
            notes="without the auxiliary head of the TensorFlow model",
        )
    )
