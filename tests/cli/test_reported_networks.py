"""Networks of public reports through the real command line: each costs one row that is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch

NETWORKS = '''
import torch
from torch import nn


def spectral():
    """pytorch/pytorch#8208"""
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())


class alternating(nn.Conv2d):
    """johnmarktaylor91/torchlens#17"""

    def __init__(self):
        super().__init__(3, 4, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * (1 + self.calls % 2)


def compiled():
    """sovrasov/flops-counter.pytorch#110"""
    return torch.compile(nn.Conv2d(3, 4, 3), backend="eager")
'''


def test_rows_of_networks_that_break_other_tools(cnnbench_cli, tmp_path: Path) -> None:
    (tmp_path / "reported.py").write_text(NETWORKS, encoding="utf8")

    done = cnnbench_cli(
        "run", "--models", "reported:spectral,reported:alternating,reported:compiled",
        "--input", "3x8x8", "--modes", "eager", "--device", "cpu", "--threads", "1",
        "--rounds", "1", "--slices", "1", "--out", "kept",
    )  # fmt: skip

    lines = (tmp_path / "kept" / "records.jsonl").read_text(encoding="utf8").splitlines()
    # The last record of a spec counts.
    found = {record["id"].split("/")[0]: record for record in map(json.loads, lines)}
    checks = {name: one["runs"][0]["check"]["status"] for name, one in found.items() if one["runs"]}
    assert checks == {"reported:spectral": "ok", "reported:alternating": "unchecked"}
    assert "compiled already" in found["reported:compiled"]["failure"]["message"]
    assert done.exit_code == 3
