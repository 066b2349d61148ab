"""Results of torch's profiler for a step: a trace for its viewers, operators, the memory curve.

Never used while timing: the profiler slows a step down, and the slowdown is stated. The trace is
written as ``HOST_PID.NANOSECONDS.pt.trace.json.gz``, the name that TensorBoard's profiler plugin
looks for; Perfetto opens it too. In modes that do not compile, every module is a range named by its
path.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, record_function

from cnnbench.profile import LayerCost, Operator, ProfilerTrace
from cnnbench.spec import Spec
from cnnbench.worker import build, compiling, fused, modes, nvtx, sampling
from cnnbench.worker.devices import open_device
from cnnbench.worker.scopes import Scopes, Swap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cnnbench.analysis import Analysis
    from cnnbench.requests import CountLayers, TraceStep
    from cnnbench.worker.scopes import Forward
    from cnnbench.worker.talk import Talk

# Our own ranges in the trace; they are not operators.
RANGE = "layer "
_WARM_STEPS = 2
_STACKS = "stacks.folded"
# c10/core/DeviceType.h
_DEVICE_TYPES = {"cpu": 0, "cuda": 1}
_PLAIN_STEPS = 5


def trace(request: TraceStep, talk: Talk) -> None:
    """The task: profile some steps of a spec."""
    talk = nvtx.ranged(talk, asked=request.nvtx)
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads)
    compiling.compile_here(spec.mode)
    device = open_device(spec.device)
    talk.enter("build")
    step = build.built(spec, request.seed)
    talk.enter("warm up")
    with fused.named(spec.mode, spec.device) as kernels:
        sampling.warm_up(step.call, device, request.warm_up)
    plain = [sampling.timed(step.call, device)[0] for _ in range(_PLAIN_STEPS)]
    talk.enter("profile")
    folder, stacks = Path(request.trace_folder), request.stacks
    compiled = spec.mode.compiler != "eager"
    profiled: list[int] = []
    with nullcontext() if compiled else ranges(step.module, for_nvtx=request.nvtx):
        profile = _profiler(folder, spec, request.steps, stacks=stacks)
        with profile:
            for number in range(_WARM_STEPS + request.steps):
                taken, _ = sampling.timed(step.call, device)
                if number >= _WARM_STEPS:
                    profiled.append(taken)
                profile.step()
    if request.snapshot is not None:
        talk.enter("memory snapshot")
        device.snapshot(step.call, request.snapshot)
    talk.enter("read the profile")
    told = _answer(profile, folder, spec, plain, profiled, stacks=stacks)
    talk.answer(replace(told, operators=tuple(_sourced(one, kernels) for one in told.operators)))


def _sourced(one: Operator, kernels: fused.FusedKernels) -> Operator:
    return replace(one, modules=kernels.modules(one.name))


def _profiler(folder: Path, spec: Spec, steps: int, *, stacks: bool) -> torch.profiler.profile:
    activities = [ProfilerActivity.CPU]
    if spec.device.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    more: dict[str, Any] = {}
    if stacks:
        # Without the verbose form, torch writes no call stacks, and export_stacks writes an empty
        # file.
        more["experimental_config"] = torch._C._profiler._ExperimentalConfig(verbose=True)  # noqa: SLF001
    return torch.profiler.profile(
        activities=activities,
        schedule=torch.profiler.schedule(wait=0, warmup=_WARM_STEPS, active=steps, repeat=1),
        on_trace_ready=torch.profiler.tensorboard_trace_handler(
            str(folder), worker_name(), use_gzip=True
        ),
        record_shapes=stacks,
        profile_memory=True,
        with_stack=stacks,
        **more,
    )


def worker_name() -> str:
    """``HOST_PID`` without characters that a file name or the plugin's pattern does not accept."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) + f"_{os.getpid()}"


def ranges(module: torch.nn.Module, *, for_nvtx: bool = False) -> AbstractContextManager[None]:
    """Every module's forward is a named range of the trace, and NVTX's, while this is open."""
    scopes = Scopes(module)

    def make(index: int, original: Forward) -> Forward:
        title = RANGE + scopes.names[index]

        def forward(*args: Any, **keywords: Any) -> Any:
            with record_function(title):
                if for_nvtx:
                    return nvtx.within(title, original, *args, **keywords)
                return original(*args, **keywords)

        return forward

    return Swap(scopes.modules, make)


