"""A training step in parts: the same work as the whole, each part timed and waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, modes, parts
from cnnbench.worker.devices import Cpu

NAMES = ["forward", "loss", "backward", "optimizer"]
SPEC = Spec(Workload("lenet", 2, (3, 32, 32), "training"), Mode(), Device(), 1)


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def made(spec: Spec) -> build.Step:
    architecture, module = build.construct(spec.workload, 0)
    return build.step(spec, architecture, module, 0)


@pytest.mark.parametrize(
    ("estimate", "count"),
    [(1e-6, 64), (0.01, 30), (0.06, 5), (0.2, 5), (0.4, 5), (0.5, 1), (30.0, 1), (0.0, 64)],
)
def test_quick_steps_are_timed_often_and_very_slow_ones_once(estimate, count) -> None:
    assert parts.steps(estimate) == count


@pytest.mark.parametrize("precision", ["fp32", "amp=bf16", "amp=fp16"])
@pytest.mark.parametrize("phase", ["training", "finetune"])
def test_the_parts_do_what_the_whole_step_does(phase: str, precision: str) -> None:
    mode = Mode(precision=precision)
    step = made(replace(SPEC, mode=mode, workload=replace(SPEC.workload, phase=phase)))
    whole = step.call()
    gradients = [p.grad.clone() for p in step.module.parameters() if p.grad is not None]

    step.parts.forward()
    value = step.parts.loss()
    # The scale of the loss is taken off by the update, which here does nothing else.
    step.optimizer.zero_grad()
    step.parts.backward()
    seen: list[torch.Tensor] = []
    step.optimizer.register_step_post_hook(
        lambda *_: seen.extend(
            p.grad.clone() for p in step.module.parameters() if p.grad is not None
        )
    )
    step.parts.optimizer()

    assert torch.equal(whole, value)
    assert all(torch.equal(a, b) for a, b in zip(gradients, seen, strict=True))
    assert all(p.grad is None for p in step.module.parameters())


def test_inference_has_no_parts() -> None:
    step = made(replace(SPEC, workload=replace(SPEC.workload, phase="inference")))

    assert step.parts is None
    assert parts.tried(step.parts, Cpu(), 0.001) == ((), {})


def test_each_part_is_timed_in_every_step() -> None:
    found = parts.measure(made(SPEC).parts, Cpu(), 5)

    assert [part.name for part in found] == NAMES
    assert all(len(part.ns) == 5 and min(part.ns) > 0 for part in found)


def test_parts_are_called_in_order_and_each_is_waited_for() -> None:
    order: list[str] = []

    class Device:
        kind = "cuda"

        def synchronize(self) -> None:
            order.append("wait")

    def note(name: str):
        return lambda *_: order.append(name)

    parts.measure(build.Parts(*map(note, NAMES)), Device(), 1)

    assert order == [word for name in NAMES for word in (name, "wait")]


def test_a_step_that_cannot_be_taken_apart_loses_its_parts_alone() -> None:
    def broken() -> None:
        raise RuntimeError("graph was freed\nand more")

    step = replace(made(SPEC), parts=build.Parts(broken, *([None] * 3)))

    found, notes = parts.tried(step.parts, Cpu(), 0.001)

    assert found == ()
    assert notes == {"parts": "not measured: RuntimeError: graph was freed"}


@pytest.mark.parametrize(
    "name", ["googlenet", "inception_v3", "fcn_resnet50", "deeplabv3_resnet50"]
)
def test_auxiliary_heads_are_trained_by_the_loss(name: str) -> None:
    size = 299 if name == "inception_v3" else 64
    architecture, module = build.construct(Workload(name, 2, (3, size, size), "training"), 0)
    spec = Spec(Workload(name, 2, (3, size, size), "training"), Mode(), Device(), 1)
    step = build.step(spec, architecture, module, 0)

    step.parts.forward()
    step.parts.loss()
    step.parts.backward()

    auxiliary = [(n, p) for n, p in step.module.named_parameters() if "aux" in n.lower()]
    assert auxiliary
    assert all(p.grad is not None for _, p in auxiliary)
    assert any(bool(p.grad.any()) for _, p in auxiliary)
