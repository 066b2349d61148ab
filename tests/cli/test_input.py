"""``cnnbench input`` through the command."""

from __future__ import annotations

import csv
import io
import json

import pytest

from cnnbench import feeding, store
from cnnbench.recipes import RECIPES
from tests import made

FAKE = ("--device", "cpu", "--threads", "1", "--executor", "fake", "--quiet")


def test_rates_shares_and_what_a_network_needs(cnnbench_cli, tmp_path) -> None:
    done = cnnbench_cli("input", "--recipe", "cifar-train,flip", "--workers", "0,2",
                        "--models", "cifar_cnn", "--out", "kept", *FAKE)  # fmt: skip

    assert done.exit_code == 0, done.output
    text = made.flat(done.stdout)
    for words in ("storage is not measured", "FAKE EXECUTOR", "pad_crop", "a picture",
                  "cifar_cnn (training, batch 32) needs", "one core, gives",
                  "2 workers, gives"):  # fmt: skip
        assert words in text
    assert max(map(len, done.stdout.splitlines())) <= 80
    stored = store.read(tmp_path / "kept")
    workers = {one.spec.id: dict(one.spec.workload.settings) for one in stored.records}
    # A single step has no loader, and the network is measured once.
    assert sum("workers" in one for one in workers.values()) == 2
    assert len(workers) == 7


def test_a_stored_run_shows_the_same(cnnbench_cli) -> None:
    words = ("--recipe", "cifar-train", "--models", "cifar_cnn", "--dataset", "cifar10")
    shown = cnnbench_cli("input", *words, "--out", "kept", *FAKE)

    again = cnnbench_cli("report", "kept", "--pipelines", "--dataset", "cifar10")

    assert again.stdout == shown.stdout
    assert cnnbench_cli("report", "kept").exit_code == 0
    assert cnnbench_cli("compare", "kept", "kept").exit_code == 0


def test_a_network_of_another_run_is_fed(cnnbench_cli) -> None:
    cnnbench_cli("run", "cifar_cnn,resnet18", "--phase", "training", "--batch", "8",
                 "--modes", "eager", "--out", "nets", *FAKE)  # fmt: skip

    done = cnnbench_cli("input", "--recipe", "cifar-train", "--against", "nets", *FAKE)

    text = made.flat(done.stdout)
    assert "cifar_cnn (training, batch 8) needs" in text
    assert "resnet18 (training, batch 8) takes 3x224x224, which no recipe here makes" in text


def test_json_says_all_of_it(cnnbench_cli) -> None:
    done = cnnbench_cli("input", "--recipe", "cifar-train", "--models", "cifar_cnn",
                        "--dataset", "1000", "--json", *FAKE)  # fmt: skip

    data = json.loads(done.stdout)
    assert {one["backend"] for one in data["pipelines"]} == {"pil", "tensor"}
    for one in data["pipelines"]:
        assert sum(step["share"] for step in one["steps"].values()) == pytest.approx(1)
        each = sum(step["seconds_per_picture"] for step in one["steps"].values())
        assert 1 / each == pytest.approx(one["pictures_per_s"], rel=1e-6)
    assert {one["verdict"] for one in data["feeding"]} <= {"enough", "short", "unclear"}
    alone, *fed = data["epochs"]
    assert alone["pipeline"] is None
    assert all(one["epoch_s"] > alone["epoch_s"] for one in fed)
    assert {one["decided_by"] for one in fed} == {feeding.IN_TURN}
    assert alone["steps"] == 32


def test_an_epoch_of_any_run(cnnbench_cli, tmp_path) -> None:
    cnnbench_cli("run", "lenet", "--batch", "64", "--modes", "eager", "--out", "kept", *FAKE)

    table = cnnbench_cli("report", "kept", "--dataset", "mnist").stdout
    (row,) = csv.DictReader(
        io.StringIO(cnnbench_cli("report", "kept", "--dataset", "mnist", "--format", "csv").stdout)
    )

    assert "an epoch of 60,000 pictures" in table
    # Latency in tables leaves out what a process waited; an epoch does not, and says so.
    assert "by the clock" in table
    assert "an epoch of 1 picture," in cnnbench_cli("report", "kept", "--dataset", "1").stdout
    assert "938" in table
    assert row["steps"] == "938"
    (record,) = store.read(tmp_path / "kept").records
    assert float(row["epoch_s"]) == pytest.approx(938 * record.latency.point)
    assert float(row["epoch_low_s"]) < float(row["epoch_s"]) < float(row["epoch_high_s"])


