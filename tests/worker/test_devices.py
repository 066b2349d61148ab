"""The CUDA clock and peaks with a pretended driver; the real one where there is a device."""

from __future__ import annotations

import sys
import time
import weakref
from types import SimpleNamespace

import pytest
import torch

from cnnbench import machine
from cnnbench.errors import Unsupported, UsageError
from cnnbench.plan import WarmUp
from cnnbench.spec import DEVICE_KINDS, Device, Mode
from cnnbench.worker import devices, memory, sampling, structure
from cnnbench.worker.build import Step
from cnnbench.worker.devices import Cpu, Cuda, is_out_of_memory
from cnnbench.worker.inputs import Given


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
                self.exists = False

            def record(self) -> None:
                # The driver is asked for an event when it is first recorded, which takes its time.
                if not self.exists:
                    stream.queue.append(0.25)
                self.exists = True
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
        properties = SimpleNamespace(uuid="1234", L2_cache_size=50)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: properties)
        monkeypatch.setitem(sys.modules, "pynvml", None)

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


def test_events_are_made_outside_of_samples_and_kept(stream: FakeStream) -> None:
    device = Cuda(0)

    first, more, fewer = (
        device.samples(stream.kernel(2.0), 1, seconds, 0.002) for seconds in (0.02, 0.04, 0.01)
    )

    # One that is made within a sample would be in its time.
    assert {*first, *more, *fewer} == {2_000_000}
    assert stream.time == (10 + 20 + 5) * 2.0 + 2 * 20 * 0.25


def test_cuda_takes_at_least_one_sample_of_a_slow_call(stream: FakeStream) -> None:
    taken = Cuda(0).samples(stream.kernel(900.0), iterations=1, seconds=0.06, estimate=0.9)

    assert taken == [900_000_000]


def segment(device: int, pool: tuple[int, int], total: int, allocated: int) -> dict[str, object]:
    """Of the caching allocator, as its snapshot has them."""
    return {
        "device": device, "segment_pool_id": pool, "total_size": total, "allocated_size": allocated,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("graphs", "kept"), [([], 0), ([segment(1, (0, 1), 900, 100), segment(1, (0, 2), 50, 0)], 850)]
)
def test_cuda_peaks_are_of_one_call_from_an_emptied_cache(
    stream: FakeStream, monkeypatch: pytest.MonkeyPatch, graphs, kept
) -> None:
    """What belongs to CUDA graphs is free for nothing else, though the allocator calls it so."""
    steps: list[str] = []
    stats = {
        "allocated_bytes.all.peak": 512,
        "requested_bytes.all.peak": 400,
        "reserved_bytes.all.peak": 2048,
    }
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: steps.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _index: steps.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda _index: steps.append("read") or stats)
    segments = [segment(1, (0, 0), 2048, 512), segment(0, (0, 1), 2048, 0), *graphs]
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda include_traces: segments)
    held = [1000]
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _index: held[0])
    clear = lambda: held.__setitem__(0, 700) or steps.append("clear")  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", clear, raising=False)

    peaks = Cuda(1).peaks(lambda: steps.append("call"))

    assert steps == ["empty", "reset", "call", "read", "clear"]
    assert peaks == {
        "cuda_allocated_bytes": 512 + kept,
        "cuda_requested_bytes": 400 + kept,
        "cuda_reserved_bytes": 2048,
        "cuda_workspace_bytes": 300,
    }


def test_what_cuda_cannot_tell_of_memory_is_missing_with_its_reason(
    stream: FakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cuda, "peaks", lambda *_: {"cuda_allocated_bytes": 512})
    step = Step(lambda: None, lambda _: [], torch.nn.ReLU(), Given(()))

    found = memory.measure(step, Cuda(0))

    assert found.cuda_allocated_bytes == 512
    assert set(found.missing) == {"cuda_process_bytes", "cuda_workspace_bytes"}
    assert "pynvml is not installed" in found.missing["cuda_process_bytes"]
    assert found.cpu_peak_bytes is None


class Buffer:
    """Stands for the memory that is written to push everything else out of the cache."""

    def __init__(self, stream: FakeStream, size: int) -> None:
        self.stream, self.size = stream, size

    def zero_(self) -> None:
        self.stream.queue.append(7.0)


@pytest.fixture
def buffers(stream: FakeStream, monkeypatch: pytest.MonkeyPatch) -> list[Buffer]:
    made: list[Buffer] = []

    def empty(size: int, dtype: torch.dtype, device: str) -> Buffer:
        assert (dtype, device) == (torch.int8, "cuda:0")
        made.append(Buffer(stream, size))
        return made[-1]

    monkeypatch.setattr(torch, "empty", empty)
    return made


def test_a_cold_cache_is_made_before_every_sample_and_outside_of_it(
    stream: FakeStream, buffers: list[Buffer]
) -> None:
    device = Cuda(0, "cold")

    taken = device.samples(stream.kernel(2.0), iterations=1, seconds=0.02, estimate=0.002)

    assert [buffer.size for buffer in buffers] == [100]
    assert taken == [2_000_000] * 10
    assert stream.time == 10 * (7.0 + 2.0) + 20 * 0.25
    assert device.cold
    assert device.notes()["l2"] == "cold"


