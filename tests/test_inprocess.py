"""Measuring a module object: same behaviour as the command, and the object stays as it was."""

from __future__ import annotations

import copy
import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

import cnnbench
from cnnbench import inprocess, store
from cnnbench.errors import UsageError
from cnnbench.plan import IN_PROCESS, Plan

FAST = {"rounds": 2, "slices": 2, "slice_seconds": 0.002, "warm_up_calls": 2, "warm_up_seconds": 0}


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()


def test_modes_of_an_object_are_compared_side_by_side(module: nn.Module) -> None:
    results = cnnbench.measure(
        module, torch.randn(2, 3, 8, 8), modes="eager,channels_last,bf16", **FAST
    )

    frame = results.frame().set_index("mode")
    assert list(frame.index) == ["eager", "channels_last", "bf16"]
    assert (frame["status"] == "ok").all()
    assert (frame["latency_median_s"] > 0).all()
    assert frame["speedup"].notna().all()
    assert frame["batch"].unique().tolist() == [2]
    assert frame["macs"].unique().tolist() == [2 * 4 * 6 * 6 * 27]
    assert "object:Sequential" in str(results)


def test_the_object_the_inputs_and_the_flags_are_left_as_they_were(module: nn.Module) -> None:
    given = torch.randn(2, 3, 8, 8)
    state = copy.deepcopy(module.state_dict())
    threads = torch.get_num_threads()
    precision = torch.backends.cudnn.conv.fp32_precision

    cnnbench.measure(module, given, modes="bf16,channels_last", **FAST)

    assert given.dtype is torch.float32
    assert given.is_contiguous()
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert all(p.is_contiguous() and p.requires_grad for p in module.parameters())
    assert all(not part._forward_hooks for part in module.modules())
    assert torch.get_num_threads() == threads
    assert torch.backends.cudnn.conv.fp32_precision == precision


def test_what_a_plan_says_is_used_as_far_as_is_promised(module: nn.Module, monkeypatch) -> None:
    class Watched(Plan):
        """Knows which of its fields were read."""

        read: ClassVar[set[str]] = set()

        def __getattribute__(self, name: str) -> object:
            Watched.read.add(name)
            return super().__getattribute__(name)

    plan = Watched(**FAST)
    # Writing the plan down reads every field.
    monkeypatch.setattr(store, "manifest", lambda run, *_: store.Manifest(run, "", (), {}, ""))
    Watched.read.clear()
    inprocess.measure(module, (torch.randn(2, 3, 8, 8),), ["eager"], "cpu", plan)

    assert Watched.read & {field.name for field in dataclasses.fields(Plan)} == {*IN_PROCESS}


@pytest.mark.parametrize(
    ("what", "given", "words"),
    [
        (3, torch.ones(1, 3), "torch.nn.Module"),
        (nn.ReLU().eval(), None, "inputs"),
        (nn.ReLU(), torch.ones(1, 3), "eval()"),
    ],
)
def test_what_cannot_be_measured_is_refused(what, given, words: str) -> None:
    inputs = () if given is None else (given,)

    with pytest.raises(UsageError, match=words.replace("(", r"\(").replace(")", r"\)")):
        cnnbench.measure(what, *inputs, **FAST)


def test_an_object_is_counted_without_being_run_or_changed(module: nn.Module) -> None:
    given = torch.randn(2, 3, 8, 8)
    state = copy.deepcopy(module.state_dict())

    found = cnnbench.cost(module, given)
    training = cnnbench.cost(module, given, phase="training", optimizer="adam")

    assert found.macs == 2 * 4 * 6 * 6 * 27
    assert found.cost().flops == 2 * found.macs
    # Forward and the weights' gradient; the network's input needs none.
    assert training.training_macs == 2 * found.macs
    assert training.memory.optimizer_state == 2 * 4 * found.params
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert not module.training
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())


class Decides(nn.Module):
    """What it does depends on the values, which cannot be counted without running it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Anything -> itself or its double."""
        return x * 2 if float(x.sum()) > 0 else x * 1


def test_an_object_that_decides_by_values_is_measured_without_being_counted() -> None:
    frame = cnnbench.measure(Decides().eval(), torch.randn(2, 3, 8, 8), **FAST).frame()

    assert frame["status"].tolist() == ["ok"]
    assert frame["macs"].isna().all()
