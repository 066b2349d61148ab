"""Which loss fits which output, what it is called, and whose fault a failure is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cnnbench import named
from cnnbench.architectures import losses, own_losses
from cnnbench.architectures.losses import Loss, Targets
from cnnbench.architectures.tasks import TASKS
from cnnbench.errors import UsageError

INPUTS = (torch.rand(4, 3, 8, 8),)


class Pair(NamedTuple):
    logits: Tensor
    aux_logits: Tensor


@dataclass
class Answer:
    scores: Tensor
    hidden: tuple[Tensor, ...] = ()


def made(*shape: int) -> Tensor:
    return torch.rand(shape, requires_grad=True)


def auto(seed: int = 0) -> Loss:
    return Loss("auto", TASKS["any"].loss, seed)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (made(4, 10), "cross entropy"),
        (made(4, 5, 8, 8), "pixel cross entropy"),
        (made(4, 5, 2, 2), "pixel cross entropy"),
        (made(4, 3, 16, 16), "pixel cross entropy"),
        (made(4, 5, 7), "pixel cross entropy"),
        (made(4), "MSE against random numbers"),
        (made(4, 1), "MSE against random numbers"),
        (made(4, 1, 8, 8), "MSE against random numbers"),
        (made(4, 3, 8, 8), "MSE against the input"),
        (made(), "the network's own loss"),
        ({"out": made(4, 5, 8, 8), "aux": made(4, 5, 8, 8)},
         "pixel cross entropy of out + 0.5 pixel cross entropy of aux"),
        (Pair(made(4, 10), made(4, 10)),
         "cross entropy of logits + 0.3 cross entropy of aux_logits"),
        (Answer(made(4, 10), (made(4, 1),)),
         "cross entropy of scores + MSE against random numbers of hidden.0"),
        ({"a": [{"b": (made(4, 3, 8, 8), torch.ones(4, dtype=torch.int64), None, "text")}]},
         "MSE against the input of a.0.b.0"),
        ([made(4, 2 + n) for n in range(6)], "sum over 6 outputs: cross entropy"),
    ],
)  # fmt: skip
def test_the_loss_follows_from_the_output_and_is_named(output: Any, said: str) -> None:
    loss = auto()

    value = loss(output, INPUTS)

    assert loss.description == said
    assert value.shape == ()
    assert torch.isfinite(value)
    assert value.requires_grad


@pytest.mark.parametrize("output", [torch.ones(4, dtype=torch.int64), None, "text", []])
def test_where_no_loss_fits_the_line_says_what_to_give(output: Any) -> None:
    with pytest.raises(
        UsageError, match=r"no loss fits an output of .*--loss package\.module:func"
    ):
        auto()(output, INPUTS)


def test_heads_of_different_widths_are_trained_on_classes_that_both_have() -> None:
    loss = Loss("auto", TASKS["classification"].loss, 0)

    for _ in range(20):
        loss(Pair(made(64, 1000), made(64, 3)), INPUTS)

    (target,) = loss.targets
    assert int(target.max()) < 3


def test_targets_are_made_once_and_depend_on_the_seed_alone() -> None:
    output = made(64, 10)
    loss = auto()

    first, second = loss(output, INPUTS), loss(output, INPUTS)

    assert first == second == auto()(output, INPUTS)
    assert first != auto(seed=1)(output, INPUTS)
    assert len(loss.targets) == 1
    other = loss.targets[0]
    loss(output, INPUTS)
    assert loss.targets[0] is other


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_targets_are_where_the_output_is_and_no_step_draws_them_again(device: str) -> None:
    targets, like = Targets(0), torch.ones(3, 4, device=device)
    made = [targets.classes(4, (3,), like), targets.normal(like), targets.binary(like)]

    before = targets._generator.get_state()
    again = [targets.classes(4, (3,), like), targets.normal(like), targets.binary(like)]

    assert {one.device.type for one in made} == {device}
    assert all(one is other for one, other in zip(made, again, strict=True))
    assert torch.equal(before, targets._generator.get_state())


def test_the_names_are_those_that_the_option_offers() -> None:
    assert tuple(losses.NAMED) == named.LOSSES


@pytest.mark.parametrize(
    ("name", "output", "value"),
    [
        ("reconstruction", made(4, 3, 8, 8), lambda x: functional.mse_loss(x, INPUTS[0])),
        ("mse", torch.zeros(10000, 1, requires_grad=True), lambda _: torch.tensor(1.0)),
        ("l1", torch.zeros(10000, 1, requires_grad=True), lambda _: torch.tensor(0.798)),
        ("bce", torch.zeros(10, 1, requires_grad=True), lambda _: torch.tensor(2.0).log()),
        ("cross_entropy", torch.zeros(10, 5, requires_grad=True),
         lambda _: torch.tensor(5.0).log()),
    ],
)  # fmt: skip
def test_a_loss_by_name(name: str, output: Tensor, value) -> None:
    found = Loss(name, losses.NAMED[name], 0)(output, INPUTS)

    torch.testing.assert_close(found, value(output), rtol=0.05, atol=0)


def test_a_name_that_does_not_fit_says_so() -> None:
    with pytest.raises(UsageError, match=r"--loss cross_entropy does not fit .*float32\[4,1\]"):
        Loss("cross_entropy", losses.NAMED["cross_entropy"], 0)(made(4, 1), INPUTS)


OWN = """
import torch