def test_quick_calls_with_a_cold_cache_do_not_make_a_slice_endless(
    stream: FakeStream, buffers: list[Buffer]
) -> None:
    taken = Cuda(0, "cold").samples(stream.kernel(0.01), 1, seconds=0.06, estimate=1e-5)

    assert len(taken) == 64


def test_a_warm_cache_is_left_alone(stream: FakeStream, buffers: list[Buffer]) -> None:
    device = Cuda(0)
    device.samples(stream.kernel(2.0), iterations=1, seconds=0.02, estimate=0.002)

    assert buffers == []
    assert not device.cold
    assert device.notes()["l2"] == "warm"


def test_a_host_s_caches_are_swept_before_every_sample_and_outside_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, swept = [0], []
    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock[0])

    class Swept:
        def add_(self, one: int) -> None:
            swept.append(clock[0])
            clock[0] += 5_000_000

    monkeypatch.setattr(torch, "zeros", lambda size, dtype: swept.append(size) or Swept())
    monkeypatch.setattr(machine, "largest_cache", lambda: 100)
    device = devices.open_device(Device(), "cold")

    def call() -> None:
        clock[0] += 2_000_000

    taken = device.samples(call, iterations=1, seconds=0.03, estimate=0.002)

    assert device.cold
    assert device.notes() == {"l2": "cold"}
    assert taken == [2_000_000] * 8
    assert swept == [200, *range(0, 8 * 7_000_000, 7_000_000)]
    # A slow call is sampled until the slice is over, and once at least.
    assert device.samples(call, 1, seconds=0.003, estimate=0.002) == [2_000_000] * 2
    assert device.samples(call, 1, seconds=1e-6, estimate=0.002) == [2_000_000]
    # What is counted over a slice would be that of the sweeps.
    slice_ = sampling.take_slice(call, device, 0, 1, 0.003, 0.002)
    assert (slice_.cpu_ns, slice_.run_delay_ns, slice_.minor_faults) == (None, None, None)


def test_a_host_s_caches_are_left_alone_unless_asked() -> None:
    device = devices.open_device(Device())

    assert not device.cold
    assert device.notes() == {}


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(Unsupported, match="there is no cuda:1: torch sees 1 CUDA device"):
        devices.open_device(Device("cuda", 1))


def test_a_cache_is_warm_or_cold() -> None:
    with pytest.raises(UsageError, match="l2 'hot' is none of warm, cold"):
        devices.open_device(Device(), "hot")


def test_the_state_of_a_device_goes_into_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Cpu()
    monkeypatch.setattr(device, "state", lambda: {"sm_mhz": 1980}, raising=False)

    taken = sampling.take_slice(lambda: None, device, 0, 1, 0.001, 1e-4)

    assert taken.device == {"sm_mhz": 1980}


class Result:
    """What a call returns; CUDA graphs overwrite it in the next call."""


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_no_result_outlives_the_next_call(stream: FakeStream, kind: str) -> None:
    device = Cpu() if kind == "cpu" else Cuda(0)
    last: list[weakref.ref] = []

    def call() -> Result:
        assert not last or last[-1]() is None
        result = Result()
        last.append(weakref.ref(result))
        return result

    sampling.warm_up(call, device, WarmUp(3, 0.0, 1.0, 2))
    device.samples(call, 3, 0.0001, 1e-5)

    assert len(last) > 5


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


NO_ENGINE = "GET was unable to find an engine to execute this computation"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_libraries_say_that_a_device_is_full_in_words_of_their_own(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "text",
    [
        NO_ENGINE,
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ],
)
@pytest.mark.parametrize(("free", "full"), [(2, True), (60, False)])
def test_words_that_may_mean_memory_do_so_on_a_full_device(
    monkeypatch: pytest.MonkeyPatch, text: str, free: int, full: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free << 30, 80 << 30))

    assert is_out_of_memory(RuntimeError(text)) is full


def test_a_device_that_answers_nothing_any_more_is_not_called_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def poisoned() -> tuple[int, int]:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "mem_get_info", poisoned)

    assert not is_out_of_memory(RuntimeError(NO_ENGINE))


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


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_cold_cache_slows_nothing_down_but_the_samples() -> None:
    warm, cold = (devices.open_device(Device("cuda", 0), l2) for l2 in devices.L2)
    given = torch.randn(256, 256, device="cuda")

    taken = [device.samples(lambda: given @ given, 1, 0.01, 1e-4) for device in (warm, cold)]

    assert all(min(samples) > 0 for samples in taken)
    assert len(taken[1]) <= 64
    assert set(cold.state()) <= {"sm_mhz", "memory_mhz", "temperature_c", "throttle"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_kernel_has_a_name() -> None:
    device = devices.open_device(Device("cuda", 0))
    given = torch.randn(256, 256, device="cuda")
    step = Step(lambda: given @ given, lambda output: [output], torch.nn.ReLU(), Given(()))
    step.call()

    found = structure.take(step, device, Mode())

    assert sum(found.kernels.values()) >= 1
    assert found.allocated_bytes >= 256 * 256 * 4
    assert found.outputs == ("float32[256,256]",)
