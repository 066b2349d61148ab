"""Timing modules: a clock that counts instead of running, so that every number is known."""

from __future__ import annotations

import mmap
from typing import Any

import pytest
import torch
from torch import nn

from cnnbench.errors import Unsupported
from cnnbench.spec import Spec
from cnnbench.worker.build import Step
from cnnbench.worker.devices import Cpu
from cnnbench.worker.inputs import Given
from cnnbench.worker.layer_times import DeviceClock, HostClock, Timer, built, measure, rounds_for


class Counting:
    """Every reading is one later than the last."""

    def __init__(self) -> None:
        self.now = 0

    def read(self) -> int:
        self.now += 1
        return self.now

    between = HostClock.between


def step(*, training: bool = False) -> Step:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    value = torch.ones(1, 1, 4, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0) if training else None

    def call() -> Any:
        if optimizer is None:
            return net(value)
        optimizer.zero_grad()
        net(value).sum().backward()
        optimizer.step()
        return None

    return Step(call, lambda result: [result], net, Given.of(value), optimizer)


def test_every_reading_ends_one_segment_and_begins_the_next() -> None:
    timer = Timer(step(), Counting())

    segments = timer.timed()

    # In and out of four layers and of the network, and the beginning; the network stands between.
    assert sum(segments.values()) == 2 * 5 + 1
    assert segments[0] == 5
    assert [segments[index] for index in range(1, 5)] == [1, 1, 1, 1]


def test_the_sum_of_a_timed_step_is_its_length_and_the_untouched_one_has_two_readings() -> None:
    found = measure(step(), Cpu(), Counting(), rounds=6)

    assert found.plain_ns == (1,) * 6
    assert found.sum_ns == found.timed_ns[0] == 11
    assert [scope.name for scope in found.scopes] == ["", "0", "1", "2", "3"]
    assert [scope.calls for scope in found.scopes] == [1] * 5
    assert set(found.outside) == {"before forward"}


def test_a_clock_that_costs_what_it_costs_leaves_no_residual() -> None:
    found = measure(step(), Cpu(), Counting(), rounds=6)

    # Two readings for every one, between the same beginning and end.
    assert found.doubled_ns == (21,) * 6
    assert found.clocks_ns == 10
    assert found.residual_ns == 0


def test_training_has_a_backward_time_per_layer_and_its_parts() -> None:
    found = measure(step(training=True), Cpu(), HostClock(), rounds=5)

    times = {scope.name: scope for scope in found.scopes}
    assert all(times[name].backward_ns > 0 for name in ("0", "1", "2", "3"))
    assert set(found.outside) == {"before forward", "loss", "optimizer", "after"}
    assert found.sum_ns - found.clocks_ns + found.residual_ns == pytest.approx(found.end_to_end_ns)
    assert any("autograd" in sentence for sentence in found.resolution)


def test_a_device_is_timed_between_events_in_milliseconds() -> None:
    class Event:
        def __init__(self, at: float) -> None:
            self.at = at

        def elapsed_time(self, after: Event) -> float:
            return after.at - self.at

    waited: list[bool] = []

    class Waiting(Cpu):
        def synchronize(self) -> None:
            waited.append(True)

    events: Any = [Event(1.0), Event(1.5), Event(3.5)]

    assert DeviceClock(Waiting()).between(events) == [500_000, 2_000_000]
    assert waited == [True]


@pytest.mark.parametrize(
    ("seconds", "estimate", "rounds"), [(9, 0.125, 24), (9, 60, 5), (9, 1e-6, 200), (9, 0, 200)]
)
def test_rounds_fill_the_time_within_bounds(seconds: float, estimate: float, rounds: int) -> None:
    assert rounds_for(seconds, estimate) == rounds


def test_compiled_modes_are_refused_before_anything_is_built() -> None:
    with pytest.raises(Unsupported, match="cannot be separated"):
        built(Spec.parse("lenet/inference-b1-3x32x32/compile/cpu-t1"), 0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_step_adds_up() -> None:
    from cnnbench.worker.devices import Cuda

    spec = Spec.parse("lenet/inference-b1-3x32x32/eager/cuda:0-t1")
    one, device = built(spec, 0), Cuda(0)
    one.call()

    found = measure(one, device, DeviceClock(device), rounds=20)

    assert found.sum_ns - found.clocks_ns + found.residual_ns == pytest.approx(found.end_to_end_ns)
    assert all(scope.forward_ns >= 0 for scope in found.scopes)


class Mapping(nn.Module):
    """Gets a hundred new pages from the kernel in every call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with mmap.mmap(-1, 100 * mmap.PAGESIZE) as pages:
            for page in range(100):
                pages[page * mmap.PAGESIZE] = 1
        return x


def test_pages_that_are_mapped_anew_are_counted_where_they_are() -> None:
    net = nn.Sequential(nn.ReLU(), Mapping(), nn.ReLU())
    value = torch.ones(1)
    made = Step(lambda: net(value), lambda result: [result], net, Given.of(value))

    found = measure(made, Cpu(), HostClock(), rounds=6).faults

    assert 100 <= found["1"] < 110
    assert found.get("0", 0.0) + found.get("2", 0.0) < 10
