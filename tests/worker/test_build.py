"""Steps of every phase: they repeat, they leave weights alone, they train what they should."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnbench.spec import PHASES, Device, Mode, Spec, Workload
from cnnbench.worker import build, modes

SPEC = Spec(Workload("lenet", 2, (3, 32, 32)), Mode(), Device(), 1)


def made(spec: Spec, seed: int = 0) -> build.Step:
    architecture, module = build.construct(spec.workload, seed)
    return build.step(spec, architecture, module, seed)


def of(phase: str, mode: Mode | None = None) -> Spec:
    workload = replace(SPEC.workload, phase=phase)
    return replace(SPEC, workload=workload, mode=mode or Mode())


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


@pytest.mark.parametrize("phase", PHASES)
def test_two_workers_with_one_seed_compute_the_same(phase: str) -> None:
    first, second = made(of(phase)), made(of(phase))

    left, right = (step.observe(step.call()) for step in (first, second))

    assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_another_seed_gives_other_weights_and_inputs() -> None:
    first, second = made(SPEC, seed=0), made(SPEC, seed=1)

    assert not torch.equal(first.given.args[0], second.given.args[0])
    assert not torch.equal(first.module[0].weight, second.module[0].weight)


def test_inference_keeps_no_graph_and_leaves_no_gradient() -> None:
    step = made(SPEC)

    output = step.call()

    assert output.shape == (2, 10)
    assert not output.requires_grad
    assert all(parameter.grad is None for parameter in step.module.parameters())


@pytest.mark.parametrize("phase", ["training", "finetune"])
def test_every_training_step_is_the_same_work_on_the_same_weights(phase: str) -> None:
    step = made(of(phase))
    before = [parameter.detach().clone() for parameter in step.module.parameters()]

    losses = [float(step.call()) for _ in range(3)]

    assert len(set(losses)) == 1
    after = list(step.module.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_fine_tuning_trains_the_last_layer_alone() -> None:
    step = made(of("finetune"))
    step.call()

    with_gradient = [name for name, p in step.module.named_parameters() if p.grad is not None]

    assert with_gradient == ["11.weight", "11.bias"]


@pytest.mark.parametrize(
    ("phase", "text", "trains"),
    [
        ("training", "last=1", ["9.weight", "9.bias", "11.weight", "11.bias"]),
        ("training", "0", ["0.weight", "0.bias"]),
        ("finetune", "*.bias", ["0.bias", "3.bias", "7.bias", "9.bias", "11.bias"]),
    ],
)
def test_a_step_updates_what_is_to_be_trained_and_says_so(phase, text, trains) -> None:
    workload = replace(SPEC.workload, phase=phase, settings=(("train", text),))
    step = made(replace(SPEC, workload=workload))
    step.call()

    with_gradient = [name for name, p in step.module.named_parameters() if p.grad is not None]
    (group,) = step.optimizer.param_groups
    assert with_gradient == trains
    assert [id(one) for one in group["params"]] == [
        id(one) for name, one in step.module.named_parameters() if name in trains
    ]
    assert step.said["trained"] == {"last=1": "9, 11", "0": "0"}.get(
        text, ", ".join(trains[:4]) + " and 1 more"
    )
    counted = build.counted(workload, 0)
    assert counted.trained == step.said["trained"]
    assert counted.trainable_params == sum(one.numel() for one in group["params"])


def test_a_first_layer_for_other_channels_is_new_and_trained_with_the_head() -> None:
    arguments = (("in_channels", "1"),)
    workload = replace(
        SPEC.workload, architecture="resnet18", input=(1, 32, 32), phase="finetune",
        arguments=arguments,
    )  # fmt: skip

    assert build.counted(workload, 0).trained == "conv1, fc"
    # The channels that it has anyway make nothing new.
    usual = replace(workload, input=(3, 32, 32), arguments=(("in_channels", "3"),))
    assert build.counted(usual, 0).trained == "fc"


def test_what_lives_before_a_training_step_includes_the_optimisers_state() -> None:
    step = made(of("training"))
    step.call()
    weights = sum(parameter.nbytes for parameter in step.module.parameters())

    resident = sum(tensor.nbytes for tensor in step.resident())

    # Weights, momentum, and the input.
    (targets,) = step.loss.targets
    assert resident == 2 * weights + step.given.args[0].nbytes + targets.nbytes


def test_training_in_autocast_keeps_weights_and_gradients_in_float32() -> None:
    step = made(of("training", Mode(precision="amp=bf16")))

    step.call()

    assert {p.grad.dtype for p in step.module.parameters()} == {torch.float32}


def test_targets_are_counted_as_inputs_of_a_training_step() -> None:
    spec = of("training")
    step = made(spec)
    step.call()

    memory = build.counted(spec.workload, 0).memory

    (targets,) = step.loss.targets
    assert memory.input == step.given.args[0].nbytes + targets.nbytes


class Drawn(nn.Module):
    """Fixed numbers out of other generators than torch's; halves its input where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.order = random.sample(range(100), 100)
        self.factor = float(np.random.standard_normal())

    def forward(self, x: Tensor) -> Tensor:
        """Anything -> half of it."""
        return x.div_(2).clone()


def drawn() -> nn.Module:
    """A builder as users have it."""
    return Drawn()


def test_builders_may_draw_from_any_generator() -> None:
    workload = Workload(f"{__name__}:drawn", 1, (3, 4, 4))

    one, other = (build.construct(workload, 5)[1] for _ in range(2))

    assert one.order == other.order
    assert one.factor == other.factor


def test_a_network_that_writes_to_its_input_is_shown_its_own_picture_again() -> None:
    spec = Spec(Workload(f"{__name__}:drawn", 1, (3, 4, 4)), Mode(), Device(), 1)
    step = build.built(spec, 0)
    usual = [one.clone() for one in step.answers(step.call())]

    for _ in range(5):
        step.call()

    again = list(step.answers())
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))
    assert torch.equal(step.given.args[0], 2 * usual[0])
