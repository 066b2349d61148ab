"""What torch's profiler sees of one call, as the plain events of its trace.

Never while timing: profiling slows a call and makes it allocate.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cnnbench.worker.devices import Kind

Event = dict[str, Any]

# Values from c10/core/DeviceType.h.
DEVICE_TYPES = {"cpu": 0, "cuda": 1}

# A dispatched operator is "namespace::name"; nodes of autograd have more parts or spaces.
_OPERATOR = re.compile(r"(?!autograd::)\w+::\w+")
_ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")


def of_call(call: Callable[[], Any], device: Kind) -> list[Event]:
    """The events of one finished call, whose result has been freed by the end."""
    with profiler(device, memory=True) as profile:
        result = call()
        device.synchronize()
        del result
    return _exported(profile)


def profiler(device: Kind, *, memory: bool = False) -> torch.autograd.profiler.profile:
    """Torch's profiler without its schedule.

    ``torch.profiler.profile`` asks when it begins whether torch's compiler replays CUDA graphs, and
    imports it for that, which takes two seconds of every process that profiles a call.

    Args:
        device: whose work is recorded beside the host's.
        memory: record allocations too.
    """
    return torch.autograd.profiler.profile(
        use_device="cuda" if device.kind == "cuda" else None,
        use_kineto=True,
        profile_memory=memory,
    )


def _exported(profile: torch.autograd.profiler.profile) -> list[Event]:
    handle, name = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    path = Path(name)
    try:
        profile.export_chrome_trace(name)  # type: ignore[no-untyped-call]
        events: list[Event] = json.loads(path.read_text(encoding="utf8"))["traceEvents"]
    finally:
        path.unlink()
    return events


def memory_changes(events: Iterable[Event], kind: str) -> list[tuple[float, int]]:
    """(time, bytes) of every allocation and, negative, release on a kind of device."""
    wanted = DEVICE_TYPES[kind]
    memory = [event for event in events if event.get("name") == "[memory]"]
    return [
        (event["ts"], int(event["args"]["Bytes"]))
        for event in memory
        if event["args"].get("Device Type", 0) == wanted
    ]


def operators(events: Iterable[Event]) -> Counter[str]:
    """Calls of top-level operators, by name."""
    named = [event for event in events if _is_operator(event)]
    # A parent begins no later than its children; if at the same time, it lasts longer.
    named.sort(key=lambda event: (str(event.get("tid")), event["ts"], -event["dur"]))
    counts: Counter[str] = Counter()
    thread, end = "", 0.0
    for event in named:
        if str(event.get("tid")) != thread or event["ts"] >= end:
            thread, end = str(event.get("tid")), event["ts"] + event["dur"]
            counts[event["name"]] += 1
    return counts


def inside_ns(events: Iterable[Event], name: str) -> int:
    """Nanoseconds in an operator that calls no operator of its own name, over all of its calls."""
    found: list[float] = [
        event["dur"] for event in events if _is_operator(event) and event["name"] == name
    ]
    return round(1e3 * sum(found))


def every_operator(events: Iterable[Event]) -> Counter[str]:
    """Calls of operators by name, including nested calls."""
    return Counter(event["name"] for event in events if _is_operator(event))


def _is_operator(event: Event) -> bool:
    spoken = event.get("ph") == "X" and event.get("cat") == "cpu_op"
    return spoken and _OPERATOR.fullmatch(event["name"]) is not None


def device_kernels(events: Iterable[Event]) -> Counter[str]:
    """Kernels and copies that ran on a CUDA device, by name."""
    return Counter(event["name"] for event in events if event.get("cat") in _ON_DEVICE)


def busy_ns(events: Iterable[Event]) -> int:
    """Nanoseconds in which a CUDA device had a kernel or copy to do, however many at once."""
    spans = sorted(
        (event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("cat") in _ON_DEVICE
    )
    total, end = 0.0, -math.inf
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return round(1e3 * total)
