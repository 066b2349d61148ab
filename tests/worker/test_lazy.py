"""Networks with lazy layers take their shapes from the input that is asked for, everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

import cnnbench
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking
from cnnbench.worker import reference as references
from tests.worker import lazy_networks

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests.worker.lazy_networks"
FAST = {"rounds": 1, "slices": 2, "slice_seconds": 0.002, "warm_up_calls": 2, "warm_up_seconds": 0}
# Network, shape of a sample, its parameters by hand.
CASES = [
    ("LeNet", (1, 28, 28), (6 * 25 + 6) + 12 + (16 * 6 * 25 + 16) + 32
     + (400 * 120 + 120) + 240 + (120 * 84 + 84) + (84 * 10 + 10)),
    ("AlexNet", (1, 96, 96), (12 * 121 + 12) + (24 * 12 * 25 + 24) + (32 * 24 * 9 + 32)
     + (32 * 16 * 64 + 64) + (64 * 10 + 10)),
    ("vgg", (3, 32, 32), (4 * 27 + 4) + (8 * 36 + 8) + (16 * 72 + 16) + (16 * 144 + 16)
     + (256 * 32 + 32) + (32 * 10 + 10)),
    ("resnet", (3, 16, 16), (8 * 27 + 8) + 16 + 2 * (8 * 72 + 8) + 32
     + (16 * 72 + 16) + (16 * 144 + 16) + (16 * 8 + 16) + 64 + (16 * 10 + 10)),
]  # fmt: skip


def spec(name: str, shape: tuple[int, ...], phase: str = "inference") -> Spec:
    return Spec(Workload(f"{HERE}:{name}", 2, shape, phase), Mode(), Device(), 1)


@pytest.mark.parametrize(("name", "shape", "params"), CASES)
def test_it_is_counted_at_the_input_asked_for(
    name: str, shape: tuple[int, ...], params: int
) -> None:
    found = build.counted(spec(name, shape).workload, 0)

    assert (found.params, found.real) == (params, False)
    assert found.macs > 0


@pytest.mark.parametrize(("name", "shape"), [case[:2] for case in CASES])
def test_it_is_run_and_judged_there(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    of, path = spec(name, shape), tmp_path / "reference.npz"
    known = references.compute(of, lambda one: build.built(one, 0), 0, path)

    check = checking.check(of, build.built(of, 0), 0, path, known)

    assert check.status == "ok", check
    assert torch.isfinite(build.built(spec(name, shape, "training"), 0).call())


def test_a_single_lazy_buffer_is_found() -> None:
    found = build.counted(spec("statistics_alone", (3, 8, 8)).workload, 0)

    assert found.buffers == 9


def test_an_object_is_measured_and_counted_and_stays_lazy() -> None:
    module = lazy_networks.LeNet()
    given = torch.randn(2, 1, 28, 28)

    (record,) = cnnbench.measure(module, given, **FAST).records

    assert record.status == "ok", record.reason
    assert record.cost is not None
    assert record.cost.macs == cnnbench.cost(module, given).macs
    assert all(map(is_lazy, module.parameters()))
    assert isinstance(module.net[0], nn.LazyConv2d)
