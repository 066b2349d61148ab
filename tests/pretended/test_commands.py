"""Every command that measures, from command line to files, on a CUDA device that is not there.

The times are those of a CPU and nothing is said of them: what is tested is that each command finds
its way through what only a GPU has, and says what only a GPU can go wrong with.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench import machine, store
from cnnbench.metrics import gpu
from cnnbench.record import Record
from cnnbench.runner import advise

TINY, GREEDY, ASSERTING = (f"pretended_nets:{name}" for name in ("tiny", "greedy", "asserting"))
SHORT = ("--device", "cuda", "--input", "3x16x16", "--threads", "1")
# No tensor is as large as the probes of a GPU's ceilings, which a CPU takes long for.
SMALL = ("PRETENDED_CUDA_LARGEST", str(16 << 20))
QUICK = ("--rounds", "1", "--slices", "2", "--quiet")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("pretended_cuda")]


def records(path: Path) -> dict[tuple[str, str], Record]:
    """Records of a run directory by model and mode."""
    found = store.read(path).records
    return {(one.spec.workload.architecture, one.spec.mode.text): one for one in found}


def test_run_measures_what_can_be_and_says_of_the_rest_how_it_ended(cnnbench_cli, tmp_path) -> None:
    models = ",".join([TINY, GREEDY, ASSERTING])
    result = cnnbench_cli(
        "run", "--models", models, *SHORT, *QUICK, "--modes", "eager,tf32", "--out", "out"
    )

    assert result.exit_code == 3, result.output
    found = records(tmp_path / "out")
    for mode, precision in (("eager", "ieee"), ("tf32", "tf32")):
        good = found[TINY, mode]
        assert good.status == "ok"
        assert good.spec.device.text == "cuda:0"
        assert good.memory.cuda_allocated_bytes > 0
        assert good.memory.cuda_process_bytes == 600 << 20
        assert good.structure.device_ns > 0
        assert good.runs[0].flags["cudnn_conv_fp32"] == precision
        assert {one["sm_mhz"] for one in good.runs[0].slices.device} == {1980}
        assert found[GREEDY, mode].failure.kind == "out_of_memory"
        assert "CUDA out of memory" in found[GREEDY, mode].failure.message
        assert found[ASSERTING, mode].failure.message.endswith(
            "device-side assert triggered (Assertion `srcIndex < srcSelectDimSize` failed in"
            " indexSelectSmallIndex, Indexing.cu:1369)"
        )
    assert "launch-bound" in result.stdout
    environment = store.read(tmp_path / "out").environment
    assert environment.hard["gpus"][0]["driver"] == "580.65.06"

    page = cnnbench_cli("report", "out", "--format", "html", "-o", "page.html")
    table = cnnbench_cli("report", "out", "--wide")
    data = json.loads(cnnbench_cli("report", "out", "--format", "json").stdout)

    assert (page.exit_code, table.exit_code) == (0, 0), page.output + table.output
    assert "Pretended GPU" in (tmp_path / "page.html").read_text(encoding="utf8")
    assert "GPU busy" in table.stdout
    assert "out_of_memory" in table.stdout or "out of memory" in table.stdout
    assert any("gpu_busy_share" in str(row) for row in (data if isinstance(data, list) else [data]))


def test_training_in_float16_on_a_hot_gpu_for_one_process(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_NVTX", str(tmp_path / "nvtx"))
    monkeypatch.setenv("PRETENDED_CUDA_THROTTLE", str(0x40))
    monkeypatch.setenv("PRETENDED_CUDA_MODE", "3")

    result = cnnbench_cli(
        "run", "--models", TINY, *SHORT, *QUICK, "--phase", "training", "--batch", "4",
        "--modes", "eager,channels_last+amp=fp16", "--nvtx", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    ranges = (tmp_path / "nvtx").read_text(encoding="utf8").splitlines()
    assert ranges.count("push cnnbench: slice 0") == ranges.count("push cnnbench: slice 1") == 2
    found = records(tmp_path / "out")
    half = found[TINY, "channels_last+amp=fp16"]
    assert half.status == "ok", half.reason
    assert half.runs[0].flags["loss_scale"] > 0
    assert half.runs[0].flags["steps_skipped"] == 0
    assert {part.name for part in half.runs[0].parts} >= {"forward", "backward", "optimizer"}
    ensembles = [run.ensemble for record in found.values() for run in record.runs]
    assert len(set(ensembles)) == len(ensembles) == 2
    for record in found.values():
        assert "compute mode of the GPU" in " ".join(record.notes)
        assert gpu.trouble(record) == (
            "disturbed (the GPU was slowed down by heat in 100 % of the slices)"
        )


def test_a_graph_is_replayed_and_what_cannot_be_captured_says_why(cnnbench_cli, tmp_path) -> None:
    """That replays answer to other pictures is what the output check looks at."""
    deciding = "pretended_nets:deciding"
    result = cnnbench_cli(
        "run", "--models", f"{TINY},{deciding}", *SHORT, *QUICK, "--batch", "2", "--modes",
        "eager,graph", "--energy", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 3, result.output
    found = records(tmp_path / "out")
    assert found[TINY, "graph"].status == "ok", found[TINY, "graph"].reason
    assert found[TINY, "graph"].runs[0].flags["graph_replays"] > 2
    assert found[TINY, "graph"].check.top1_pictures > 2
    drawn = found[TINY, "graph"].runs[0].flags["energy"]
    assert drawn["source"] == "nvml"
    assert drawn["idle_w"] == pytest.approx(250, rel=0.2)
    assert drawn["joules"] == pytest.approx(250 * drawn["seconds"], rel=0.2)
    assert found[deciding, "eager"].status == "ok"
    assert found[deciding, "graph"].failure.message == (
        "cannot be captured as a CUDA graph: CUDA error: operation not permitted when stream is"
        " capturing"
    )


def test_no_graph_is_captured_of_training(cnnbench_cli, tmp_path) -> None:
    result = cnnbench_cli(
        "run", "--models", TINY, *SHORT, *QUICK, "--phase", "training", "--batch", "2", "--modes",
        "eager,graph", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 3, result.output
    found = records(tmp_path / "out")
    assert found[TINY, "eager"].status == "ok"
    assert found[TINY, "graph"].failure.kind == "unsupported"
    assert found[TINY, "graph"].failure.message.startswith(
        "graph captures forward passes only: a training step reads values on the host"
    )


@pytest.mark.skipif(machine.compiler() is None, reason="needs a C++ compiler")
def test_what_is_compiled_is_measured_and_says_where_no_cuda_graph_was_made(
    cnnbench_cli, tmp_path
) -> None:
    """It is compiled for the CPU, which has no CUDA graphs: just what must not pass in silence."""
    words = "compile,compile=reduce-overhead"
    result = cnnbench_cli(
        "run", "--models", TINY, *SHORT, *QUICK, "--batch", "2", "--modes", f"eager,{words}",
        "--timeout", "300s", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    found = records(tmp_path / "out")
    for word in words.split(","):
        record = found[TINY, word]
        assert record.status == "ok", record.reason
        assert record.runs[0].compile_cache == "cold"
        graphs = word == "compile=reduce-overhead"
        said = f"{word} means CUDA graphs, but the compiler made none for 1 graph"
        assert (said in record.notes) is graphs, record.notes


def test_max_batch_ends_at_the_devices_memory(cnnbench_cli, monkeypatch) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_BYTES", str(1 << 30))

    result = cnnbench_cli(
        "max-batch", TINY, *SHORT, "--limit", "2MiB", "--up-to", "256", "--within", "50", "--quiet",
        "--json",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["ended"] == "out_of_memory"
    assert 1 <= found["fits"] < found["fails"] <= 256
    assert found["peak_bytes"] > 0


def test_profile_times_layers_by_events_and_keeps_a_trace(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_NVTX", str(tmp_path / "nvtx"))

    result = cnnbench_cli(
        "profile", TINY, *SHORT, "--seconds", "0.1s", "--steps", "1", "--no-roof",
        "--out", "out", "--nvtx", "--memory-snapshot", "memory.pickle",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "Conv2d" in result.stdout
    assert "waiting for the host counts towards the module that follows" in " ".join(
        (tmp_path / "out" / "profile.json").read_text(encoding="utf8").split()
    )
    assert list((tmp_path / "out").rglob("*.pt.trace.json.gz"))
    assert (tmp_path / "memory.pickle").stat().st_size > 0
    assert "memory snapshot in memory.pickle" in result.stderr
    ranges = (tmp_path / "nvtx").read_text(encoding="utf8").splitlines()
    assert {"push layer conv", "push layer head", "push cnnbench: memory snapshot"} <= {*ranges}


def test_advise_ends_with_advice(cnnbench_cli, tmp_path, monkeypatch) -> None:
    # Compiling for the CPU says nothing of what compiling for a device would do.
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    monkeypatch.setenv(*SMALL)
    # Who wins is nothing that pretended devices know.
    monkeypatch.setattr(advise, "_FURTHER_ROUNDS", 0)

    result = cnnbench_cli("advise", TINY, *SHORT, "--rounds", "2", "--out", "out")

    assert result.exit_code == 0, result.output
    found = records(tmp_path / "out")
    assert {one.spec.device.text for one in found.values()} == {"cuda:0"}
    assert found[TINY, "eager"].status == "ok"
    assert any("compiler is disabled" in note for one in found.values() for note in one.notes)


def test_ab_of_two_modes_has_a_verdict(cnnbench_cli, tmp_path) -> None:
    result = cnnbench_cli(
        "ab", "mode:eager", "mode:channels_last", "--models", TINY, *SHORT, "--pairs", "2..2",
        "--slices", "3", "--json", "--out", "out", "--threshold", "99%",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert "cuda:0" in result.stdout


def test_conv_compares_implementations(cnnbench_cli, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(*SMALL)
    result = cnnbench_cli(
        "conv", "--layer", "n1c4h8w8-k4-3x3-p1", "--impl", "im2col,cudnn_benchmark", "--device",
        "cuda", "--threads", "1", "--modes", "eager", *QUICK, "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    found = records(tmp_path / "out")
    assert len(found) == 3
    assert {one.status for one in found.values()} == {"ok"}
    assert any("ceilings not known" in note for one in found.values() for note in one.notes)
