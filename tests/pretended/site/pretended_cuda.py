"""CUDA devices that are not there: torch's functions for them, computed on the CPU.

Tensors stay where they are, and everything that a device would be asked for is answered. What it
pretends is held against the real functions by ``tests/pretended/test_contract.py``:

* a stream that has always caught up, whose events read the host's clock;
* an allocator that counts what torch's functions return, with a peak and a limit;
* a profiler that sees a short kernel beneath every operator: it is launch-bound;
* as many devices as ``PRETENDED_CUDA_NAMES`` has names, of which a process sees those that
  ``CUDA_VISIBLE_DEVICES`` leaves it, and none whose UUID is in the file ``PRETENDED_CUDA_LOST``.

Knows nothing of cnnbench.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import pickle
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

TOTAL = int(os.environ.get("PRETENDED_CUDA_BYTES", 8 << 30))
# Of a single tensor; a test that needs no more keeps probes of a GPU's ceilings from a CPU.
LARGEST = int(os.environ.get("PRETENDED_CUDA_LARGEST", TOTAL))
NAMES = os.environ.get("PRETENDED_CUDA_NAMES", "Pretended GPU").split(",")
UUIDS = [f"5f2c0000-1111-2222-3333-{0x444455556666 + index:012x}" for index in range(len(NAMES))]
LOST = Path(os.environ.get("PRETENDED_CUDA_LOST", os.devnull))
# What a context of the real driver takes.
CONTEXT = 400 << 20


class Allocator:
    """Counts bytes by storage; what goes beyond the limit is out of memory."""

    def __init__(self) -> None:
        self.held = self.peak = 0
        self.limit = TOTAL
        self._known: dict[int, list[int]] = {}

    def see(self, tensor, error) -> None:
        try:
            storage = tensor.untyped_storage()
            key, size = storage.data_ptr(), storage.nbytes()
        except (RuntimeError, NotImplementedError):
            return  # on the meta device, or with no storage at all
        if not key or tensor.device.type != "cpu":
            return
        entry = self._known.get(key)
        if entry is None:
            if self.held + size > self.limit or size > LARGEST:
                raise error(
                    f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU 0 has a"
                    f" total capacity of {TOTAL / 2**30:.2f} GiB"
                )
            self._known[key] = entry = [0, size]
            self.held += size
            self.peak = max(self.peak, self.held)
        entry[0] += 1
        weakref.finalize(tensor, self._free, key)

    def _free(self, key: int) -> None:
        entry = self._known[key]
        entry[0] -= 1
        if not entry[0]:
            self.held -= entry[1]
            del self._known[key]


ALLOCATOR = Allocator()


class Event:
    """A moment on the stream; the host's, because the stream is never behind."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False):
        self._timed, self._at = enable_timing, None

    def record(self, stream=None):
        self._at = time.perf_counter()

    def elapsed_time(self, end_event):
        if not (self._timed and end_event._timed) or None in (self._at, end_event._at):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return 1e3 * (end_event._at - self._at)


