"""Peak memory: a known peak is found by both methods, and running sums are summed right."""

from __future__ import annotations

import multiprocessing
import time

import pytest
import torch
from torch import nn

from cnnbench.spec import Spec
from cnnbench.worker import build, memory
from cnnbench.worker.build import Step
from cnnbench.worker.devices import Cpu
from cnnbench.worker.inputs import Given

MIB = 1 << 20


def held_for_a_moment(size: int):
    """Allocate and release blocks so that exactly ``size`` bytes live at the peak."""

    def call() -> torch.Tensor:
        half = torch.ones(size // 2, dtype=torch.uint8)
        other = torch.ones(size // 2, dtype=torch.uint8)
        del half, other
        return torch.ones(16)

    return call


@pytest.mark.parametrize("mebibytes", [1, 64])
def test_the_allocators_peak_of_a_known_module_is_exact(mebibytes: int) -> None:
    peak = memory.allocator_peak(held_for_a_moment(mebibytes * MIB))

    assert mebibytes * MIB <= peak <= mebibytes * MIB + 256


class Holder(nn.Module):
    """Holds a block of known size for about a millisecond within its forward pass."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        block = torch.empty(self.size, dtype=torch.uint8)
        end = time.perf_counter() + 1e-3
        while time.perf_counter() < end:
            block[:64].fill_(1)
        del block
        return self.linear(x)


@pytest.mark.parametrize("mebibytes", [1, 16, 256])
def test_what_a_module_holds_for_a_millisecond_is_in_its_peak(mebibytes: int) -> None:
    module, given = Holder(mebibytes * MIB), torch.ones(1, 4)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return module(given)

    step = Step(call, lambda output: [output], module, Given.of(given))

    found = memory.measure(step, Cpu())

    held = found.cpu_peak_bytes - found.resident_bytes
    assert held == pytest.approx(mebibytes * MIB, rel=0.01)


def _both_methods(pipe) -> None:
    caching_off = memory.stop_malloc_caching()
    call = held_for_a_moment(64 * MIB)
    call()
    pipe.send((caching_off, memory.high_water_growth(call), memory.allocator_peak(call)))
    # Nearly all of it are weights: some processors' kernels ask torch for more than they touch
    # (75 MB for a gradient of resnet18 with AVX2), which only the allocator counts.
    spec = Spec.parse("alexnet/training-adam-b2-3x64x64/eager/cpu-t1")
    found = memory.measure(build.built(spec, seed=0), Cpu())
    cost = build.counted(spec.workload, seed=0)
    pipe.send((found.cpu_high_water_bytes, found.cpu_peak_bytes, cost.memory.peak))


def test_two_independent_methods_agree_within_two_percent() -> None:
    ours, theirs = multiprocessing.Pipe()
    # A process of its own, because malloc's caching is switched off for good.
    process = multiprocessing.get_context("spawn").Process(target=_both_methods, args=(theirs,))
    process.start()
    caching_off, high_water, allocator = ours.recv()
    measured, counted, predicted = ours.recv()
    process.join()

    if not caching_off or high_water is None:
        pytest.skip("this system has no mallopt or does not reset VmHWM")
    assert abs(high_water - allocator) <= 0.02 * allocator
    # Gradients and what an optimizer makes for a moment are in all figures, or in none.
    assert measured == pytest.approx(counted, rel=0.05)
    assert predicted == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "peak"),
    [
        ([], 0),
        ([(1, 10), (2, 5), (3, -10), (4, 3)], 15),
        ([(4, 3), (3, -10), (2, 5), (1, 10)], 15),
        ([(1, -100), (2, 40)], 0),
    ],
)
def test_the_peak_is_the_highest_running_sum_in_time_order(changes, peak: int) -> None:
    assert memory.peak_of(changes) == peak


def test_a_storage_is_counted_once_however_many_tensors_look_at_it() -> None:
    whole = torch.zeros(100)
    tied = nn.Linear(10, 10, bias=False)

    total = memory.storage_bytes([whole, whole[:50], whole.view(10, 10), tied.weight, tied.weight])

    assert total == 400 + 400
