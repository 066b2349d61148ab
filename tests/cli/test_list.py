from __future__ import annotations

import json

import pytest

from cnnbench import catalogue


def test_the_columns_are_names_family_task_year_input_and_numbers(cnnbench_cli) -> None:
    header = cnnbench_cli("list", "lenet", "--wide").stdout.splitlines()[0]

    words = ["name", "family", "task", "year", "input", "params", "MACs", "top-1", "%", "paper"]
    assert header.split() == words


def test_without_a_pattern_everything_is_listed(cnnbench_cli) -> None:
    result = cnnbench_cli("list", "--names")

    assert result.stdout.split() == [entry.name for entry in catalogue.entries()]


def test_the_count_stands_below(cnnbench_cli) -> None:
    text = cnnbench_cli("list", "resnet*").stdout

    number = len(catalogue.select(["resnet*"]))
    assert f"{number} architectures" in text.splitlines()
    assert number > 3


def test_json_has_every_field(cnnbench_cli) -> None:
    (row,) = json.loads(cnnbench_cli("list", "resnet18", "--json").stdout)

    assert (row["name"], row["family"], row["params"]) == ("resnet18", "ResNet", 11_689_512)
    assert row["input"] == [3, 224, 224]


def test_macs_are_those_that_cost_counts(cnnbench_cli) -> None:
    """The catalogue's test counts every architecture; this one asks both commands."""
    pytest.importorskip("torchvision")
    names = ["lenet", "mobilenet_v3_small", "maskrcnn_resnet50_fpn_v2", "r3d_18", "raft_small"]

    listed = json.loads(cnnbench_cli("list", *names, "--json").stdout)
    counted = json.loads(cnnbench_cli("cost", *names, "--json").stdout)

    facts = [{key: one[key] for key in ("name", "params", "macs")} for one in listed]
    assert facts == [{key: one[key] for key in ("name", "params", "macs")} for one in counted]
    assert {one["name"]: one["published_macs"] for one in listed} == {
        "lenet": None, "mobilenet_v3_small": 57_000_000,
        "maskrcnn_resnet50_fpn_v2": 333_577_000_000, "r3d_18": 40_697_000_000,
        "raft_small": 47_655_000_000,
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["tag:quick", "family:ResNet", "family:resnet", "vgg1?"])
def test_patterns_choose(cnnbench_cli, pattern: str) -> None:
    result = cnnbench_cli("list", pattern, "--names")

    assert result.stdout.split() == list(catalogue.select([pattern]))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("resnet19", "unknown architecture 'resnet19'; did you mean resnet1"),
        ("tag:quik", "unknown tag 'quik'; did you mean quick?"),
        ("family:vgggg", "unknown family 'vgggg'; did you mean VGG?"),
        ("timm:resnet50d", "unknown architecture 'timm:resnet50d'"),
    ],
)
def test_an_unknown_name_is_one_line(cnnbench_cli, pattern: str, text: str) -> None:
    result = cnnbench_cli("list", pattern)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert text in result.stderr
