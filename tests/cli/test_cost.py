"""``cnnbench cost``: every view and format, and what bad input gets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnnbench import requests
from cnnbench.cli import main
from cnnbench.errors import WorkerRaised
from cnnbench.runner import fake

# Issue: what a JSON object of a model holds at least.
PROMISED = {
    "name", "batch", "input", "params", "trainable_params", "buffers", "macs", "flops",
    "mult_adds", "activation_peak_bytes", "memory_peak_bytes", "uncounted",
}  # fmt: skip


def cost(*words: str) -> Result:
    return CliRunner().invoke(main, ["cost", *words, "--executor", "fake"])


def test_json_is_a_list_with_one_object_per_model_and_every_promised_field() -> None:
    done = cost("lenet", "resnet18", "--json")

    facts = json.loads(done.stdout)
    assert [one["name"] for one in facts] == ["lenet", "resnet18"]
    assert all(set(one) >= PROMISED for one in facts)
    assert all(one["flops"] == 2 * one["macs"] for one in facts)


def test_published_accuracies_and_their_recipe_are_columns_for_those_who_ask() -> None:
    words = ("resnet18", "lenet", "--columns", "model,top-1 %,top5,weights", "--format", "csv")

    usual, asked = cost("resnet18").stdout, cost(*words).stdout.split()
    facts = json.loads(cost("resnet18", "lenet", "--json").stdout)

    assert "top-1" not in usual
    assert asked[1:] == ["resnet18,69.758,89.078,IMAGENET1K_V1", "lenet,,,"]
    assert [(one["top1"], one["top5"], one["weights"]) for one in facts] == [
        (69.758, 89.078, "IMAGENET1K_V1"), (None, None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("--size", "64"), ("--model-arg", "num_classes=10"), ("--phase", "training"),
     ("--input", "3x224x256")],
)  # fmt: skip
def test_an_accuracy_is_of_the_network_as_published_alone(words: tuple[str, str]) -> None:
    columns = ("--columns", "top1,top5,weights", "--format", "csv")

    asked = cost("resnet18", *words, *columns).stdout.split()
    (facts,) = json.loads(cost("resnet18", *words, "--json").stdout)

    assert asked == ["top1,top5,weights", ",,"]
    assert {facts[name] for name in ("top1", "top5", "weights")} == {None}


@pytest.mark.torch
def test_depth_is_in_weighted_layers() -> None:
    words = ["cost", "resnet18", "googlenet", "--columns", "model,depth", "--format", "csv"]

    done = CliRunner().invoke(main, words)

    assert done.stdout.split() == ["name,depth", "resnet18,18", "googlenet,22"]


@pytest.mark.torch
def test_a_glob_of_timms_names_is_a_row_per_model() -> None:
    pytest.importorskip("timm")

    done = CliRunner().invoke(main, ["cost", "timm:vit_tiny_patch16_?24", "lenet", "--json"])

    # 196 patches of 16x16, then a class token: a block has 12 squares of its width in weights, and
    # two products of all tokens with all tokens.
    width, tokens = 192, 196 + 1
    block = tokens * 12 * width**2 + 2 * tokens**2 * width
    macs = 196 * 3 * 16**2 * width + 12 * block + 1000 * width
    found = [(one["name"], one["macs"]) for one in json.loads(done.stdout)]
    assert found == [("timm:vit_tiny_patch16_224", macs), ("lenet", 651_720)]


@pytest.mark.parametrize("kind", ["table", "csv", "markdown", "json"])
@pytest.mark.parametrize("view", [[], ["--layers"], ["--ops"], ["--cross-check"]])
def test_every_view_in_every_format(kind: str, view: list[str]) -> None:
    done = cost("lenet", *view, "--format", kind)

    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


@pytest.mark.parametrize("view", [[], ["--layers"], ["--ops"]])
def test_columns_are_those_asked_for_in_that_order(view: list[str]) -> None:
    done = cost("lenet", *view, "--columns", "macs,name", "--format", "csv")

    everything = csv.DictReader(io.StringIO(cost("lenet", *view, "--format", "csv").stdout))
    header, *rows = csv.reader(io.StringIO(done.stdout))
    assert header == ["macs", "name"]
    assert rows == [[row["macs"], row["name"]] for row in everything]


def test_columns_may_be_named_by_their_headings() -> None:
    done = cost("lenet", "--layers", "--columns", "MACs,layer,backward read", "--format", "csv")

    assert next(csv.reader(io.StringIO(done.stdout))) == ["macs", "name", "backward_read_bytes"]


@pytest.mark.parametrize("view", [[], ["--layers"]])
def test_the_footer_is_torchinfo_s(view: list[str]) -> None:
    done = cost("lenet", *view, "--footer")

    assert "Forward/backward pass size (MB): " in done.stdout
    assert "no peak" in done.stdout
    assert "pass size" not in cost("lenet", *view).stdout


def test_csv_holds_raw_numbers_under_stable_names() -> None:
    done = cost("lenet", "--format", "csv", "--batch", "3")

    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["name"] == "lenet"
    assert row["batch"] == "3"
    assert int(row["flops"]) == 2 * int(row["macs"])


def test_the_result_can_go_to_a_file(tmp_path: Path) -> None:
    done = cost("lenet", "--json", "-o", str(tmp_path / "cost.json"))

    assert done.stdout == ""
    assert json.loads((tmp_path / "cost.json").read_text())[0]["name"] == "lenet"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenett"], "did you mean lenet"),
        (["lenet", "--format", "xml"], "unknown format 'xml'"),
        (["lenet", "--sort", "macs"], "--layers or --ops"),
        (["lenet", "--ops", "--depth", "1"], "--depth goes with --layers"),
        (["lenet", "--layers", "--sort", "mac"], "did you mean macs"),
        (["lenet", "--batch", "0"], "--batch"),
        (["lenet", "--size", "big"], "'big'"),
        (["lenet", "-o", "no/such/folder/file"], "no/such/folder"),
        (["lenet", "--columns", "name,mac"], "did you mean macs"),
        (["lenet", "--layers", "--columns", "speed"], "columns: name, type, depth, kernel"),
        (["lenet", "--mode", "compile+amp"], "mode 'compile+amp=bf16' cannot be counted"),
        (["lenet", "--mode", "amp=bf17"], "'amp=bf17'"),
        (["lenet", "--mode", "all"], "--mode takes one mode"),
        (["lenet", "--footer", "--json"], "--footer goes with tables"),
        (["lenet", "--train-eval", "--ops"], "--ops and --train-eval are different tables"),
        (["lenet", "--cross-check", "--layers"], "--layers and --cross-check are different"),
        (["rcnn_vgg16", "--regions", "99999999999"], "'99999999999' is more than 1000000"),
        (["rcnn_vgg16", "--regions", "9" * 5000], "is more than 1000000"),
        (["lenet", "--columns", "name", "--json"], "so --columns would do nothing; drop --columns"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = cost(*words)

    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_the_mode_is_said_in_json_in_tables_and_in_captions() -> None:
    (facts,) = json.loads(cost("lenet", "--mode", "amp", "--json").stdout)

    assert facts["mode"] == "amp=bf16"
    assert "amp=bf16" in cost("lenet", "--mode", "amp").stdout
    assert "mode amp=bf16" in cost("lenet", "--mode", "amp", "--layers").stdout
    assert json.loads(cost("lenet", "--json").stdout)[0]["mode"] == "eager"


@pytest.mark.torch
def test_a_mode_is_counted_by_a_real_worker() -> None:
    words = ["cost", "lenet", "--batch", "2", "--json"]
    modes = [[], ["--mode", "amp=bf16"], ["--mode", "channels_last+bf16"]]
    (eager,), (mixed,), (half,) = (
        json.loads(CliRunner().invoke(main, [*words, *mode]).stdout) for mode in modes
    )

    assert (mixed["mode"], half["mode"]) == ("amp=bf16", "channels_last+bf16")
    assert eager["macs"] == mixed["macs"] == half["macs"]
    assert half["memory_peak_bytes"] < 0.6 * eager["memory_peak_bytes"]
    # Weights in float32, and a copy of each in bfloat16.
    assert mixed["memory"]["params"] == eager["memory"]["params"] == 2 * half["memory"]["params"]
    assert mixed["activation_peak_bytes"] > half["memory"]["params"]


@pytest.mark.torch
def test_batch_norm_and_dropout_cost_more_in_training_and_types_add_up(cnnbench_cli) -> None:
    words = ("cost", "mnist_cnn", "--batch", "4", "--json")
    (both,) = json.loads(cnnbench_cli(*words, "--train-eval").stdout)
    (before,) = json.loads(cnnbench_cli(*words).stdout)
    (after,) = json.loads(cnnbench_cli(*words, "--phase", "training", "--layers").stdout)

    types = {one["type"]: one for one in both["types"]}
    assert (both["batch"], both["input"]) == (4, [[4, 1, 28, 28]])
    for name in ("Dropout", "Dropout2d"):
        assert (types[name]["eval_flops"], types[name]["eval_bytes"]) == (0, 0)
        assert types[name]["train_bytes"] > 0
    norm = types["BatchNorm2d"]
    assert norm["train_flops"] > 3 * norm["eval_flops"] > 0
    for name in ("Conv2d", "Linear", "ReLU", "MaxPool2d"):
        assert types[name]["eval_flops"] == types[name]["train_flops"]
    assert types["Conv2d"]["layers"] == 2
    done = 2 * before["macs"] + before["bias_adds"] + sum(before["elementwise_flops"].values())
    assert sum(one["eval_flops"] for one in both["types"]) == done
    root = after["layers"][0]
    moved = root["read_bytes"] + root["written_bytes"]
    assert sum(one["train_bytes"] for one in both["types"]) == moved
    backward = root["backward_read_bytes"] + root["backward_written_bytes"]
    assert sum(one["backward_bytes"] for one in both["types"]) == backward


def test_types_of_several_networks_stand_in_one_narrow_table() -> None:
    shown = cost("lenet", "alexnet", "--train-eval").stdout
    columns = cost(
        "lenet", "--train-eval", "--columns", "type,eval_flops", "--format", "csv"
    ).stdout

    assert max(map(len, shown.splitlines())) <= 80
    assert "\nlenet  " in shown
    assert "\nalexnet  " in shown
    assert columns.splitlines()[0] == "type,eval_flops"


def test_a_network_that_cannot_be_evaluated_is_not_left_out_in_silence(monkeypatch) -> None:
    real = fake.ANSWERS[requests.ReportCost]

    def answer(request: requests.ReportCost) -> object:
        if (request.name, request.phase) == ("alexnet", "inference"):
            raise WorkerRaised("ValueError: made up")
        return real(request)

    monkeypatch.setitem(fake.ANSWERS, requests.ReportCost, answer)
    table, data = (cost("lenet", "alexnet", "--train-eval", *more) for more in ((), ("--json",)))

    assert (table.exit_code, data.exit_code) == (3, 3)
    assert "alexnet: ValueError: made up" in table.stdout
    assert json.loads(data.stdout)[1] == {"name": "alexnet", "error": "ValueError: made up"}
    assert cost("alexnet", "--train-eval").exit_code == 2


def test_both_modes_leave_no_choice_of_a_phase() -> None:
    done = cost("lenet", "--train-eval", "--phase", "training")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
