"""What an implementation of a convolution does: formulas, workspace, preparation, conversions.

Runs in a separate process, never while timing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnbench import implementations, machine
from cnnbench.conv.problem import of_workload
from cnnbench.errors import Unsupported
from cnnbench.implementations.unit import Conv, ConvUnit, Layer
from cnnbench.spec import Mode, Spec
from cnnbench.worker import (
    applicability,
    build,
    convolution,
    events,
    layer_times,
    memory,
    modes,
    onednn,
)
from cnnbench.worker.devices import Kind, open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.conv.problem import ConvProblem
    from cnnbench.facts import Algorithm
    from cnnbench.implementations import Implementation
    from cnnbench.requests import DescribeAlgorithm
    from cnnbench.worker.talk import Talk

# Preparations are repeated, but a slow one (seconds for a sparse matrix) is not repeated for long.
_MOST_PREPARATIONS, _ENOUGH_NS = 5, 1_000_000_000
_WARM_CALLS = 2
# Calls during which oneDNN logs the time of each primitive.
_MOST_TOLD = 10
_COPY = "aten::copy_"
# How long the convolutions of a substitute are timed singly.
_STAGE_SECONDS = 0.06


def algorithm(request: DescribeAlgorithm, talk: Talk) -> None:
    """The ``facts.Algorithm`` of a spec whose workload is a layer."""
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    device = open_device(spec.device)
    talk.enter("build (algorithm pass)")
    talk.answer(measure(spec, request.seed, device))


def measure(spec: Spec, seed: int, device: Kind) -> Algorithm:
    """Formulas and measured figures of a layer in a mode.

    Raises:
        Unsupported: the workload is not a layer, or the implementation does not apply to it.
    """
    if not spec.workload.is_layer:
        raise Unsupported(f"'{spec.workload.architecture}' is not a single layer")
    convolution.check(spec)
    problem = of_workload(spec.workload, spec.mode)
    how = implementations.implementation(spec.mode.implementation)
    architecture, module = build.construct(spec.workload, seed)
    preparations = _preparations(spec, module, how, problem, device)
    step = build.step(spec, architecture, module, seed)
    workspace, on_cpu = _workspace(step, spec, device), spec.device.kind == "cpu"
    told = _told(step, device, counted=_only_lays_out(spec)) if on_cpu else []
    return replace(
        applicability.described(spec),
        measured_workspace_bytes=workspace,
        preparation_ns=preparations,
        primitive_ns=tuple(whole for whole, _ in told),
        reorder_ns=tuple(reorders for _, reorders in told),
        allocator=machine.allocator(),
        stage_ns=_stages(step, spec, device),
    )


def _only_lays_out(spec: Spec) -> bool:
    """Whether torch copies tensors in a step for nothing but their layout.

    Autocast copies them to another type, and our own implementations where they need room.
    """
    mode = spec.mode
    return not mode.precision.startswith("amp") and mode.implementation in {"", "prepacked"}


def _stages(step: build.Step, spec: Spec, device: Kind) -> dict[str, int]:
    """Nanoseconds of each convolution of a substitute, and under an empty text of the rest.

    What follows a convolution within its unit counts towards it; of a unit that stands alone every
    operator is timed by itself. Means over the quieter half of calls with two clock readings at
    each module. A step that is compiled, exported or captured has no modules.
    """
    other, problem = convolution.substitute_of(spec.workload), of_workload(spec.workload)
    stages = (problem,) if other is None else other.stages(problem)
    apart = isinstance(step.module, ConvUnit)
    if spec.mode.compiler != Mode.compiler or (other is None and not apart):
        return {}
    clock = layer_times.clock_of(spec, device)
    began = time.perf_counter()
    step.call()
    device.synchronize()
    rounds = layer_times.rounds_for(_STAGE_SECONDS, time.perf_counter() - began)
    taken = layer_times.measure(step, device, clock, rounds)
    texts = _parts(problem) if apart else _by_module(step.module, stages)
    found: dict[str, int] = {}
    for scope in taken.scopes:
        text = texts.get(scope.name, "")
        found[text] = found.get(text, 0) + round(scope.forward_ns + scope.backward_ns)
    found[""] = found.get("", 0) + round(sum(taken.outside.values()))
    return found


def _parts(problem: ConvProblem) -> dict[str, str]:
    """Path of every operator of a unit -> its text: that of the bare convolution, or its word."""
    bare = replace(problem, post_ops=())
    return {"conv": bare.text} | {word: word for word in problem.post_ops}


def _by_module(module: nn.Module, stages: Sequence[ConvProblem]) -> dict[str, str]:
    """Path of every module that belongs to a stage -> the text of the stage."""
    left, found = list(stages), dict[str, str]()
    for path, one in module.named_modules():
        conv = one.get_submodule("conv") if isinstance(one, ConvUnit) else one
        stage = None if path in found else _stage_of(conv, left)
        if stage is None:
            continue
        left.remove(stage)
        for inner, _ in one.named_modules(prefix=path):
            found[inner] = stage.text
    return found


def _stage_of(module: nn.Module, stages: Sequence[ConvProblem]) -> ConvProblem | None:
    """The convolution that a module is."""
    if not isinstance(module, Conv):
        return None
    alike = (module.in_channels, module.out_channels, module.kernel_size, module.groups)
    same = [one for one in stages if (one.c, one.k, (one.r, one.s), one.groups) == alike]
    return same[0] if same else None


def _told(step: build.Step, device: Kind, *, counted: bool) -> list[tuple[int, int]]:
    """Nanoseconds in primitives and copies of warm calls, and the part in conversions of layout.

    Empty if oneDNN ran nothing. Logging makes the call longer but not its primitives, because
    oneDNN times them inside. Where torch itself converts between NCHW and NHWC, it copies, which
    oneDNN knows nothing of; ``counted`` says that its copies do nothing else.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return []
    found: list[tuple[int, int]] = []
    copies = events.inside_ns(events.of_call(step.call, device), _COPY) if counted else 0
    began = time.perf_counter_ns()
    while len(found) < _MOST_TOLD and time.perf_counter_ns() - began < _ENOUGH_NS:
        seen = [one for line in onednn.lines_of(step.call) if (one := onednn.executed(line))]
        if not seen:
            return []
        reorders = sum(one.ns for one in seen if one.kind == "reorder")
        found.append((round(sum(one.ns for one in seen)) + copies, round(reorders) + copies))
    return found