def visible():
    """Numbers of the devices that this process sees, in its own order."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [f"GPU-{one}" for one in UUIDS]
    asked = [str(index) for index in range(len(NAMES))] if told is None else told.split(",")
    lost = LOST.read_text(encoding="utf8") if LOST.exists() else ""
    found = []
    for one in asked:
        index = names.index(one) if one in names else int(one) if one.isdecimal() else len(NAMES)
        if index >= len(NAMES) or UUIDS[index] in lost:
            break  # as the driver does: what follows one that is not there is not seen either
        found.append(index)
    return found


def is_available():
    return device_count() > 0


def device_count():
    return len(visible())


def is_initialized():
    return False


def set_device(device):
    return None


def current_device():
    return 0


def synchronize(device=None):
    return None


def empty_cache():
    return None


def manual_seed_all(seed):
    return None


def is_bf16_supported(including_emulation=True):
    return True


def get_device_capability(device=None):
    return 8, 0


def get_device_properties(device=None):
    index = visible()[device if isinstance(device, int) else 0]
    return SimpleNamespace(
        name=NAMES[index], major=8, minor=0, multi_processor_count=4, total_memory=TOTAL,
        uuid=UUIDS[index], L2_cache_size=1 << 20, pci_domain_id=0, pci_bus_id=index,
        pci_device_id=0,
    )  # fmt: skip


def mem_get_info(device=None):
    return TOTAL - CONTEXT - ALLOCATOR.held, TOTAL


def memory_allocated(device=None):
    return ALLOCATOR.held


def reset_peak_memory_stats(device=None):
    ALLOCATOR.peak = ALLOCATOR.held


def memory_stats(device=None):
    peak = ALLOCATOR.peak
    rounded = -(-peak // 512) * 512
    segments = -(-peak // (2 << 20)) * (2 << 20)
    return {
        "allocated_bytes.all.peak": rounded,
        "requested_bytes.all.peak": peak,
        "reserved_bytes.all.peak": segments,
    }


def memory_snapshot(mempool_id=None, include_traces=True):
    return []


def set_per_process_memory_fraction(fraction, device=None):
    ALLOCATOR.limit = round(fraction * TOTAL)


class Stream:
    """Work is done when it is submitted, on whichever stream."""

    def __init__(self, device=None, priority=0, **kwargs):
        pass

    def wait_stream(self, stream):
        return None


def current_stream(device=None):
    return Stream()


FUNCTIONS = (
    is_available, device_count, is_initialized, set_device, current_device, synchronize,
    empty_cache, manual_seed_all, is_bf16_supported, get_device_capability, get_device_properties,
    mem_get_info, memory_allocated, reset_peak_memory_stats, memory_stats, memory_snapshot,
    set_per_process_memory_fraction, current_stream,
)  # fmt: skip


@contextlib.contextmanager
def stream(stream):
    yield


class CUDAGraph:
    """What was computed while capturing, computed again into the same memory by a replay."""

    def __init__(self, keep_graph=False):
        self.recorded = None

    def replay(self):
        import torch
        from torch.utils import _pytree as pytree

        with torch.inference_mode():
            for func, args, kwargs, results in self.recorded:
                again = pytree.tree_leaves(func(*args, **kwargs))
                for old, new in zip(results, again, strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@contextlib.contextmanager
def graph(cuda_graph, pool=None, stream=None, capture_error_mode="global"):
    import torch
    from torch.utils import _pytree as pytree
    from torch.utils._python_dispatch import TorchDispatchMode

    recorded = []

    class Capture(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default):
                raise RuntimeError(
                    "CUDA error: operation not permitted when stream is capturing\n..."
                )
            result = func(*args, **(kwargs or {}))
            recorded.append((func, args, kwargs or {}, pytree.tree_leaves(result)))
            return result

    try:
        with Capture():
            yield
    except Exception:  # noqa: BLE001 - any error spoils a capture
        # Ending a capture that an error has spoilt is an error by itself, which hides the first.
        raise RuntimeError(
            "CUDA error: operation failed due to a previous error during capture\n..."
        ) from None
    cuda_graph.recorded = recorded


RECORDING = []


def _record_memory_history(enabled="all", *args, **keywords):
    RECORDING[:] = [enabled] if enabled else []


def _dump_snapshot(filename="dump_snapshot.pickle", augment_with_fx_traces=False):
    if not RECORDING:
        raise RuntimeError("no history is recorded")
    Path(filename).write_bytes(pickle.dumps({"segments": [], "device_traces": [[]]}))


def install(torch) -> None:
    """Put the device into torch, for this process and those that it forks."""
    from torch.overrides import TorchFunctionMode
    from torch.utils import _pytree as pytree

    available = torch.cuda.is_available
    for function in FUNCTIONS:
        setattr(torch.cuda, function.__name__, function)
    torch.cuda.Event, torch.cuda.Stream, torch.cuda.stream = Event, Stream, stream
    torch.cuda.CUDAGraph, torch.cuda.graph = CUDAGraph, graph
    torch._C._cuda_clearCublasWorkspaces = lambda: None

    said = Path(os.environ.get("PRETENDED_CUDA_NVTX", os.devnull))

    def range_push(msg):
        with said.open("a", encoding="utf8") as file:
            file.write(f"push {msg}\n")

    def range_pop():
        with said.open("a", encoding="utf8") as file:
            file.write("pop\n")

    torch.cuda.nvtx.range_push, torch.cuda.nvtx.range_pop = range_push, range_pop
    torch.cuda.memory._record_memory_history = _record_memory_history
    torch.cuda.memory._dump_snapshot = _dump_snapshot

    def here(value):
        """Whatever names the device names the CPU instead."""
        if isinstance(value, torch.device) and value.type == "cuda":
            return torch.device("cpu")
        return "cpu" if isinstance(value, str) and value.startswith("cuda") else value

    class Device(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            given = {name: here(value) for name, value in (kwargs or {}).items()}
            result = func(*map(here, args), **given)
            for leaf in pytree.tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    ALLOCATOR.see(leaf, torch.OutOfMemoryError)
            return result

    class Autocast(torch.autocast):
        def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
            super().__init__(here(device_type), dtype, enabled, cache_enabled)

    class Scaler(torch.amp.GradScaler):
        def __init__(self, device="cuda", *args, **keywords):
            super().__init__(here(device), *args, **keywords)

    torch.compile = _compiling(torch, torch.compile, available)

    activity = torch.profiler.ProfilerActivity

    class Profile(torch.profiler.profile):
        def __init__(self, *, activities=None, **keywords):
            on_device = activities is not None and activity.CUDA in activities
            super().__init__(activities=[activity.CPU], **keywords)
            self._on_device = on_device

        def export_chrome_trace(self, path, *args, **keywords):
            super().export_chrome_trace(path, *args, **keywords)
            if self._on_device:
                _add_kernels(Path(path))

    class Plain(torch.autograd.profiler.profile):
        def __init__(self, enabled=True, *, use_device=None, **keywords):
            super().__init__(enabled, use_device=None, **keywords)
            self._of_device = use_device == "cuda"

        def export_chrome_trace(self, path, *words):
            super().export_chrome_trace(path, *words)
            if self._of_device:
                _add_kernels(Path(path))

    torch.autocast, torch.amp.GradScaler, torch.profiler.profile = Autocast, Scaler, Profile
    torch.autograd.profiler.profile = Plain
    Device().__enter__()


def _compiling(torch, compile_really, available):
    """``torch.compile`` as if there were no device: what it compiles is compiled for the CPU."""
    from torch.overrides import _pop_mode_temporarily

    def compile(model=None, **keywords):  # noqa: A001 - the name is the one of torch
        # Backward passes are compiled where nothing of ours is called any more.
        torch.cuda.is_available = available
        made = compile_really(model, **keywords)

        def call(*args, **given):
            with _pop_mode_temporarily():
                return made(*args, **given)

        return call

    return compile


def _add_kernels(path: Path) -> None:
    """A kernel beneath every operator that calls no other, and memory that is the device's."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf8") as file:
        trace = json.load(file)
    events = trace["traceEvents"]
    spoken = [one for one in events if one.get("ph") == "X" and one.get("cat") == "cpu_op"]
    spoken.sort(key=lambda one: (str(one.get("tid")), one["ts"], -one["dur"]))
    leaves = [
        one
        for one, after in itertools.zip_longest(spoken, spoken[1:])
        if after is None or after["ts"] >= one["ts"] + one["dur"]
    ]
    kernels = [
        {"ph": "X", "cat": "kernel", "name": f"pretended_{one['name'].replace('::', '_')}",
         "ts": one["ts"], "dur": one["dur"] / 100, "pid": 0, "tid": 7}
        for one in leaves
    ]  # fmt: skip
    for one in events:
        if one.get("name") == "[memory]":
            one["args"]["Device Type"] = 1
    trace["traceEvents"] = [*events, *kernels]
    with opened(path, "wt", encoding="utf8") as file:
        json.dump(trace, file)
