"""``--train`` through the real command line: ids, refusals, a row for each part, side by side."""

from __future__ import annotations

import json

import pytest

import cnnbench
from cnnbench.report.overview import WIDTH

FAKE = ("--executor", "fake", "--device", "cpu")
PARTS = ("--train", "head", "--train", "conv1,fc", "--train", "last=1")


def test_what_is_trained_is_in_the_id_of_training_only_and_given_again_makes_rows(
    cnnbench_cli,
) -> None:
    result = cnnbench_cli(
        "run", *FAKE, "--models", "lenet", "--modes", "eager", "--json",
        "--phase", "training,inference,finetune", *PARTS,
    )  # fmt: skip

    rows = json.loads(result.stdout)
    parts = ["head", "conv1%2Cfc", "last%3D1"]
    assert [row["spec"].split("/")[1] for row in rows] == [
        *(f"training-b1-3x32x32-train={part}" for part in parts),
        "inference-b1-3x32x32",
        *(f"finetune-b1-3x32x32-train={part}" for part in parts),
    ]
    assert [row["train"] for row in rows] == [
        "head", "conv1,fc", "last=1", None, "head", "conv1,fc", "last=1",
    ]  # fmt: skip


def test_fine_tuning_keeps_its_old_id(cnnbench_cli) -> None:
    result = cnnbench_cli("run", *FAKE, "--models", "lenet", "--phase", "finetune", "--dry-run")

    assert result.stdout.startswith("lenet/finetune-b1-3x32x32/eager/cpu-t")


@pytest.mark.parametrize(
    "line",
    [
        ("run", "--modes", "eager", "--rounds", "2"),
        ("max-batch", "--up-to", "4"),
        ("cost",),
    ],
)
def test_parts_stand_side_by_side_in_a_line(cnnbench_cli, line: tuple[str, ...]) -> None:
    name, *more = line
    where = FAKE[:2] if name == "cost" else FAKE
    result = cnnbench_cli(name, "lenet", *where, "--phase", "training", *PARTS, *more)

    shown = result.stdout.splitlines()
    for part in ("head", "conv1,fc", "last=1"):
        assert [one for one in shown if one.startswith("lenet") and f" {part} " in one]
    assert max(map(len, shown)) <= WIDTH
    if name != "max-batch":
        assert "trainable" in next(one for one in shown if one.startswith("model"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("run", "lenet", "--train", "head"), "train needs phase training or finetune"),
        (("cost", "lenet", "--train", "head"), "train needs phase training or finetune"),
        (("run", "lenet", "--phase", "training", "--train", "head,all"), "exclude each other"),
        (("profile", "lenet", "--phase", "training", "--train", "last=0"), "form last=N"),
    ],
)
def test_what_makes_no_sense_is_one_line(cnnbench_cli, line, said: str) -> None:
    result = cnnbench_cli(*line, *(() if line[0] == "cost" else FAKE))

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "line",
    [
        ("profile", "lenet"),
        ("advise", "lenet"),
        ("ab", "eager", "bf16", "--models", "lenet"),
        ("baseline", "save", "--models", "lenet", "-o", "base.json"),
    ],
)
def test_every_command_that_trains_takes_it(cnnbench_cli, line) -> None:
    result = cnnbench_cli(*line, *FAKE, "--phase", "training", "--train", "last=1")

    assert result.exit_code == 0, result.output


def test_python_takes_a_list_of_parts(tmp_path) -> None:
    found = cnnbench.run(
        "lenet", "eager", device="cpu", phase="training", train=["head", "conv1,fc"], rounds=2,
        out=tmp_path / "parts", executor="fake",
    )  # fmt: skip

    assert [one.spec.workload.setting("train", "auto") for one in found.records] == [
        "head", "conv1,fc",
    ]  # fmt: skip
    again = cnnbench.load(tmp_path / "parts")
    assert [one.id for one in again.records] == [one.id for one in found.records]


@pytest.mark.torch
def test_a_network_of_the_users_is_counted_as_it_was_frozen(cnnbench_cli, tmp_path) -> None:
    (tmp_path / "netsown.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.LazyLinear(9),\n"
        "                         nn.LazyLinear(5))\n"
        "        self[0].requires_grad_(False)\n"
    )

    result = cnnbench_cli(
        "cost", "netsown:Net", "--input", "1x8x8", "--json", "--phase", "finetune",
        "--train", "own", "--train", "auto", "--train", "head", "--train", "all",
        "--train", "nowhere",
    )  # fmt: skip

    rows = json.loads(result.stdout)
    assert [row.get("trained") for row in rows] == [
        "all but 0",
        "all but 0",
        "3",
        "everything",
        None,
    ]
    assert [row.get("trainable_params") for row in rows][:4] == [1355, 1355, 50, 1395]
    assert "unknown module or parameter 'nowhere'" in rows[-1]["error"]
