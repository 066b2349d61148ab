"""A mode that changed nothing says so in its row, through the real command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench import store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch


def test_modes_without_effect_have_a_note(cnnbench_cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    text = (
        "from torch import nn\n\ndef dense():\n    return nn.Sequential(nn.Flatten(), nn.ReLU())\n"
    )
    (tmp_path / "mynets.py").write_text(text)

    done = cnnbench_cli(
        "run", "--models", "mynets:dense", "--input", "3x8x8", "--device", "cpu", "--threads", "1",
        "--modes", "eager,channels_last,amp,compile", "--rounds", "1", "--slices", "1",
        "--out", "out",
    )  # fmt: skip

    found = {one.spec.mode.text: one.notes for one in store.read(tmp_path / "out").records}
    assert done.exit_code == 0, done.stderr
    assert found["eager"] == ()
    assert "compiled nothing: the compiler is disabled by TORCHDYNAMO_DISABLE" in str(
        found["compile"]
    )
    assert "channels_last changed no weight" in str(found["channels_last"])
    assert "amp=bf16 changed nothing" in str(found["amp=bf16"])
    assert "compiled nothing" in done.stdout
