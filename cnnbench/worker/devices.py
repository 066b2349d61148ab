"""What differs between kinds of device: the clock, waiting for work to finish, and peak memory.

One class per kind and one table. To add a kind, add it to ``spec.DEVICE_KINDS`` and a row here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.spec import Device


class Kind(Protocol):
    """What the rest of the worker needs of a device."""

    kind: str

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


class Cpu:
    """The host: a call has been done when it returns; the clock is the monotonic one."""

    kind = "cpu"

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def samples(
        self, call: Callable[[], Any], iterations: int, seconds: float, estimate: float
    ) -> list[int]:
        """Two clock readings around each sample and nothing else between them."""
        del estimate
        clock, repeat = time.perf_counter_ns, range(iterations)
        taken: list[int] = []
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


class Cuda:
    """A CUDA device: events on the stream, one synchronisation per slice."""

    kind = "cuda"

    def __init__(self, index: int) -> None:
        self._index = index
        torch.cuda.set_device(index)

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
        events = [(self._event(), self._event()) for _ in range(count)]
        repeat = range(iterations)
        self.synchronize()
        for start, stop in events:
            start.record()
            for _ in repeat:
                call()
            stop.record()
        self.synchronize()
        # elapsed_time is in milliseconds with a resolution of half a microsecond.
        return [round(start.elapsed_time(stop) * 1e6) for start, stop in events]

    def _event(self) -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def peaks(self, call: Callable[[], Any]) -> dict[str, int]:
        """Peaks of the caching allocator over one call, from a freshly emptied cache."""
        self.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._index)
        call()
        self.synchronize()
        stats = torch.cuda.memory_stats(self._index)
        return {
            "cuda_allocated_bytes": int(stats["allocated_bytes.all.peak"]),
            "cuda_requested_bytes": int(stats["requested_bytes.all.peak"]),
            "cuda_reserved_bytes": int(stats["reserved_bytes.all.peak"]),
        }


KINDS: dict[str, Callable[[int], Kind]] = {"cpu": lambda _: Cpu(), "cuda": Cuda}


def open_device(device: Device) -> Kind:
    """The device, ready to work.

    Raises:
        RuntimeError: torch cannot use it.
    """
    return KINDS[device.kind](device.index)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory, host or device, could not be had."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("can't allocate memory", "not enough memory", "out of memory")
    )
