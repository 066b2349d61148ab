"""``cnnbench gradients``: every form of its answer, and what cannot be had."""

from __future__ import annotations

import csv
import io
import json

import pytest

from cnnbench import requests
from cnnbench.errors import WorkerRaised
from cnnbench.runner import fake

BEGINNINGS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.fixture
def gradients(cnnbench_cli):
    return lambda *words: cnnbench_cli("gradients", *words, "--executor", "fake")


def test_json_has_every_layer_of_every_network(gradients) -> None:
    words = ("lenet", "alexnet", "--batch", 16, "--seed", 3, "--loss", "mse")
    found = json.loads(gradients(*words, "--json").stdout)

    assert [(one["name"], one["batch"], one["seed"]) for one in found] == [
        ("lenet", 16, 3), ("alexnet", 16, 3),
    ]  # fmt: skip
    assert {*found[0]["layers"][0]} == {
        "number", "layer", "type", "elements", "norm", "weight_norm", "relative",
    }  # fmt: skip
    assert found[0]["span"] == 8


def test_tables_are_narrow_and_csv_is_tidy(gradients) -> None:
    shown = gradients("plain56_cifar", "resnet56_cifar").stdout
    rows = list(csv.DictReader(io.StringIO(gradients("lenet,alexnet", "--format", "csv").stdout)))

    assert max(map(len, shown.splitlines())) <= 80
    assert [(row["model"], row["number"]) for row in rows][3:5] == [
        ("lenet", "4"),
        ("alexnet", "1"),
    ]


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_file_named_after_a_picture_is_one_and_the_same_each_time(
    gradients, tmp_path, kind: str
) -> None:
    pytest.importorskip("matplotlib")
    paths = [tmp_path / f"{name}.{kind}" for name in ("one", "two")]

    for path in paths:
        assert gradients("lenet", "alexnet", "-o", path).exit_code == 0

    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert one.startswith(BEGINNINGS[kind])


def test_a_picture_is_nothing_for_a_terminal(gradients) -> None:
    done = gradients("lenet", "--format", "svg")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "give a file: -o gradients.svg" in done.stderr


def test_a_network_that_fails_costs_its_own_answer(gradients, monkeypatch) -> None:
    real = fake.ANSWERS[requests.TakeGradients]

    def answer(request: requests.TakeGradients) -> object:
        if request.name in {"alexnet", "vgg16"}:
            raise WorkerRaised("ValueError: made up")
        return real(request)

    monkeypatch.setitem(fake.ANSWERS, requests.TakeGradients, answer)
    both, alone = gradients("lenet", "alexnet"), gradients("alexnet")

    assert both.exit_code == 3
    assert "conv3" in both.stdout
    assert both.stderr.splitlines() == [
        "cnnbench: alexnet: ValueError: made up", "cnnbench: 1 of 2 models have no gradients",
    ]  # fmt: skip
    assert (alone.exit_code, alone.stderr) == (2, "cnnbench: alexnet: ValueError: made up\n")
    none = gradients("alexnet", "vgg16", "--json")
    assert (none.exit_code, none.stdout) == (3, "")
    assert "cnnbench: 2 of 2 models have no gradients" in none.stderr
