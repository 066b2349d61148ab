"""``--loss`` through the real command line: ids, refusals, rows, and real training steps."""

from __future__ import annotations

import json
import re

import pytest

from cnnbench import axes, store
from cnnbench.spec import Spec, Workload
from tests.conftest import ROOT

NETS = """
import torch
from torch import nn

class Auto(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 3, 3, padding=1)

class Whole(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3)
    def forward(self, x):
        return super().forward(x).argmax(1)

class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten())

def fails(output, inputs):
    raise ValueError("no such thing")
"""


def documented() -> str:
    """The loss that docs/commands/run.md shows."""
    page = (ROOT / "docs" / "commands" / "run.md").read_text(encoding="utf8")
    found = re.search(r"```python\n(# losses\.py\n.*?)```", page, flags=re.DOTALL)
    assert found is not None
    return found[1]


def test_the_loss_is_in_the_id_of_training_only_and_only_where_it_is_not_the_usual(
    cnnbench_cli,
) -> None:
    result = cnnbench_cli(
        "run", "--executor", "fake", "--models", "lenet", "--modes", "eager", "--json",
        "--phase", "training,inference", "--loss", "auto,mse,own:loss",
    )  # fmt: skip

    rows = json.loads(result.stdout)
    assert [row["spec"].split("/")[1] for row in rows] == [
        "training-b1-3x32x32",
        "training-b1-3x32x32-loss=mse",
        "training-b1-3x32x32-loss=own%3Aloss",
        "inference-b1-3x32x32",
    ]
    assert [row["loss"] for row in rows] == ["made up"] * 3 + [None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--loss", "mse"], "loss needs phase training or finetune"),
        (["--phase", "training", "--loss", "cross_entropie"], "did you mean cross_entropy?"),
        (["--phase", "training", "--loss", "own:"], "or give package.module:function"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_in_one_line(cnnbench_cli, words, said: str) -> None:
    result = cnnbench_cli("run", "--executor", "fake", "--models", "lenet", *words)

    assert result.exit_code == 2
    assert said in result.stderr


def test_one_loss_is_said_in_the_caption_of_a_stored_run_too(cnnbench_cli) -> None:
    words = ("--models", "lenet", "--phase", "training", "--rounds", "1", "--out", "out")
    result = cnnbench_cli("run", "--executor", "fake", *words)

    for shown in (result, cnnbench_cli("report", "out")):
        assert "loss of training steps: made up" in shown.stdout
    rows = json.loads(cnnbench_cli("report", "out", "--format", "json").stdout)
    assert {row["loss"] for row in rows} == {"made up"}


def test_what_an_id_names_of_the_users_code_can_be_listed() -> None:
    named = Workload("mynets:tiny", 1, (3, 8, 8), "training", settings=(("loss", "own.x:f"),))

    assert axes.callables(named) == ("mynets:tiny", "own.x:f")
    for name in ("lenet", "timm:resnet18", "conv:k8-3x3"):
        assert axes.callables(Workload(name, 1, (3, 8, 8), settings=())) == ()
    assert axes.callables(Workload("lenet", 1, (1, 8, 8), settings=(("loss", "mse"),))) == ()


@pytest.mark.torch
def test_real_steps_of_networks_of_the_users(cnnbench_cli, tmp_path) -> None:
    (tmp_path / "mynets.py").write_text(NETS)
    (tmp_path / "losses.py").write_text(documented())

    result = cnnbench_cli(
        "run", "--models", "mynets:Auto,mynets:Whole,mynets:Normed", "--input", "3x8x8",
        "--phase", "training", "--modes", "eager", "--loss", "auto,losses:smooth,mynets:fails",
        "--device", "cpu", "--threads", "1", "--rounds", "1", "--slices", "1", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 3
    found = {record.id: record for record in store.read(tmp_path / "out").records}
    rows = {
        (spec.workload.model, spec.workload.setting("loss", "auto")): record
        for spec, record in ((Spec.parse(name), record) for name, record in found.items())
    }
    auto = rows["mynets:Auto", "auto"]
    assert (auto.status, auto.told("loss")) == ("ok", "MSE against the input")
    # Parameters, momentum and the input, which is the target.
    assert auto.memory.resident_bytes == 2 * 84 * 4 + 3 * 64 * 4
    own = rows["mynets:Auto", "losses:smooth"]
    assert (own.status, own.told("loss")) == ("ok", "losses:smooth")
    assert (
        "the loss failed, not the network: mynets:fails"
        in rows["mynets:Auto", "mynets:fails"].reason
    )
    assert (
        "no loss fits an output of int64[1,6,6]; give --loss" in rows["mynets:Whole", "auto"].reason
    )
    assert (
        "more than one value per channel in training; use --batch 2"
        in rows["mynets:Normed", "auto"].reason
    )
