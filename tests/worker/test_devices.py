"""The CUDA clock and peaks with a pretended driver; the real one where there is a device."""

from __future__ import annotations

import pytest
import torch

from cnnbench.spec import DEVICE_KINDS, Device
from cnnbench.worker import devices
from cnnbench.worker.devices import Cuda, is_out_of_memory


class FakeStream:
    """A device that works through a queue only when somebody waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue: list = []
        self.time = 0.0
        self.synchronizations = 0
        stream = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                self.at: float | None = None

            def record(self) -> None:
                stream.queue.append(self)

            def elapsed_time(self, other: Event) -> float:
                assert self.at is not None, "read before the device got there"
                assert other.at is not None
                return other.at - self.at

        def synchronize(_index: int) -> None:
            self.synchronizations += 1
            for item in self.queue:
                if isinstance(item, Event):
                    item.at = self.time
                else:
                    self.time += item
            self.queue.clear()

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
        monkeypatch.setattr(torch.cuda, "set_device", lambda _index: None)

    def kernel(self, milliseconds: float):
        return lambda: self.queue.append(milliseconds)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeStream:
    return FakeStream(monkeypatch)


def test_there_is_a_device_class_for_every_kind() -> None:
    assert tuple(devices.KINDS) == DEVICE_KINDS


def test_cuda_samples_are_device_time_with_one_wait_per_slice(stream: FakeStream) -> None:
    stream.kernel(500.0)()  # left over from the warm-up; must not be in any sample

    taken = Cuda(0).samples(stream.kernel(2.0), iterations=3, seconds=0.06, estimate=0.002)

    assert taken == [6_000_000] * 10
    assert stream.synchronizations == 2


def test_cuda_takes_at_least_one_sample_of_a_slow_call(stream: FakeStream) -> None:
    taken = Cuda(0).samples(stream.kernel(900.0), iterations=1, seconds=0.06, estimate=0.9)

    assert taken == [900_000_000]


def test_cuda_peaks_are_of_one_call_from_an_emptied_cache(
    stream: FakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    stats = {
        "allocated_bytes.all.peak": 512,
        "requested_bytes.all.peak": 400,
        "reserved_bytes.all.peak": 2048,
    }
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: steps.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _index: steps.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _index: steps.append("read") or stats)

    peaks = Cuda(1).peaks(lambda: steps.append("call"))

    assert steps == ["empty", "reset", "call", "read"]
    assert peaks == {
        "cuda_allocated_bytes": 512,
        "cuda_requested_bytes": 400,
        "cuda_reserved_bytes": 2048,
    }


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_cuda_device_keeps_the_order_of_its_peaks() -> None:
    device = devices.open_device(Device("cuda", 0))
    given = torch.randn(1024, 1024, device="cuda")

    taken = device.samples(lambda: given @ given, 4, 0.02, 1e-4)
    peaks = device.peaks(lambda: given @ given)

    assert min(taken) > 0
    assert (
        4 << 20
        <= peaks["cuda_requested_bytes"]
        <= peaks["cuda_allocated_bytes"]
        <= peaks["cuda_reserved_bytes"]
    )
