"""Peak memory of one step, by two methods that must agree.

Runs in a separate process, never while timing.

* The allocator's peak: the running sum of the profiler's memory events sees every allocation
  that goes through torch, also those inside an operator.
* The process's high-water mark: the kernel's own count, reset before the step, with malloc's
  caching switched off so that memory is returned when it is freed.
"""

from __future__ import annotations

import ctypes
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.record import Memory
from cnnbench.worker import events
from cnnbench.worker.devices import Cpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from cnnbench.worker.build import Step
    from cnnbench.worker.devices import Kind

# glibc's mallopt parameters (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8


def stop_malloc_caching() -> bool:
    """Make malloc return freed blocks at once; call before anything large is allocated.

    Returns:
        Whether the C library accepted the settings (glibc does).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # As many mapped blocks as glibc allows by itself: measuring processes start with none.
    settings = (
        (_M_MMAP_MAX, 65_536), (_M_MMAP_THRESHOLD, 65_536), (_M_TRIM_THRESHOLD, 0),
        (_M_ARENA_MAX, 1),
    )  # fmt: skip
    taken = [mallopt(parameter, value) == 1 for parameter, value in settings]
    return all(taken)


def measure(step: Step, device: Kind, warm_calls: int = 2) -> Memory:
    """Peak memory of one warm step.

    Args:
        step: built but not yet called.
        device: where it runs.
        warm_calls: calls before the one that is measured.
    """
    for _ in range(warm_calls):
        step.call()
    device.synchronize()
    resident = storage_bytes(step.resident()) + _loaded(step)
    # A training step clears the gradients of the one before first. The allocator's peak counts from
    # after that, because the profiler sees no blocks that are older than itself; the kernel's count
    # starts with them.
    before = resident + storage_bytes(_gradients(step))
    missing: dict[str, str] = {}
    if step.elsewhere:
        missing["cpu_peak_bytes"] = "the runtime allocates by itself, not through torch"
    growth = high_water_growth(step.call)
    if growth is None:
        missing["cpu_high_water_bytes"] = "the kernel does not let this process reset its peak"
    peaks = device.peaks(step.call)
    on_cpu = device.kind == "cpu"
    own = on_cpu and not step.elsewhere
    return Memory(
        resident_bytes=resident,
        cpu_peak_bytes=resident + allocator_peak(step.call) if own else None,
        cpu_high_water_bytes=before + growth if on_cpu and growth is not None else None,
        missing=missing if on_cpu else _missing_on_device(peaks, device),
        **peaks,
    )


def _loaded(step: Step) -> int:
    """Bytes of a deployment runtime's own copy of the weights."""
    deployment = step.deployment()
    return 0 if deployment is None else deployment.loaded_bytes or 0


def _missing_on_device(peaks: dict[str, int], device: Kind) -> dict[str, str]:
    hidden = device.notes().get("nvml", "the driver does not list this process (in a container?)")
    reasons = {
        "cuda_process_bytes": hidden,
        "cuda_workspace_bytes": "this build of torch cannot make cuBLAS give its workspace back",
    }
    return {name: reason for name, reason in reasons.items() if name not in peaks}


def _gradients(step: Step) -> list[torch.Tensor]:
    return [one.grad for one in step.module.parameters() if one.grad is not None]


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct storages behind tensors."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def high_water_growth(call: Callable[[], Any]) -> int | None:
    """Bytes by which one call raises the process's peak resident set; ``None`` if unknown."""
    try:
        # 5 resets VmHWM to the present resident set (Linux, proc(5)).
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = status_bytes("VmRSS")
    except OSError:
        return None
    result = call()
    peak = status_bytes("VmHWM")
    del result
    return None if before is None or peak is None else max(0, peak - before)


def status_bytes(key: str) -> int | None:
    """A size from /proc/self/status, or ``None`` where there is none."""
    kibibytes = status_number(key)
    return None if kibibytes is None else kibibytes << 10


def status_number(key: str) -> int | None:
    """A number from /proc/self/status, or ``None`` where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) if found else None


def allocator_peak(call: Callable[[], Any]) -> int:
    """Peak of bytes that one call holds in torch's CPU allocator above the level at its start."""
    return peak_of(events.memory_changes(events.of_call(call, Cpu()), "cpu"))


def peak_of(changes: Iterable[tuple[float, int]]) -> int:
    """Highest running sum of changes in order of time; at least zero."""
    ordered = [change for _, change in sorted(changes, key=lambda change: change[0])]
    return max([0, *accumulate(ordered)])
