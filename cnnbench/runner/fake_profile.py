"""Pretended profiles: the answers of the profiling tasks, made up but of the right form."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.clocked import Clocked, ClockedPart, ClockedTurn, ModuleFacts, StepFacts
from cnnbench.errors import WorkerRaised
from cnnbench.profile import LayerCost, LayerTimes, Operator, Primitive, ProfilerTrace, Scope

if TYPE_CHECKING:
    from typing import Any

    from cnnbench.messages import Request
    from cnnbench.requests import TraceStep
    from cnnbench.spec import Spec

_FILE = "fake_1.1.pt.trace.json.gz"


def trace(request: TraceStep, ns: int) -> ProfilerTrace:
    """The trace of a step that takes ``ns``, with a file without events."""
    folder = Path(request.trace_folder)
    with gzip.open(folder / _FILE, "wt", encoding="utf8") as file:
        json.dump({"traceEvents": []}, file)
    if request.stacks:
        (folder / "stacks.folded").write_text("fake;conv 1\n", encoding="utf8")
    operators = (
        Operator("aten::mkldnn_convolution", 1.0, 0.6 * ns, 0.6 * ns),
        Operator("aten::clamp_min", 1.0, 0.2 * ns, 0.2 * ns, 0.0, 4096.0),
    )
    return ProfilerTrace(
        file=_FILE,
        plain_ns=(ns,) * 3,
        profiled_ns=(2 * ns,) * request.steps,
        operators=operators,
        memory_ns=(0.1 * ns, 0.9 * ns),
        memory_bytes=(4096, 0),
        heaviest={"relu": "aten::clamp_min"},
        stacks="stacks.folded" if request.stacks else None,
    )


def layers(spec: Spec, ns: int) -> LayerTimes:
    """A convolution and an activation."""
    _refuse_compiled(spec)
    back = 0.5 if spec.workload.phase != "inference" else 0.0
    scopes = (
        Scope("", "Fake", False, 1, 0.05 * ns),
        Scope("conv", "Conv2d", True, 1, (0.7 - back) * ns, back * ns),
        Scope("relu", "ReLU", True, 1, 0.2 * ns),
    )
    outside = {"before forward": 0.06 * ns}
    plain, timed, doubled = ((round(much * ns),) * 8 for much in (1.0, 1.01, 1.018))
    return LayerTimes(scopes, outside, plain, timed, doubled, 600.0, ("made up",))


def primitives(spec: Spec, ns: int) -> tuple[Primitive, ...]:
    """A convolution and the reorder before it."""
    _refuse_compiled(spec)
    return (
        Primitive("conv", "forward", "reorder", "jit:blk", 2, 0.1 * ns),
        Primitive("conv", "forward", "convolution", "jit:fake", 1, 0.5 * ns),
    )


_CLOCKED = (("", "Fake", 0.05), ("conv", "Conv2d", 0.7), ("relu", "ReLU", 0.2),
            ("before forward", "", 0.05))  # fmt: skip


def clocked(spec: Spec, ns: int) -> Clocked:
    """The same modules, ready to be timed."""
    _refuse_compiled(spec)
    return Clocked(ns / 1e9, tuple(ClockedPart(name, kind, 1) for name, kind, _ in _CLOCKED))


def clocked_turn(request: Request[Any], turn: int, ns: float, slower: float) -> ClockedTurn:
    """A turn in which a slower side spends its time in the convolution."""
    chance = random.Random(f"{request.message}/{turn}")
    own = [share * ns * (1 + chance.uniform(-1e-3, 1e-3)) for _, _, share in _CLOCKED]
    own[1] += slower
    whole = sum(own)
    return ClockedTurn(turn, whole, 1.01 * whole, tuple(own), 5, 0.0)


def facts(spec: Spec) -> StepFacts:
    """What these modules do."""
    _refuse_compiled(spec)
    kernel = "nhwc" if spec.mode.memory_format == "channels_last" else "nchw"
    return StepFacts((
        ModuleFacts("", "Fake"),
        ModuleFacts("conv", "Conv2d", kernels={f"convolution fake:{kernel} f32": 1}),
        ModuleFacts("relu", "ReLU"),
    ))  # fmt: skip


COSTS = (
    LayerCost("conv", forward_macs=1_000_000, forward_bytes=200_000, operators=1),
    LayerCost("relu", forward_bytes=100_000, operators=1),
)


def _refuse_compiled(spec: Spec) -> None:
    if spec.mode.compiler != "eager":
        text = f"mode {spec.mode.text}: layers cannot be separated in compiled code"
        raise WorkerRaised(text, "unsupported")
