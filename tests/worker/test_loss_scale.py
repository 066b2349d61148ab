"""Training in float16: the loss scale is found before anything is compared or timed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build
from cnnbench.worker.inputs import Given
from cnnbench.worker.loss_scale import LossScale

LARGEST = torch.finfo(torch.float16).max


class Steep(nn.Module):
    """Its gradients are 1000 times as large as usual: infinite in float16 at a scale of 65536."""

    def __init__(self, steepness: float = 1000.0) -> None:
        super().__init__()
        self.layer, self.steepness = nn.Linear(4, 3), steepness

    def forward(self, x):
        return self.steepness * self.layer(x)


def step(module: nn.Module, precision: str = "amp=fp16", optimizer: str = "momentum") -> build.Step:
    torch.manual_seed(0)
    workload = Workload("mine:steep", 2, (4,), "training", optimizer=optimizer)
    spec = Spec(workload, Mode(precision=precision), Device(), 1)
    given = Given.of(torch.rand(2, 4))
    return build.training_step(spec, module, given, build.losses.Loss("auto", sum_of_all, 0))


def sum_of_all(output, _inputs, _targets):
    # In float16, as autocast leaves it: a loss in float32 would keep the gradients of it finite.
    return [build.losses.Term("sum", output.sum())]


def test_the_first_call_ends_with_finite_gradients_and_the_optimizers_work() -> None:
    made = step(Steep())

    made.call()

    found = made.facts()
    assert 0 < found["loss_scale"] < 65536
    assert found["loss_scale"] == 65536 / 2 ** found["steps_skipped_before"]
    assert found["steps_skipped"] == 0
    assert all(bool(torch.isfinite(p.grad).all()) for p in made.module.parameters())
    # An optimizer that was skipped has made no momentum, and less memory would be measured.
    assert all("momentum_buffer" in one for one in made.optimizer.state.values())
    assert made.unusual() == []


def test_gradients_are_those_without_a_scale() -> None:
    module, plain = Steep(), Steep()
    plain.load_state_dict(module.state_dict())
    scaled, usual = step(module), step(plain, "fp32")

    scaled.call()
    usual.call()

    for mine, theirs in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=0.01)


def test_the_scale_does_not_grow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = step(Steep())
    made.call()
    before = made.facts()
    scaler = made.facts.__self__._scaler
    # As if it had been so for as many steps as let it grow.
    scaler._growth_tracker.fill_(1999)

    for _ in range(3):
        made.call()

    assert made.facts() == before


def test_a_step_that_skipped_its_optimizer_later_is_counted_and_said() -> None:
    module = Steep(1.0)
    made = step(module)
    made.call()
    scale = made.facts()["loss_scale"]

    module.steepness = LARGEST / scale * 2
    made.call()

    assert made.facts()["steps_skipped"] == 1
    assert made.unusual() == [
        "1 step of those that were timed skipped the optimizer, because gradients were not finite"
        f" at a loss scale of {scale:g}"
    ]


def test_another_picture_may_need_another_scale() -> None:
    module = Steep(1.0)
    made = step(module)
    made.call()
    before = made.facts()["loss_scale"]
    bright = Given.of(torch.full((2, 4), LARGEST / before * 2))
    made.others = lambda: iter([bright])

    for _ in made.answers():
        assert all(bool(torch.isfinite(p.grad).all()) for p in module.parameters())

    assert made.facts()["loss_scale"] < before
    assert made.facts()["steps_skipped"] == 0


def test_a_network_without_finite_gradients_ends_and_says_so() -> None:
    made = step(Steep(math.inf))

    made.call()

    (line,) = made.unusual()
    assert line.startswith("gradients in float16 are not finite down to a loss scale of")


@pytest.mark.parametrize("precision", ["fp32", "amp=bf16"])
def test_other_precisions_have_no_scale(precision: str) -> None:
    made = step(Steep(1.0), precision)

    made.call()

    assert made.facts() == {}
    assert LossScale("cpu", enabled=False).found