def smooth(output, inputs):
    return torch.nn.functional.smooth_l1_loss(output, inputs[0])

class Kept:
    def __init__(self):
        self.target = None
    def __call__(self, output, inputs):
        if self.target is None:
            self.target = torch.zeros_like(output)
        return (output - self.target).square().sum()

def wide(output, inputs):
    return output

def number(output, inputs):
    return 1.0

def fails(output, inputs):
    return output @ inputs[0].flatten()

def detached(output, inputs):
    return output.detach().sum()

nothing = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: Loss(f"own_losses:{name}", own_losses.users(f"own_losses:{name}"), 0)


def test_the_loss_of_the_user(own) -> None:
    output = made(4, 3, 8, 8)
    loss = own("smooth")

    value = loss(output, INPUTS)

    assert value == functional.smooth_l1_loss(output, INPUTS[0])
    assert loss.description == "own_losses:smooth"
    assert own("Kept")(output, INPUTS) == output.square().sum()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wide", r"own_losses:wide returned float32\[4,3,8,8\], not a scalar tensor"),
        ("number", "own_losses:number returned float, not a scalar tensor"),
        ("fails", "the loss failed, not the network: own_losses:fails: RuntimeError"),
        ("detached", "nothing to train: the loss .own_losses:detached. depends on no trainable"),
        ("nothing", "own_losses:nothing' is of type int, not a function"),
        ("absent", "'own_losses' has no 'absent'"),
    ],
)
def test_what_is_wrong_with_a_loss_is_said_of_the_loss(own, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        own(name)(made(4, 3, 8, 8), INPUTS)


class Criterion(torch.nn.Module):
    def forward(self, output):
        return output.sum()


class Supervised(torch.nn.Module):
    def forward(self, output, inputs):
        return output.sum() * len(inputs)


SUMS = {
    "a module": Criterion(),
    "a module that takes both": Supervised(),
    "a function": lambda output: output.sum(),
    "a function of both": lambda output, inputs: output.sum() * len(inputs),
    "an option": lambda output, scale=1.0: output.sum() * scale,
    "a keyword": lambda output, *, scale=1.0: output.sum() * scale,
    "any number": lambda *given: given[0].sum() * len(given[1]),
    "a partial function": functools.partial(lambda output, inputs: output.sum(), inputs=()),
    "written in C": torch.sum,
    "a method": Tensor.sum,
}


@pytest.mark.parametrize("case", SUMS)
def test_a_loss_gets_what_it_asks_for(case: str) -> None:
    output = made(4, 10)

    assert own_losses.own("the loss", "sum", SUMS[case])(output, INPUTS, ())[0].value == (
        output.sum()
    )
