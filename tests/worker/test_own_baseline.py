"""The project's own baseline: what its networks cost changes only together with this file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench.gate import baseline

FILE = Path(__file__).parents[2] / "bench" / "baseline.json"


def test_it_is_laid_out_as_the_program_writes_it() -> None:
    assert FILE.read_text(encoding="utf8") == baseline.render(baseline.read(FILE))


@pytest.mark.slow
def test_one_of_its_networks_still_costs_the_same(cnnbench_process, tmp_path) -> None:
    data = json.loads(FILE.read_text(encoding="utf8"))
    name = "mobilenet_v3_small/inference-b1-3x224x224/eager/cpu-t1"
    data["specs"] = {name: data["specs"][name]}
    (tmp_path / "same.json").write_text(json.dumps(data))
    data["specs"][name]["cost"]["macs"] -= 1
    (tmp_path / "other.json").write_text(json.dumps(data))
    words = ["--structure-only", "--threshold", "cost=0"]

    same = cnnbench_process("check", "--baseline", tmp_path / "same.json", *words)
    other = cnnbench_process("check", "--baseline", tmp_path / "other.json", *words)

    assert same.code == 0, same.out + same.err
    assert other.code == 1
    assert f"{name}: regression\n" in other.out
    assert "  structure changed: MACs:" in other.out