def test_rows_of_epochs_differ_in_eighty_columns(cnnbench_cli) -> None:
    done = cnnbench_cli("input", "--recipe", "cifar-train", "--models", "cifar_cnn", "--batch",
                        "128", "--workers", "0,1", "--dataset", "cifar10", *FAKE)  # fmt: skip

    assert max(map(len, done.stdout.splitlines())) <= 80
    epochs = done.stdout.partition("an epoch of 50,000 pictures")[2]
    for back in ("PIL", "tensors"):
        for workers in (0, 1):
            assert epochs.count(f"cifar-train, {back} ({workers})") == 1
    assert "by the clock" in epochs


def test_epochs_of_runs_that_train_something_else_are_told_apart_in_eighty_columns(
    cnnbench_cli,
) -> None:
    for name, train in (("a", "head"), ("b", "last=1")):
        cnnbench_cli("run", "--models", "resnet18", "--modes", "eager", "--phase", "training",
                     "--train", train, "--out", name, "--quiet", *FAKE)  # fmt: skip

    shown = cnnbench_cli("report", "a", "b", "--dataset", "cifar10").stdout

    rows = [line.split() for line in shown.splitlines() if line.startswith("resnet18 ")]
    assert [row[2] for row in rows] == ["head", "last=1"]
    assert max(map(len, shown.splitlines())) <= 80


def test_recipes_are_listed(cnnbench_cli) -> None:
    listed = json.loads(cnnbench_cli("input", "--list", "--json").stdout)["recipes"]
    text = cnnbench_cli("input", "--list").stdout

    assert [one["name"] for one in listed] == [one.name for one in RECIPES]
    assert all(one.name in text for one in RECIPES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recipe", "imagnet-train"), "unknown recipe 'imagnet-train'"),
        (("--backend", "opencv"), "--backend opencv is not one of pil, tensor"),
        (("--workers", "many"), "'many' is not a number of workers"),
        (("--dataset", "cifar1"), "cifar10"),
        (("--against", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, words, said) -> None:
    done = cnnbench_cli("input", *words, "--models", "lenet", *FAKE)

    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output.splitlines()) == 1


def test_other_shapes_do_not_go_with_epochs(cnnbench_cli) -> None:
    cnnbench_cli("run", "lenet", "--modes", "eager", "--out", "kept", *FAKE)

    done = cnnbench_cli("report", "kept", "--dataset", "mnist", "--columns", "model")

    assert done.exit_code == 2
    assert "--columns cannot be combined with --dataset" in done.output


@pytest.mark.torch
def test_real_pipelines_are_measured_side_by_side_and_with_workers_alone(cnnbench_process) -> None:
    done = cnnbench_process(
        "input", "--recipe", "cifar-strong", "--batch", "4", "--workers", "0,1",
        "--rounds", "1", "--slices", "2", "--device", "cpu", "--quiet", "--json", "--out", "kept",
    )  # fmt: skip

    assert done.code == 0, done.err
    found = json.loads(done.out)["pipelines"]
    assert [(one["backend"], one["workers"]) for one in found] == [
        ("pil", 0), ("tensor", 0), ("pil", 1), ("tensor", 1)
    ]  # fmt: skip
    assert {one["status"] for one in found} == {"ok"}
    assert [*found[0]["steps"]] == [*_steps("cifar-strong"), "rest"]
    # Only those that took turns have a ratio.
    assert [one["speedup"] is not None for one in found] == [False, True, False, False]


@pytest.mark.torch
def test_a_pipeline_that_fails_is_a_row(cnnbench_process) -> None:
    done = cnnbench_process(
        "input", "--recipe", "decode,mnist", "--batch", "2", "--rounds", "1", "--slices", "1",
        "--device", "cpu", "--backend", "pil", "--memory-limit", "1M", "--quiet", "--json",
        "--out", "kept",
    )  # fmt: skip

    assert done.code == 3
    rows = {one["recipe"]: one for one in json.loads(done.out)["pipelines"]}
    assert rows["decode"]["status"] == "failed"
    assert "memory" in rows["decode"]["reason"].lower()
    assert rows["decode"]["pictures_per_s"] is None


def _steps(name: str) -> tuple[str, ...]:
    return next(one.steps for one in RECIPES if one.name == name)
