"""What differs between kinds of device: the clock, waiting for work to finish, and peak memory.

One class per kind and one table. To add a kind, add it to ``spec.DEVICE_KINDS`` and a row here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from cnnbench import machine
from cnnbench.errors import Unsupported, UsageError
from cnnbench.facts import Room
from cnnbench.worker.energy import Nvml, Rapl
from cnnbench.worker.nvml import Driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.spec import Device
    from cnnbench.worker.energy import Meter


# The states of caches before a sample: of a CUDA device's second level, of all levels of a host.
L2 = ("warm", "cold")

# A slice with cold caches has at most so many samples; on a host fewer, because the sweep before
# each of them takes longer than a layer.
_COLD_SAMPLES, _COLD_SAMPLES_OF_HOST = 64, 8


# Calls that a memory snapshot covers, and the most allocations and releases in its history.
_SNAPSHOT_CALLS, _MOST_ENTRIES = 3, 1_000_000


class Kind(Protocol):
    """What the rest of the worker needs of a device.

    Attributes:
        kind: one of ``spec.DEVICE_KINDS``.
        cold: caches are cold before a sample, so only its first call is cold.
    """

    kind: str
    cold: bool

    def synchronize(self) -> None:
        """Wait until everything submitted has been done."""

    def samples(
        self, call: Callable[[], Any], iterations: int, seconds: float, estimate: float
    ) -> list[int]:
        """Sample for about ``seconds``.

        Args:
            call: one iteration.
            iterations: calls per sample.
            seconds: length of the slice; at least one sample is taken.
            estimate: seconds that one call is expected to take.

        Returns:
            Nanoseconds of each sample.
        """

    def peaks(self, call: Callable[[], Any]) -> dict[str, int]:
        """Peak figures of one call by the device's own allocator, named as in ``record.Memory``."""

    def state(self) -> dict[str, Any]:
        """The driver's present values: clocks, temperature, reasons for a lower clock."""

    def snapshot(self, call: Callable[[], Any], path: str) -> None:
        """Write what torch knows of the device's memory while some calls run.

        Raises:
            Unsupported: its allocator has no such record.
        """

    def meter(self) -> Meter:
        """The counter of its energy."""

    def notes(self) -> dict[str, str]:
        """How the device is used here, and which facts are not available."""


class Cpu:
    """The host: a call has been done when it returns; the clock is the monotonic one.

    With cold caches, a buffer of twice the size of the largest is read and written before every
    sample, outside of its clock readings.
    """

    kind = "cpu"

    def __init__(self, l2: str = "warm") -> None:
        self.cold = l2 == "cold"
        size = 2 * machine.largest_cache() if self.cold else 0
        self._buffer = torch.zeros(size, dtype=torch.uint8) if self.cold else None

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def samples(
        self, call: Callable[[], Any], iterations: int, seconds: float, estimate: float
    ) -> list[int]:
        """Two clock readings around each sample and nothing else between them."""
        del estimate
        clock, repeat = time.perf_counter_ns, range(iterations)
        taken: list[int] = []
        if self._buffer is not None:
            while len(taken) < _COLD_SAMPLES_OF_HOST and sum(taken) < round(seconds * 1e9):
                self._buffer.add_(1)
                start = clock()
                for _ in repeat:
                    call()
                taken.append(clock() - start)
            return taken
        end = clock() + round(seconds * 1e9)
        while True:
            start = clock()
            for _ in repeat:
                call()
            stop = clock()
            taken.append(stop - start)
            if stop >= end:
                return taken

    def peaks(self, call: Callable[[], Any]) -> dict[str, int]:
        """The CPU allocator keeps no peak; ``memory`` reads it from the profiler."""
        del call
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing: for the host, the kernel's counters say it."""
        return {}

    def snapshot(self, call: Callable[[], Any], path: str) -> None:
        """Torch keeps no record of the host's memory."""
        del call, path
        raise Unsupported("a memory snapshot is of a CUDA device's memory, not of the host's")

    def meter(self) -> Meter:
        """RAPL's."""
        return Rapl()

    def notes(self) -> dict[str, str]:
        """The state of the caches, where it is not that of a call that follows another."""
        return {"l2": "cold"} if self.cold else {}


