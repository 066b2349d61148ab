"""The main flow on a CUDA device that is there: run, training, comparison, report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cnnbench import store

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

QUICK = ("--device", "cuda", "--rounds", "2", "--slices", "3", "--quiet")


def statuses(path: Path) -> dict[str, str]:
    return {one.spec.mode.text: one.status for one in store.read(path).records}


def test_modes_of_a_network_and_their_report(cnnbench_cli, tmp_path) -> None:
    modes = "eager,tf32,tf32=cudnn,channels_last+amp=fp16,graph,compile=reduce-overhead"

    result = cnnbench_cli(
        "run", "--models", "lenet", "--modes", modes, *QUICK, "--out", "out"
    )  # fmt: skip
    page = cnnbench_cli("report", "out", "--format", "html", "-o", "page.html")

    assert (result.exit_code, page.exit_code) == (0, 0), result.output + page.output
    assert statuses(tmp_path / "out") == dict.fromkeys(modes.split(","), "ok")
    for record in store.read(tmp_path / "out").records:
        assert record.structure.device_ns > 0
        assert record.memory.cuda_allocated_bytes > 0
        assert not any("CUDA graphs" in note for note in record.notes)


def test_training_in_float16(cnnbench_cli, tmp_path) -> None:
    result = cnnbench_cli(
        "run", "--models", "lenet", "--phase", "training", "--batch", "8", "--modes",
        "eager,amp=fp16", *QUICK, "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert statuses(tmp_path / "out") == {"eager": "ok", "amp=fp16": "ok"}


def test_a_mode_against_itself_is_no_regression(cnnbench_cli) -> None:
    result = cnnbench_cli(
        "ab", "mode:eager", "mode:eager", "--models", "lenet", "--device", "cuda", "--pairs",
        "3..3", "--slices", "3",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
