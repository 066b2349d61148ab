"""``cnnbench conv`` through the command."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.conv import catalogue, known_bad
from cnnbench.conv.problem import ConvProblem

FAKE = ("--device", "cpu", "--threads", "2", "--executor", "fake", "--quiet")
LAYER = "n1c64h56w56-k64-3x3-p1"


def test_ways_roofs_and_advice_of_a_suite_and_a_run_that_is_kept(cnnbench_cli, tmp_path) -> None:
    done = cnnbench_cli("conv", "--suite", "smoke", "--out", "kept", "--wide", *FAKE)

    assert done.exit_code == 0, done.output
    for words in ("vs best library", "of roof", "conv:k16-1x1 on 1x8x8x8",
                  "im2col_nhwc+channels_last", "A configuration only", "B same function",
                  "FAKE EXECUTOR"):  # fmt: skip
        assert words in done.stdout
    assert "not applicable: winograd_f2 is for 3x3 kernels" in done.stdout
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"manifest.json", "environment.json", "records.jsonl", "report.csv",
                     "report.md"}  # fmt: skip


def test_without_arguments_it_answers_the_question_of_lectures(cnnbench_cli) -> None:
    done = cnnbench_cli("conv", "--out", "kept", *FAKE)

    assert done.exit_code == 0, done.output
    first = done.stdout.split("\n\n")[0]
    assert " implementations" in first or "The default is the one to use" in first
    for name in ("pointwise", "depthwise", "depthwise_separable"):
        assert f"~ {name}" in done.stdout
    assert "conv:k64-3x3-p1 on 1x64x56x56, 116 M MACs" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "winograd_f4" in done.stdout
    assert "shift_gemm" not in done.stdout


def test_a_budget_that_is_given_holds_for_the_usual_question_too(cnnbench_cli) -> None:
    cnnbench_cli("conv", "--out", "usual", *FAKE)
    cnnbench_cli("conv", "--budget", "90s", "--out", "given", *FAKE)

    usual, given = (store.read(Path(name)).manifest for name in ("usual", "given"))
    assert (usual.plan["budget"], given.plan["budget"]) == (60.0, 90.0)
    assert (usual.plan["slices"], given.plan["slices"]) == (3, 3)
    assert usual.specs == given.specs


def test_torchs_own_words_are_a_layer_and_an_assumed_size_is_said(cnnbench_cli) -> None:
    words = "Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))"

    open_size = cnnbench_cli("conv", "--layer", words, "--impl", "none", "--dry-run", *FAKE)
    given = cnnbench_cli("conv", "--layer", f"{words} on 56x56", "--impl", "none", "--dry-run",
                         *FAKE)  # fmt: skip

    assert open_size.exit_code == given.exit_code == 0, open_size.output
    assert "an input of 56x56 is assumed" in " ".join(open_size.stderr.split())
    assert "assumed" not in given.stderr
    assert open_size.stdout == given.stdout


def test_what_is_said_of_an_assumed_size_can_be_typed(cnnbench_cli) -> None:
    words = "Conv2d(8, 8, 3, padding='same', dtype=torch.bfloat16)"
    asked = ("--impl", "none", "--modes", "eager", "--dry-run", *FAKE)

    said = cnnbench_cli("conv", "--layer", words, *asked)
    remedy = said.stderr.partition("for another: ")[2]
    other = cnnbench_cli("conv", *shlex.split(remedy), *asked)

    assert said.stdout.startswith("conv:k8-3x3-p1/inference-b1-8x56x56/bf16/")
    assert other.stdout.startswith("conv:k8-3x3-p1/inference-b1-8x28x28/bf16/")


def test_a_stored_run_shows_the_same(cnnbench_cli, tmp_path) -> None:
    shown = cnnbench_cli("conv", "--suite", "lecture", "--impl", "im2col", "--out", "kept", *FAKE)

    assert cnnbench_cli("report", "kept", "--lab").stdout == shown.stdout
    again = cnnbench_cli("report", "kept", "--lab", "--format", "markdown").stdout
    assert again == (tmp_path / "kept" / "report.md").read_text(encoding="utf8")
    assert cnnbench_cli("report", "kept").exit_code == 0


def test_ways_that_do_not_apply_are_no_failure_and_are_not_tried_again(
    cnnbench_cli, tmp_path
) -> None:
    cnnbench_cli("conv", "--suite", "smoke", "--impl", "winograd_f2", "--out", "kept", *FAKE)
    lost = ("conv:k16-1x1/", "conv:k8-3x3-p1/")
    records = tmp_path / "kept" / "records.jsonl"
    lines = records.read_text(encoding="utf8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(tuple(f'{{"id":"{one}' for one in lost))]
    records.write_text("".join(kept), encoding="utf8")

    done = cnnbench_cli("run", "--resume", "kept", "--quiet")

    assert done.exit_code == 0, done.output
    stored = store.read(tmp_path / "kept")
    assert stored.missing == ()
    assert [one.spec.workload.architecture for one in stored.records if one.refused] == [
        "conv:k16-1x1"
    ]


def test_json_has_a_row_per_way_and_advice_by_class(cnnbench_cli) -> None:
    done = cnnbench_cli("conv", "--layer", LAYER, "--impl", "im2col,winograd_f4",
                        "--substitutes", "ghost", "--json", *FAKE)  # fmt: skip

    data = json.loads(done.stdout)
    assert {row["implementation"] for row in data["rows"]} == {"", "im2col", "winograd_f4"}
    assert {row["substitute"] for row in data["rows"]} == {None, "ghost"}
    assert [one["class"] for one in data["advice"]] == ["A", "B", "C"]
    assert data["rows"][0]["benchdnn"].endswith(
        "mb1ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1ph1pw1dh0dw0"
    )


def test_a_unit_is_part_of_every_id_and_its_norm_is_folded_too(cnnbench_cli) -> None:
    words = ("conv", "--unit", "conv+bn+relu", "--dry-run", "--json", *FAKE)
    usual = json.loads(cnnbench_cli(*words).stdout)["specs"]
    suite = json.loads(cnnbench_cli(*words, "--suite", "smoke", "--impl", "none").stdout)["specs"]
    shown = cnnbench_cli("conv", "--layer", f"{LAYER}-bn-relu", "--impl", "folded", *FAKE)

    assert all(one["spec"].startswith("conv:k64-3x3-p1-bn-relu") for one in usual)
    assert any("/impl=folded/" in one["spec"] for one in usual)
    assert all("-bn-relu/" in one["spec"] for one in suite)
    assert "conv:k64-3x3-p1-bn-relu on 1x64x56x56, 116 M MACs" in shown.stdout
    assert "folded" in shown.stdout


def test_a_unit_is_not_asked_of_a_model(cnnbench_cli) -> None:
    done = cnnbench_cli("conv", "lenet", "--unit", "conv+relu", *FAKE)

    assert done.exit_code == 2
    assert "leave --unit out" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("direction", "suffix", "name"),
    [("backward_data", "bwd_d", "col2im"), ("backward_weights", "bwd_w", "im2col")],
)
def test_a_backward_pass_is_part_of_every_id(
    cnnbench_cli, direction: str, suffix: str, name: str
) -> None:
    words = ("conv", "--direction", direction, "--dry-run", "--json", *FAKE)
    usual = json.loads(cnnbench_cli(*words).stdout)["specs"]
    suite = json.loads(cnnbench_cli(*words, "--suite", "smoke", "--impl", "none").stdout)["specs"]
    shown = cnnbench_cli("conv", "--layer", f"{LAYER}-{suffix}", "--impl", name, *FAKE)

    assert all(one["spec"].startswith(f"conv:k64-3x3-p1-{suffix}/") for one in usual)
    assert any(f"/impl={name}/" in one["spec"] for one in usual)
    assert all(f"-{suffix}/" in one["spec"] for one in suite)
    assert f"conv:k64-3x3-p1-{suffix} on 1x64x56x56, 116 M MACs" in shown.stdout


def test_a_backward_pass_is_asked_of_layers_alone(cnnbench_cli) -> None:
    layer = ("conv", "--layer", LAYER, "--direction", "backward_data")
    model = cnnbench_cli("conv", "lenet", "--direction", "backward_data", *FAKE)
    unit = cnnbench_cli(*layer, "--unit", "conv+relu", *FAKE)

    assert (model.exit_code, unit.exit_code) == (2, 2)
    assert "leave --direction out" in " ".join(model.stderr.split())
    assert "leave --unit out" in " ".join(unit.stderr.split())


def test_a_transposed_layer_is_measured_beside_resizing(cnnbench_cli) -> None:
    words = "ConvTranspose2d(64, 32, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)) on 28x28"
    done = cnnbench_cli("conv", "--layer", words, "--impl", "zero_insertion,col2im,subpixel",
                        "--substitutes", "resize_conv", *FAKE)  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "conv:k32-4x4-s2-p1-t on 1x64x28x28, 25.7 M MACs" in done.stdout
    for name in ("zero_insertion", "col2im", "subpixel", "~ resize_conv"):
        assert name in done.stdout


def test_a_training_step_of_a_layer_is_a_layer_of_its_own(cnnbench_cli) -> None:
    words = ("conv", "--layer", LAYER, "--impl", "none", "--substitutes", "depthwise_separable",
             "--phase", "inference,training")  # fmt: skip
    shown = " ".join(cnnbench_cli(*words, "--out", "a", *FAKE).stdout.split())
    data = json.loads(cnnbench_cli(*words, "--out", "b", "--json", *FAKE).stdout)

    assert "conv:k64-3x3-p1 on 1x64x56x56, 116 M MACs, cpu" in shown
    assert "conv:k64-3x3-p1 on 1x64x56x56, training step, cpu" in shown
    assert {one["phase"] for one in data["advice"]} == {"inference", "training"}


def test_a_budget_of_the_users_pays_for_rounds_while_it_is_open_what_to_use(
    cnnbench_cli, tmp_path
) -> None:
    words = ("conv", "--layer", LAYER, "--impl", "none", *FAKE, "--out")
    cnnbench_cli(*words, "usual")
    cnnbench_cli(*words, "given", "--budget", "10m")
    cnnbench_cli(*words, "both", "--budget", "10m", "--rounds", "3")

    plans = {name: store.read(tmp_path / name).manifest.plan for name in ("usual", "given", "both")}
    assert {name: plan["most_rounds"] for name, plan in plans.items()} == {
        "usual": 0, "given": 20, "both": 0,
    }  # fmt: skip


def test_csv_is_one_tidy_table(cnnbench_cli, tmp_path) -> None:
    cnnbench_cli("conv", "--layer", LAYER, "--impl", "im2col", "--out", "kept", *FAKE)

    with (tmp_path / "kept" / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mode"] for row in rows] == ["eager", "channels_last", "amp=bf16", "impl=im2col"]
    assert float(rows[0]["speedup"]) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        LAYER,
        "mb1ic64ih56oc64oh56kh3ph1",
        "MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1",
    ],
)
def test_a_layer_in_three_languages_is_one_layer(cnnbench_cli, text: str) -> None:
    done = cnnbench_cli("conv", "--layer", text, "--impl", "none", "--dry-run", *FAKE)

    assert "conv:k64-3x3-p1/inference-b1-64x56x56/eager/cpu-t2\n" in done.stdout


def test_a_layer_brings_its_batch_and_dtype(cnnbench_cli) -> None:
    done = cnnbench_cli("conv", "--layer", "n4c8h8w8-k8-3x3-bf16",
                        "--layer", "n2c8h8w8-k8-1x1-bf16",
                        "--impl", "none", "--dry-run", "--json", *FAKE)  # fmt: skip

    ids = [row["spec"] for row in json.loads(done.stdout)["specs"]]
    assert ids[0] == "conv:k8-3x3/inference-b4-8x8x8/bf16/cpu-t2"
    assert "conv:k8-1x1/inference-b2-8x8x8/channels_last+bf16/cpu-t2" in ids


def test_a_model_is_changed_and_measured_again(cnnbench_cli, tmp_path) -> None:
    done = cnnbench_cli("conv", "--from-model", "resnet18", "--impl", "prepacked,im2col",
                        "--apply", "--out", "kept", "--wide", *FAKE)  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "its convolutions take" in done.stdout
    assert "not in the lab: 1 x 1-dimensional 2" in done.stdout
    assert "predicted gain" in done.stdout
    assert "2 layers by other implementations in channels_last" in done.stdout
    assert (tmp_path / "kept" / "applied" / "records.jsonl").exists()
    (network,) = json.loads(cnnbench_cli("report", "kept", "--lab", "--format", "json").stdout)[
        "networks"
    ]
    assert (network["model"], network["threads"]) == ("resnet18", 2)
    assert sum(one["share"] for one in network["layers"]) > 0
    assert {one["class"] for one in network["changes"]} == {"A", "B"}
    for one in network["changes"]:
        assert one["measured_s"] > 0, one
        # Pretended layers take longer than their network, from which nothing follows.
        assert one["predicted_s"] is one["predicted_gain_low"] is None
        assert one["measured_gain_low"] <= one["measured_gain"] <= one["measured_gain_high"]
    assert cnnbench_cli("report", "kept", "--lab", "--wide").stdout == done.stdout


def test_every_implementation_and_substitute_is_listed_without_torch() -> None:
    blocked = "import sys; sys.modules['torch'] = None; from cnnbench.cli import main; main()"
    texts = [
        subprocess.run(
            [sys.executable, "-c", blocked, "conv", "--list", "--wide", *more],
            capture_output=True, text=True, timeout=60, check=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for more in ([], ["--json"])
    ]  # fmt: skip

    data = json.loads(texts[1])
    assert [one["name"] for one in data["implementations"]] == [
        one.name for one in catalogue.entries()
    ]
    assert [one["name"] for one in data["substitutes"]] == [
        one.name for one in catalogue.substitutes()
    ]
    assert data["implementations"][0]["dtypes"] == list(catalogue.entries()[0].dtypes)
    for part in data.values():
        assert all(f"\n{one['name']} " in texts[0] for one in part)
    assert "Chellapilla" in texts[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--layer", "n1c8h2w2-k8-7x7"],
            "7x7 kernel covers 7x7, more than the padded input of 2x2",
        ),
        (["--layer", "n1c8h8w8-k8-3x3-g3"], "3 groups do not divide 8 input channels"),
        (["--layer", "n1c8"], "n1c8"),
        (["--impl", "winograd"], "did you mean winograd_f"),
        (["--substitutes", "gost"], "did you mean ghost"),
        (["--suite", "clasic"], "did you mean classic"),
        (["--from-model", "resnt18"], "did you mean resnet18"),
        (["--from-model", "tag:quick"], "one model"),
        (["--suite", "smoke", "--from-model", "lenet"], "keep one"),
        (["--dtype", "fp8"], "--dtype fp8"),
        (["--dtype", "tf32"], "exists on cuda only"),
        (["--modes", "fast"], "fast"),
        (["--apply"], "--from-model"),
        (["lenet", "--apply", "--phase", "training"], "leave --phase out"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, words: list[str], said: str) -> None:
    done = cnnbench_cli("conv", *words, *FAKE)

    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_other_commands_send_a_layer_here(cnnbench_cli) -> None:
    done = cnnbench_cli("run", "--models", "conv:k8-3x3-p1", *FAKE)

    assert done.exit_code == 2
    assert "cnnbench conv --layer" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pivot", "mode"], "--pivot"),
        (["--filter", "batch=1"], "--filter"),
        (["--format", "html"], "--format html"),
    ],
)
def test_the_lab_s_tables_choose_their_own_rows(cnnbench_cli, words, said: str) -> None:
    cnnbench_cli("conv", "--suite", "smoke", "--impl", "none", "--out", "kept", *FAKE)
    done = cnnbench_cli("report", "kept", "--lab", *words)

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_run_without_layers_has_no_lab(cnnbench_cli, fake_run, tmp_path) -> None:
    assert fake_run
    done = cnnbench_cli("report", tmp_path / "run", "--lab")

    assert done.exit_code == 2
    assert "cnnbench conv" in done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_a_real_smoke_suite_is_right_and_has_roofs_and_kernels(tmp_path: Path) -> None:
    words = ["--impl", "im2col,winograd_f4", "--rounds", "2", "--json", "--quiet",
             "--device", "cpu", "--threads", "1", "--modes", "eager"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "conv", "--suite", "smoke", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    status = {(row["layer"], row["implementation"]): row["status"] for row in rows}
    assert status["conv:k8-3x3-p1", "winograd_f4"] == "ok"
    assert status["conv:k16-1x1", "winograd_f4"] == "not applicable"
    measured = [row for row in rows if row["status"] != "not applicable"]
    assert {row["status"] for row in measured} == {"ok"}
    assert all(row["kernels"] and row["roof_share"] for row in measured)
    assert all(
        row["workspace_bytes"] == row["measured_workspace_bytes"]
        for row in measured
        if row["implementation"] == "im2col" and row["layer"] == "conv:k8-3x3-p1"
    )


@pytest.mark.torch
@pytest.mark.slow
def test_what_the_library_is_known_to_do_is_shown_and_costs_no_other_row(tmp_path: Path) -> None:
    """Strictly: where a case must happen it is seen, elsewhere the same layers are right."""
    from cnnbench.worker.environment import describe

    environment = describe()
    absent = known_bad.absent(environment.hard)
    layers = [word for case in known_bad.CASES for word in ("--layer", case.triggered[0])]
    words = ["--impl", "prepacked,native,im2col", "--rounds", "1", "--slices", "2", "--json",
             "--quiet", "--device", "cpu", "--threads", "1", "--modes", "eager"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "conv", *layers, *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    rows = json.loads(done.stdout)["rows"]
    for case in known_bad.CASES:
        layer = ConvProblem.parse(case.triggered[0]).architecture
        of_layer = {row["mode"]: row for row in rows if row["layer"] == layer}
        default = of_layer["bf16"]
        expected = {"died": "failed", "wrong": "wrong"}[case.symptom]
        assert default["status"] == ("ok" if absent else expected)
        assert absent or case.report in default["known_bug"]
        ours = [of_layer[mode]["status"] for mode in ("impl=native+bf16", "impl=im2col+bf16")]
        assert ours == ["ok", "ok"]
    died = not absent and any(row["status"] == "failed" for row in rows)
    assert done.returncode == (3 if died else 0), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layer", " "), "--layer ' ' names no layer; one looks like n1c64h56w56-k64-3x3-p1"),
        (("--layer", LAYER, "--phase", "training", "--direction", "backward_data"),
         "a backward pass by itself is no step of training; drop --phase, or --direction"),
        (("--layer", f"{LAYER}-bwd_w", "--phase", "training"),
         "a backward pass by itself is no step of training; drop --phase, or --direction"),
        (("--substitutes", "1x2"), "unknown substitute '1x2'; did you mean 1x1"),
        (("--cluster", ""), "--cluster is empty; give local, or the address of a head"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(cnnbench_cli, words, said: str) -> None:
    done = cnnbench_cli("conv", *words, "--dry-run", *FAKE)

    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_substitutes_go_by_what_lectures_call_them(cnnbench_cli) -> None:
    words = ("--layer", "c8h8w8-k8-3x3-p1", "--impl", "none", "--dry-run", "--json", *FAKE)

    one = cnnbench_cli("conv", "--substitutes", "1x1,separable", *words).stdout
    other = cnnbench_cli("conv", "--substitutes", "pointwise,depthwise_separable", *words).stdout

    assert one == other
    assert "~pointwise" in one


@pytest.mark.parametrize(
    ("has", "asked"),
    [(("avx2", "avx512_bf16"), True), (("asimd", "bf16"), True), (("avx2", "fma"), False),
     ((), True)],
)  # fmt: skip
def test_bfloat16_is_asked_about_where_the_processor_has_it(
    cnnbench_cli, monkeypatch, has, asked: bool
) -> None:
    monkeypatch.setattr("cnnbench.machine.instruction_sets", lambda *_: has)

    usual = cnnbench_cli("conv", "--dry-run", *FAKE).stdout
    named = cnnbench_cli("conv", "--modes", "amp=bf16", "--dry-run", *FAKE).stdout

    assert ("/amp=bf16/" in usual) is asked
    assert "/amp=bf16/" in named


def test_cold_caches_are_said_above_the_table_and_in_every_row(cnnbench_cli) -> None:
    words = ("conv", "--layer", "c8h8w8-k8-3x3-p1", "--impl", "im2col", "--modes", "eager", *FAKE)

    shown = cnnbench_cli(*words, "--l2", "cold", "--out", "cold")
    rows = json.loads(cnnbench_cli("report", "cold", "--lab", "--format", "json").stdout)["rows"]
    warm = cnnbench_cli(*words, "--out", "warm")

    said = "caches flushed before every sample (--l2 cold)"
    assert said in " ".join(shown.stdout.split())
    assert said not in " ".join(warm.stdout.split())
    assert {row["l2"] for row in rows} == {"cold"}