def _answer(
    profile: torch.profiler.profile,
    folder: Path,
    spec: Spec,
    plain: list[int],
    profiled: list[int],
    *,
    stacks: bool,
) -> ProfilerTrace:
    (file,) = folder.glob(f"{worker_name()}.*.pt.trace.json.gz")
    if stacks:
        profile.export_stacks(str(folder / _STACKS), "self_cpu_time_total")
    averages = [event for event in profile.key_averages() if not _is_ours(event.key)]
    on_host = [event for event in averages if event.device_type.name == "CPU"]
    kernels = [event for event in averages if event.device_type.name != "CPU"]
    with gzip.open(file, "rt", encoding="utf8") as lines:
        events = json.load(lines)["traceEvents"]
    found = list(profile.events())  # type: ignore[no-untyped-call]
    ran = times_by_layer(found)
    curve = memory_curve(events, _DEVICE_TYPES[spec.device.kind])
    return ProfilerTrace(
        file=file.name,
        plain_ns=tuple(plain),
        profiled_ns=tuple(profiled),
        operators=_operators(on_host, len(profiled), lambda one: one.self_ns),
        kernels=_operators(kernels, len(profiled), lambda one: one.device_ns),
        memory_ns=tuple(ns for ns, _ in curve),
        memory_bytes=tuple(held for _, held in curve),
        heaviest={path: max(table, key=lambda name: table[name]) for path, table in ran.items()},
        kernel_ns=kernel_times(found, len(profiled)),
        stacks=_STACKS if stacks else None,
    )


# Python functions, which the profiler also lists when it records stacks.
_PYTHON = re.compile(r"^<|\.py\(\d+\)|^nn\.Module: ")


def times_by_layer(events: Iterable[Any]) -> dict[str, dict[str, float]]:
    """Path of a module -> what ran in its own forward pass -> its time, by the profiler's ranges.

    On a device these are kernels, launched by an operator inside the range; on a CPU operators.
    """
    times: dict[str, dict[str, float]] = {}
    for event in events:
        layer = layer_of(event)
        if layer is None or event.name.startswith(RANGE) or _PYTHON.search(event.name):
            continue
        table = times.setdefault(layer, {})
        for name, spent in [(kernel.name, kernel.duration) for kernel in event.kernels] or [
            (event.name, event.self_cpu_time_total)
        ]:
            table[name] = table.get(name, 0.0) + spent
    return times


def kernel_times(events: Iterable[Any], steps: int) -> dict[str, float]:
    """Path of a module -> nanoseconds of the kernels of its own forward pass, per step."""
    times: dict[str, float] = {}
    for event in events:
        layer = layer_of(event)
        if layer is not None and not event.name.startswith(RANGE):
            spent = sum(kernel.duration for kernel in event.kernels)
            if spent:
                times[layer] = times.get(layer, 0.0) + 1e3 * spent / steps
    return times


def layer_of(event: Any) -> str | None:
    """The innermost of our ranges around an event."""
    while event is not None and not event.name.startswith(RANGE):
        event = event.cpu_parent
    return None if event is None else str(event.name.removeprefix(RANGE))


def _is_ours(name: str) -> bool:
    """Ranges made by us or by the profiler's schedule, and its entries for bare allocations."""
    return name.startswith((RANGE, "ProfilerStep", "[memory]"))


def _operators(
    events: Sequence[Any], steps: int, key: Callable[[Operator], float]
) -> tuple[Operator, ...]:
    """Per step, largest first; the profiler counts in microseconds."""
    found = [
        Operator(
            name=event.key,
            calls=event.count / steps,
            self_ns=1e3 * event.self_cpu_time_total / steps,
            total_ns=1e3 * event.cpu_time_total / steps,
            device_ns=1e3 * event.self_device_time_total / steps,
            allocated_bytes=event.self_cpu_memory_usage / steps,
        )
        for event in events
    ]
    return tuple(sorted(found, key=key, reverse=True))


def memory_curve(events: Sequence[Mapping[str, Any]], device_type: int) -> list[tuple[float, int]]:
    """(nanoseconds since the last step's start, bytes held above it) at every change."""
    steps = [event for event in events if str(event.get("name", "")).startswith("ProfilerStep#")]
    if not steps:
        return []
    last = max(steps, key=lambda event: event["ts"])
    begin, end = last["ts"], last["ts"] + last["dur"]
    changes = sorted(
        (event["ts"], int(event["args"]["Bytes"]))
        for event in events
        if event.get("name") == "[memory]"
        and event["args"].get("Device Type", 0) == device_type
        and begin <= event["ts"] <= end
    )
    held = accumulate(change for _, change in changes)
    return [(1e3 * (at - begin), now) for (at, _), now in zip(changes, held, strict=True)]


def layer_costs(request: CountLayers, talk: Talk) -> None:
    """The task: each module's own MACs and bytes, counted on the meta device."""
    talk.enter("static cost")
    talk.answer(costs_of(build.counted(Spec.parse(request.spec).workload, request.seed)))


def costs_of(counted: Analysis) -> tuple[LayerCost, ...]:
    """A row per module that runs operators itself."""
    table: dict[str, dict[str, int]] = {}
    # A module that several parents share is one module to the clocks, under its first path.
    places = counted.recording.stack.places
    first = {name: places.first_name(place) for place, name in enumerate(places.names)}
    for op in counted.ops:
        if op.kind == "view":
            continue
        row = table.setdefault(first[op.layer], {})
        moved = op.read_bytes + op.written_bytes
        for name, value in (
            (f"{op.direction}_macs", op.macs),
            (f"{op.direction}_bytes", moved),
            ("operators", 1),
        ):
            row[name] = row.get(name, 0) + value
    return tuple(LayerCost(name, **row) for name, row in table.items())