class Cuda:
    """A CUDA device: events on the stream, one synchronisation per slice.

    With a cold second-level cache, a buffer of twice its size is written before every sample,
    outside of the events. The host then runs further ahead than it normally would, so launches hide
    behind the writing. A network that is called repeatedly finds a warm cache.
    """

    kind = "cuda"

    def __init__(self, index: int, l2: str = "warm") -> None:
        self._index = index
        torch.cuda.set_device(index)
        self._uuid = str(getattr(_properties(index), "uuid", ""))
        self._driver = Driver(self._uuid)
        self.cold = l2 == "cold"
        self._buffer = _twice_the_cache(index) if self.cold else None
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def synchronize(self) -> None:
        """Wait for the device's streams."""
        torch.cuda.synchronize(self._index)

    def samples(
        self, call: Callable[[], Any], iterations: int, seconds: float, estimate: float
    ) -> list[int]:
        """Events before and after each sample.

        The number of samples is fixed beforehand: the host runs ahead of the device, so its clock
        cannot say when the slice is over.
        """
        count = max(1, round(seconds / max(estimate * iterations, 1e-7)))
        if self._buffer is not None:
            # No estimate contains the time to write the buffer.
            count = min(count, _COLD_SAMPLES)
        events = self._pairs(count)
        repeat = range(iterations)
        self.synchronize()
        for start, stop in events:
            if self._buffer is not None:
                self._buffer.zero_()
            start.record()
            for _ in repeat:
                call()
            stop.record()
        self.synchronize()
        # elapsed_time is in milliseconds with a resolution of half a microsecond.
        return [round(start.elapsed_time(stop) * 1e6) for start, stop in events]

    def _pairs(self, count: int) -> list[tuple[torch.cuda.Event, torch.cuda.Event]]:
        """Events that exist already: torch asks the driver for one when it is first recorded."""
        new = [(_event(), _event()) for _ in range(count - len(self._events))]
        for pair in new:
            for event in pair:
                event.record()
        self._events += new
        return self._events[:count]

    def peaks(self, call: Callable[[], Any]) -> dict[str, int]:
        """Peaks of the caching allocator over one call, from a freshly emptied cache.

        They contain both tensors and the workspaces of libraries, and what CUDA graphs compute in:
        the allocator counts that as free, because nothing allocates during a replay, but keeps it
        for the graph. ``cuda_workspace_bytes`` is the
        part that cuBLAS keeps from call to call, found by making it release that memory. The memory
        that cuDNN allocates within a call is in the peaks and cannot be separated.
        """
        self.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._index)
        call()
        self.synchronize()
        stats, kept = torch.cuda.memory_stats(self._index), _kept_for_graphs(self._index)
        found: dict[str, int | None] = {
            "cuda_allocated_bytes": int(stats["allocated_bytes.all.peak"]) + kept,
            "cuda_requested_bytes": int(stats["requested_bytes.all.peak"]) + kept,
            "cuda_reserved_bytes": int(stats["reserved_bytes.all.peak"]),
            "cuda_process_bytes": self._driver.process_bytes(),
            "cuda_workspace_bytes": self._workspace(),
        }
        return {name: size for name, size in found.items() if size is not None}

    def snapshot(self, call: Callable[[], Any], path: str) -> None:
        """The caching allocator's blocks and its history over some calls, as torch pickles them.

        For https://pytorch.org/memory_viz; written only, never read here. What was allocated
        before has no stack.
        """
        memory: Any = torch.cuda.memory
        self.synchronize()
        memory._record_memory_history(max_entries=_MOST_ENTRIES)  # noqa: SLF001
        try:
            for _ in range(_SNAPSHOT_CALLS):
                call()
            self.synchronize()
            memory._dump_snapshot(path)  # noqa: SLF001
        finally:
            memory._record_memory_history(enabled=None)  # noqa: SLF001

    def _workspace(self) -> int | None:
        clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)  # noqa: SLF001
        if clear is None:
            return None
        before = torch.cuda.memory_allocated(self._index)
        clear()
        return before - torch.cuda.memory_allocated(self._index)

    def room(self) -> Room:
        """What of the device's memory is free."""
        free, _ = torch.cuda.mem_get_info(self._index)
        return Room(free, self._driver.process_bytes(), self._driver.one_process())

    def state(self) -> dict[str, Any]:
        """The driver's values."""
        return self._driver.state()

    def meter(self) -> Meter:
        """The driver's."""
        return Nvml(self._driver.energy_mj, self._driver.reason)

    def notes(self) -> dict[str, str]:
        """Which GPU, the state of the cache, and the reason if the driver gives no values."""
        note = {"l2": "cold" if self.cold else "warm", "gpu": self._uuid}
        return note | ({"nvml": self._driver.reason} if self._driver.reason else {})


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _properties(index: int) -> Any:
    return torch.cuda.get_device_properties(index)


