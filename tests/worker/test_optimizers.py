"""Optimizers with a learning rate of zero: all of the work, nothing moves, nothing overflows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cnnbench.analysis import analyze
from cnnbench.errors import Unsupported
from cnnbench.spec import OPTIMIZERS, Device, Mode, Spec, Workload
from cnnbench.worker import build, modes, optimizers


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def spec(optimizer: str, precision: str = "fp32") -> Spec:
    workload = Workload("lenet", 2, (3, 32, 32), "training", optimizer=optimizer)
    return Spec(workload, Mode(precision=precision), Device(), 1)


def made(of: Spec) -> build.Step:
    architecture, module = build.construct(of.workload, 0)
    return build.step(of, architecture, module, 0)


def test_every_optimizer_that_can_be_said_can_be_made_and_predicted() -> None:
    assert set(optimizers.OPTIMIZERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("precision", ["fp32", "amp=bf16", "amp=fp16", "bf16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_steps_leave_the_weights_to_the_bit_and_the_state_finite(name, precision) -> None:
    step = made(spec(name, precision))
    before = [p.detach().clone() for p in step.module.parameters()]

    losses = {float(step.call()) for _ in range(20)}

    assert len(losses) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, step.module.parameters(), strict=True))
    states = [v for s in step.optimizer.state.values() for v in s.values() if v is not None]
    assert all(bool(torch.isfinite(torch.as_tensor(state)).all()) for state in states)
    assert bool(states) == (name != "sgd")


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_an_epsilon_that_is_zero_in_the_weights_dtype_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match=f"{name} cannot train weights in float16"):
        made(spec(name, "fp16"))


def test_weights_in_float16_would_indeed_become_nan() -> None:
    weight = nn.Parameter(torch.ones(4, dtype=torch.float16))
    optimizer = optimizers.OPTIMIZERS["adam"]([weight])
    weight.grad = torch.zeros_like(weight)
    optimizer.step()

    assert bool(torch.isnan(weight).any())


def test_a_network_without_parameters_cannot_be_trained() -> None:
    with pytest.raises(Unsupported, match="nothing to train"):
        optimizers.make("momentum", [])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_static_cost_of_a_workload_knows_its_optimizer(name: str) -> None:
    of = spec(name)

    cost = build.counted(of.workload, 0).cost()

    module = build.construct(of.workload, 0)[1]
    image = (torch.zeros(2, 3, 32, 32),)
    plain = analyze(module, image, phase="training", optimizer="sgd").memory
    with_state = analyze(module, image, phase="training", optimizer=name).memory
    copies = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "rmsprop": 1}[name]
    assert with_state.optimizer_state - plain.optimizer_state == copies * 4 * cost.params
    assert cost.memory_peak_bytes >= with_state.params + with_state.optimizer_state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_resident_holds_the_optimizers_state(name: str) -> None:
    step = made(spec(name))
    step.call()
    weights = sum(p.nbytes for p in step.module.parameters())

    resident = sum(tensor.nbytes for tensor in step.resident())

    copies = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "rmsprop": 1}[name]
    # Counters of steps are a few bytes per parameter.
    assert 0 <= resident - (1 + copies) * weights - step.given.args[0].nbytes <= 64
    assert replace(step, optimizer=None).resident() is not None
