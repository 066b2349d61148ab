"""Tensors that lie elsewhere are the same tensors: values, ties, optimizer and compiled code."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnbench.spec import Spec
from cnnbench.worker import build, modes, placement
from cnnbench.worker.inputs import Given
from cnnbench.worker.placement import Placement


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        yield


def step_of(text: str) -> build.Step:
    spec = Spec.parse(text)
    architecture, module = build.construct(spec.workload, 0)
    return build.step(spec, architecture, module, 0)


def plain_step(module: nn.Module, x: Tensor) -> build.Step:
    return build.Step(lambda: module(x), lambda output: [output], module, Given.of(x))


def addresses(step: build.Step) -> list[int]:
    return [tensor.data_ptr() for tensor in step.resident()]


@pytest.mark.parametrize("mode", ["eager", "channels_last", "amp", "bf16"])
def test_everything_lies_elsewhere_and_computes_the_same(mode: str) -> None:
    step = step_of(f"lenet/inference-b2-3x32x32/{mode}/cpu-t1")
    before, strides = addresses(step), [one.stride() for one in step.resident()]
    expected = step.call()
    moved = Placement(step)
    moved.move()

    assert moved.moves == 1
    assert not set(before) & set(addresses(step))
    assert [one.stride() for one in step.resident()] == strides
    assert torch.equal(step.call(), expected)


def test_training_goes_on_as_if_nothing_had_moved() -> None:
    text = "lenet/training-b2-3x32x32/eager/cpu-t1"
    step, twin = step_of(text), step_of(text)
    step.call(), twin.call()
    before = addresses(step)
    moved = Placement(step)
    moved.move()
    twin.call()

    assert step.optimizer is not None
    assert len(before) == len(addresses(step)) > 2 * len(list(step.module.parameters()))
    assert not set(before) & set(addresses(step))
    for mine, other in zip(step.resident(), twin.resident(), strict=True):
        assert torch.equal(mine, other)
    assert torch.equal(step.call(), twin.call())


def test_what_shares_memory_stays_and_stays_shared() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.free = nn.Linear(4, 4)
            self.register_buffer("whole", torch.ones(4, 4))
            self.register_buffer("row", self.whole[1])

        def forward(self, x: Tensor) -> Tensor:
            return self.free(x) + self.row

    module = Tied()
    whole, free = module.whole.data_ptr(), module.free.weight.data_ptr()
    Placement(plain_step(module, torch.ones(2, 4))).move()
    module.whole[1] = 5.0

    assert module.whole.data_ptr() == whole
    assert module.free.weight.data_ptr() != free
    assert module.row.tolist() == [5.0] * 4


def test_a_tied_weight_moves_once_and_is_still_one() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    Placement(plain_step(module, torch.ones(2, 4))).move()

    assert module[1].weight is module[0].weight


def test_compiled_code_is_not_compiled_again() -> None:
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(inputs)
        return graph.forward

    module = nn.Linear(4, 4)
    x = torch.ones(2, 4)
    function = torch.compile(module, backend=backend)
    step = build.Step(lambda: function(x), lambda output: [output], module, Given.of(x))
    expected = step.call()
    Placement(step).move()

    assert torch.equal(step.call(), expected)
    assert len(compiled) == 1


def test_what_does_not_fit_twice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    step = plain_step(nn.Linear(4, 4), torch.ones(2, 4))
    before = addresses(step)

    def full(*_: object, **__: object) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Tensor, "clone", full)
    moved = Placement(step)
    moved.move()

    assert (moved.moves, addresses(step)) == (0, before)


def test_a_system_without_glibc_has_nothing_to_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    moved = Placement(plain_step(nn.Linear(4, 4), torch.ones(2, 4)))
    moved.move()

    assert moved.moves == 1


def test_tensors_of_another_device_or_layout_stay() -> None:
    sparse = torch.eye(3).to_sparse()
    meta = torch.empty(3, device="meta")

    assert placement._movable([sparse, meta, torch.empty(0)]) == []