# Where the allocator keeps what belongs to no graph.
_COMMON_POOL = (0, 0)


def _kept_for_graphs(index: int) -> int:
    """Bytes of the allocator that are free for nothing but the replays of CUDA graphs."""
    segments: list[dict[str, Any]] = torch.cuda.memory_snapshot(include_traces=False)  # type: ignore[no-untyped-call]
    return sum(
        one["total_size"] - one["allocated_size"]
        for one in segments
        if one["device"] == index and tuple(one["segment_pool_id"]) != _COMMON_POOL
    )


def _twice_the_cache(index: int) -> torch.Tensor:
    size = 2 * int(_properties(index).L2_cache_size)
    return torch.empty(size, dtype=torch.int8, device=f"cuda:{index}")


# Kind -> the device of an index, with its caches ``warm`` or ``cold``.
KINDS: dict[str, Callable[[int, str], Kind]] = {"cpu": lambda _, l2: Cpu(l2), "cuda": Cuda}


def open_device(device: Device, l2: str = "warm") -> Kind:
    """The device, ready to work.

    Args:
        device: which.
        l2: state of its caches before a sample, one of ``L2``.

    Raises:
        Unsupported: the device does not exist.
        UsageError: unknown state of the cache.
    """
    if l2 not in L2:
        raise UsageError(f"l2 '{l2}' is none of {', '.join(L2)}")
    if device.kind == "cuda" and device.index >= torch.cuda.device_count():
        raise Unsupported(
            f"there is no {device.text}: torch sees {torch.cuda.device_count()} CUDA devices"
        )
    return KINDS[device.kind](device.index, l2)


# What says by itself that memory could not be had: torch's allocators, then CUDA's libraries.
_SAYS_SO = (
    "can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED",
)  # fmt: skip
# What libraries say too where no memory was left for their handle or workspace: cuDNN passes over
# every algorithm whose workspace it does not get. It may mean something else; the device is asked.
_MAY_SAY_SO = (
    "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED", "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
)  # fmt: skip
# With less than this share of it free, a device is full.
_FULL = 0.1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that host or device memory could not be allocated."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    if not isinstance(error, RuntimeError):
        return False
    if any(sign in text for sign in _SAYS_SO):
        return True
    return any(sign in text for sign in _MAY_SAY_SO) and _is_full()


def _is_full() -> bool:
    """Whether the CUDA device at work has hardly any memory left."""
    try:
        free, total = torch.cuda.mem_get_info()
    except Exception:  # noqa: BLE001 - after some errors a device answers nothing any more
        return False
    return free < _FULL * total
