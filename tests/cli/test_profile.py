"""``cnnbench profile`` through the command, by the executor that pretends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench import requests
from cnnbench.errors import WorkerRaised
from cnnbench.runner import fake
from cnnbench.runner.profiling import folder_name
from cnnbench.spec import Device, Mode, Spec, Workload
from tests import made

FAKE = ("--device", "cpu", "--threads", "2", "--executor", "fake")


def test_the_table_adds_up_and_says_so(cnnbench_cli) -> None:
    done = cnnbench_cli("profile", "lenet", *FAKE)

    assert done.exit_code == 0, done.output
    for word in ("= sum", "+ clocks taken out", "+ residual", "= end to end", "of roof", "2.00x"):
        assert word in done.stdout


def test_a_layer_has_its_share_of_the_roof_unless_nobody_wants_it(cnnbench_cli) -> None:
    beside = json.loads(cnnbench_cli("profile", "lenet", "--json", *FAKE).stdout)
    without = json.loads(cnnbench_cli("profile", "lenet", "--json", "--no-roof", *FAKE).stdout)

    (ceilings,) = beside["raw"]["ceilings"]
    conv = next(row for row in beside["layers"] if row["layer"] == "conv")
    # 2 MFLOP are more than 200 kB ask for at the bandwidth between the probed sizes.
    arithmetic = 2e6 / max(ceilings["flops_per_s"].values())
    assert conv["roof"] >= 0.999 * arithmetic / conv["time_s"] > 0
    assert {row["roof"] for row in without["layers"]} == {"not measured"}
    assert without["raw"].get("ceilings", []) == []


def test_everything_is_kept_beside_the_trace(cnnbench_cli, tmp_path: Path) -> None:
    done = cnnbench_cli("profile", "lenet", "--stacks", "--out", "here", *FAKE)

    assert done.exit_code == 0, done.output
    files = {path.name for path in (tmp_path / "here").iterdir()}
    assert files == {
        "fake_1.1.pt.trace.json.gz", "stacks.folded", "profile.json", "layers.csv",
        "operators.csv", "memory.csv", "memory.json",
    }  # fmt: skip


def test_a_kept_profile_is_not_overwritten(cnnbench_cli, tmp_path: Path) -> None:
    cnnbench_cli("profile", "lenet", "--out", "here", *FAKE)
    kept = (tmp_path / "here" / "profile.json").read_bytes()

    done = cnnbench_cli("profile", "alexnet", "--out", "here", *FAKE)

    assert done.exit_code == 2
    assert done.stderr == "cnnbench: here holds other files; so choose another --out\n"
    assert (tmp_path / "here" / "profile.json").read_bytes() == kept


def test_without_a_directory_every_profile_has_its_own(cnnbench_cli, tmp_path: Path) -> None:
    for _ in range(2):
        assert cnnbench_cli("profile", "lenet", *FAKE).exit_code == 0

    assert len([*(tmp_path / "profiles").glob("lenet_inference-b1-*/profile.json")]) == 2


def test_json_is_one_object_with_the_identity(cnnbench_cli) -> None:
    data = json.loads(cnnbench_cli("profile", "lenet", "--json", *FAKE).stdout)

    assert data["spec"] == "lenet/inference-b1-3x32x32/eager/cpu-t2"
    assert data["sum_s"] - data["clocks_s"] + data["residual_s"] == pytest.approx(
        data["end_to_end_s"]
    )


def test_training_has_a_backward_column(cnnbench_cli) -> None:
    assert "backward" in cnnbench_cli("profile", "lenet", "--phase", "training", *FAKE).stdout


def test_compiled_code_has_operators_but_no_layers_and_says_why(cnnbench_cli) -> None:
    done = cnnbench_cli("profile", "lenet", "--mode", "compile", *FAKE)

    assert done.exit_code == 0, done.output
    assert "layers cannot be separated in compiled code" in made.flat(done.stdout)
    assert "reorders" not in done.stdout  # no heading above nothing
    assert "aten::mkldnn_convolution" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["lenett"], 2, "did you mean lenet"),
        (["resnet*"], 2, "one model"),
        (["lenet", "--mode", "eagre"], 2, "unknown mode word 'eagre'"),
        (["lenet", "--steps", "0"], 2, "--steps"),
        (["lenet", "--memory-snapshot", "m"], 2, "--memory-snapshot: only for CUDA devices"),
        (["lenet", "--nvtx"], 2, "--nvtx: only for CUDA devices"),
        (["lenet", "--size", "8", "--input", "3x8x8"], 2, "mutually exclusive"),
        (["fake:raises"], 3, "made up"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, words: list[str], code: int, said: str) -> None:
    done = cnnbench_cli("profile", *words, *FAKE)

    assert done.exit_code == code, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_a_file_in_the_way_is_one_line(cnnbench_cli, tmp_path: Path) -> None:
    (tmp_path / "way").write_text("")

    done = cnnbench_cli("profile", "lenet", "--out", "way/in", *FAKE)

    assert done.exit_code == 2
    assert "way" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["a:b", "../../etc/passwd", "a b;rm -rf", "<script>", "x'\"|&$(`", "é\n\t", "-rf", "n" * 300],
)
def test_odd_names_are_inert_in_directory_names(name: str) -> None:
    spec = Spec(Workload(name, 1, (3, 8, 8)), Mode(), Device(), 1)

    folder = folder_name(spec)

    assert folder == "".join(c for c in folder if c.isascii() and (c.isalnum() or c in "._+=-"))
    assert folder[0] not in ".-"
    assert len(folder) < 200


def test_specs_that_differ_have_directories_that_differ() -> None:
    names = ["a:b", "a_b", "a/b", "a b", "n" * 300, "n" * 301]
    specs = [Spec(Workload(name, 1, (3, 8, 8)), Mode(), Device(), 1) for name in names]

    assert len({folder_name(spec) for spec in specs}) == len(names)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (requests.TraceStep, "trace"),
        (requests.TimeLayers, "layer times"),
        (requests.ListPrimitives, "primitives"),
        (requests.CountLayers, "layer costs"),
        (requests.ProbeCeilings, "ceilings"),
    ],
)
def test_a_part_that_fails_is_said_and_sets_the_exit_code(
    cnnbench_cli, monkeypatch, tmp_path: Path, request_, name: str
) -> None:
    def fails(asked) -> None:
        if request_ is requests.TraceStep:
            Path(asked.trace_folder, "half_1.2.pt.trace.json").write_text("{")
        raise WorkerRaised("ValueError: made up")

    monkeypatch.setitem(fake.ANSWERS, request_, fails)

    done = cnnbench_cli("profile", "lenet", "--out", "here", *FAKE)

    assert done.exit_code == 3
    assert f"{name} not measured: ValueError: made up" in done.stdout
    assert f"parts of the profile failed: {name}" in done.stderr
    assert json.loads((tmp_path / "here" / "profile.json").read_text())["failed"] == [name]
    assert not [*(tmp_path / "here").glob("half*")]


def test_what_does_not_apply_is_no_failure(cnnbench_cli, monkeypatch) -> None:
    def refuses(_asked) -> None:
        raise WorkerRaised("oneDNN runs on the CPU only", "unsupported")

    monkeypatch.setitem(fake.ANSWERS, requests.ListPrimitives, refuses)

    assert cnnbench_cli("profile", "lenet", *FAKE).exit_code == 0


@pytest.mark.parametrize("out", [["--out", "deep/here"], []])
def test_a_profile_that_fails_leaves_no_directory(cnnbench_cli, tmp_path: Path, out) -> None:
    assert cnnbench_cli("profile", "fake:raises", *out, *FAKE).exit_code == 3
    assert [*tmp_path.iterdir()] == []


@pytest.mark.torch
def test_a_network_of_the_working_directory_has_every_part(cnnbench_cli, tmp_path: Path) -> None:
    text = "from torch import nn\n\ndef tiny():\n    return nn.Conv2d(3, 4, 3)\n"
    (tmp_path / "beside_me.py").write_text(text)

    done = cnnbench_cli(
        "profile", "beside_me:tiny", "--input", "3x8x8", "--device", "cpu", "--threads", "1",
        "--seconds", "0.1", "--no-roof", "--out", "here",
    )  # fmt: skip

    assert done.exit_code == 0, done.stdout
    assert len([*(tmp_path / "here").glob("*.pt.trace.json.gz")]) == 1
    kept = json.loads((tmp_path / "here" / "profile.json").read_text())
    assert kept["failed"] == kept["notes"] == []
    assert all(kept["raw"][part] for part in ("trace", "layers", "costs"))
