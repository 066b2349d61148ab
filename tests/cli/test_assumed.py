"""What nobody has said of a network of the user's is assumed, and told."""

from __future__ import annotations

import pytest

from cnnbench.catalogue import Accepted
from cnnbench.requests import Resolve
from cnnbench.runner import fake
from tests import made

SAID = "no --input given: 3x224x224 assumed"
FAKE = ("--device", "cpu", "--threads", "1", "--executor", "fake")
COMMANDS = {
    "run": ("run", "--models", "own:net", "--rounds", "2", "--out", "out"),
    "profile": ("profile", "own:net", "--out", "out"),
    "advise": ("advise", "own:net", "--rounds", "2", "--out", "out"),
    "ab": ("ab", "eager", "eager", "--models", "own:net", "--out", "out"),
    "max-batch": ("max-batch", "--models", "own:net", "--up-to", "2", "--limit", "8G"),
}


@pytest.fixture
def assuming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers know of no shape, unless they are told one."""
    answer = lambda request: Accepted((3, 224, 224), assumed=request.shape is None)  # noqa: E731
    monkeypatch.setitem(fake.ANSWERS, Resolve, answer)


@pytest.mark.usefixtures("assuming")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_an_assumed_shape_is_told(cnnbench_cli, words: tuple[str, ...]) -> None:
    done = cnnbench_cli(*words, *FAKE)

    assert done.exit_code == 0, done.output
    assert SAID in done.stdout


@pytest.mark.usefixtures("assuming")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_given_shape_is_not(cnnbench_cli, words: tuple[str, ...]) -> None:
    done = cnnbench_cli(*words, "--input", "3x224x224", *FAKE)

    assert done.exit_code == 0, done.output
    assert "assumed" not in done.stdout


NETWORKS = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

def scripted():
    return torch.jit.script(plain())

class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.small, self.large = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.small(x) if x.mean() > 1e9 else self.large(x)
"""


@pytest.fixture
def networks(tmp_path) -> None:
    (tmp_path / "mynets.py").write_text(NETWORKS)


@pytest.mark.torch
@pytest.mark.usefixtures("networks")
def test_cost_tells_it_too(cnnbench_process) -> None:
    without = cnnbench_process("cost", "mynets:plain")
    with_one = cnnbench_process("cost", "mynets:plain", "--input", "3x224x224")

    assert f"mynets:plain: {SAID}\n" in without.out, without.err
    assert "assumed" not in with_one.out


@pytest.mark.torch
@pytest.mark.usefixtures("networks")
def test_a_scripted_network_says_why_its_layers_hold_nothing(cnnbench_process) -> None:
    done = cnnbench_process("cost", "mynets:scripted", "--layers", "--input", "3x8x8")
    plain = cnnbench_process("cost", "mynets:plain", "--layers", "--input", "3x8x8")

    assert done.out.count("scripted: its layers cannot be separated") == 1, done.err
    assert "scripted" not in plain.out


@pytest.mark.torch
@pytest.mark.usefixtures("networks")
def test_a_branch_that_values_decide_is_told(cnnbench_process) -> None:
    words = ("--input", "3x8x8", "--device", "cpu", "--threads", "1", "--quiet", "--modes", "eager")
    counted = cnnbench_process("cost", "mynets:Branches", "--real", "--input", "3x8x8")
    run = cnnbench_process("run", "--models", "mynets:Branches", *words, "--rounds", "1")
    plain = cnnbench_process("cost", "mynets:plain", "--real", "--input", "3x8x8")
    code = (
        "import torch, cnnbench, mynets; found = cnnbench.measure(mynets.Branches(),"
        " torch.randn(1, 3, 8, 8), rounds=1, slices=1, slice_seconds=0.01); print(found)"
    )
    measured = cnnbench_process(code=code)

    for done in (counted, run, measured):
        assert "counted for the branch that these values took" in made.flat(done.out), done.err
    assert "branch" not in plain.out