def _preparations(
    spec: Spec, module: nn.Module, how: Implementation, problem: ConvProblem, device: Kind
) -> tuple[int, ...]:
    """Durations of several preparations; empty where the library takes the weights as they are."""
    if not spec.mode.implementation or how.flags:
        return ()
    layer, _ = modes.prepare(spec.mode, spec.device, module, ())
    if not isinstance(layer, Layer):
        return ()
    taken: list[int] = []
    while len(taken) < _MOST_PREPARATIONS and sum(taken) < _ENOUGH_NS:
        device.synchronize()
        start = time.perf_counter_ns()
        convolution.prepare(layer, how, problem)
        device.synchronize()
        taken.append(time.perf_counter_ns() - start)
    return tuple(taken)


def _workspace(step: build.Step, spec: Spec, device: Kind) -> int:
    """Bytes beyond the output at the peak of one warm call, as torch's allocator saw them.

    Memory that a library's kernel allocates elsewhere is not seen.
    """
    for _ in range(_WARM_CALLS):
        output = step.call()
    produced = memory.storage_bytes(step.observe(output))
    del output
    if spec.device.kind == "cpu":
        return memory.allocator_peak(step.call) - produced
    device.synchronize()
    before = torch.cuda.memory_allocated(spec.device.index)
    return device.peaks(step.call)["cuda_allocated_bytes"] - before - produced
