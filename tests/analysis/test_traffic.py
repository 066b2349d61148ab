"""Bytes moved: rows that are picked and not tables, nothing for allocations, no dead reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze

INDEX = torch.zeros(10, dtype=torch.int64)
ROWS = 10 * 64 * 4


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1000, 64))
        self.function = function

    def forward(self, *inputs):
        return self.function(self.table, *inputs)


@pytest.mark.parametrize(
    ("function", "inputs", "read", "written"),
    [
        (lambda t, i: functional.embedding(i, t), (INDEX,), ROWS + 80, ROWS),
        (lambda t, i: t.index_select(0, i), (INDEX,), ROWS + 80, ROWS),
        (lambda t, i: t[i], (INDEX,), ROWS + 80, ROWS),
        (lambda t, i: t.flatten().take(i), (INDEX,), 40 + 80, 40),
        (lambda t, i: t.gather(0, i[:, None]), (INDEX,), 40 + 80, 40),
        (lambda t: torch.empty_like(t), (), 0, 0),
        (lambda t: t.new_empty(7), (), 0, 0),
        (lambda t: torch.zeros_like(t), (), 0, 256_000),
        (lambda t, x: x.copy_(t[0]), (torch.zeros(64),), 256, 256),
        (lambda t, x: x.zero_(), (torch.zeros(64),), 0, 256),
        (lambda t, x: x.add_(t[0]), (torch.zeros(64),), 512, 256),
        (lambda t, x: torch.add(x, t[0], out=torch.empty_like(x)), (torch.zeros(64),), 512, 256),
    ],
    ids=["embedding", "index_select", "index", "take", "gather", "empty_like", "new_empty",
         "zeros_like", "copy_", "zero_", "add_", "out"],
)  # fmt: skip
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_bytes(function, inputs, read, written, real):
    counted = analyze(Call(function), inputs, real=real).inference

    assert (counted.read_bytes, counted.written_bytes) == (read, written)


def test_a_bag_reads_every_row_once_and_adds_them():
    bag = nn.EmbeddingBag(1000, 64)

    counted = analyze(bag, (INDEX.reshape(2, 5),)).inference

    assert counted.macs == 0
    assert counted.elementwise["arithmetic"] >= 10 * 64
    assert ROWS < counted.read_bytes < 2 * ROWS
