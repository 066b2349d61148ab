"""Factories whose networks are no plain modules on plain tensors, through ``cnnbench cost``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

NETWORKS = """
import torch
from torch import nn


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).eval()


def scripted():
    return torch.jit.script(plain())


def program():
    return torch.export.export(plain(), (torch.zeros(1, 3, 8, 8),))


def exported():
    return program().module()


def quantised():
    return torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear})


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return torch.cond(x.sum() > 0, self.conv, self.conv, (x,))


class Elsewhere(Branching):
    def forward(self, x):
        return self.conv(x.cuda())


class Array(Branching):
    def forward(self, x):
        return torch.from_numpy(self.conv(x).detach().numpy())
"""
CONV, LINEAR = 4 * 36 * 27, 144 * 5


@pytest.fixture
def cost(tmp_path: Path, cnnbench_process):
    (tmp_path / "unusual.py").write_text(NETWORKS)
    return lambda *words: cnnbench_process("cost", "--input", "3x8x8", "--json", *words)


def test_scripted_exported_and_quantised_networks_are_counted(cost) -> None:
    done = cost("unusual:scripted", "unusual:exported", "unusual:quantised", "--real")

    assert done.code == 0, done.err
    assert [one["macs"] for one in json.loads(done.out)] == [CONV + LINEAR] * 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("program", "returned ExportedProgram, not a torch.nn.Module; return its module()"),
        ("quantised", "build it with them (--real"),
        ("Branching", "uses torch.cond, which cannot be recorded"),
        ("Array", "operator Tensor.numpy has no meta form"),
    ],
)
def test_what_is_not_counted_is_one_line_and_exit_code_2(cost, name: str, said: str) -> None:
    done = cost(f"unusual:{name}")

    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err


def test_a_device_that_is_not_here_is_named(cost) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has it")

    done = cost("unusual:Elsewhere")

    assert (done.code, done.err.count("\n")) == (2, 1)
    assert (
        "asks for a device that is not here; create tensors on the device of the input" in done.err
    )
