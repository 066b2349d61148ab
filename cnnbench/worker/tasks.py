"""What a worker can be asked to do: one function per task, and the table of them.

Every task gets its request and a ``Talk``; it names the phase it is in before it enters it, so that
whoever asked knows where it was when it died.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench import analysis
from cnnbench.codec import decode
from cnnbench.record import Check, Cost, Reference, Run, Slice
from cnnbench.spec import Spec
from cnnbench.worker import (
    algorithm,
    build,
    ceilings,
    checking,
    environment,
    inquiry,
    layers,
    memory,
    modes,
    sampling,
)
from cnnbench.worker.devices import Kind, open_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.analysis.values import Phase
    from cnnbench.channel import Message
    from cnnbench.worker.talk import Talk


def describe(_request: Message, talk: Talk) -> None:
    """The environment."""
    talk.enter("describe")
    talk.answer(environment.describe())


def analyze(request: Message, talk: Talk) -> None:
    """The static cost of a workload."""
    talk.enter("static cost")
    talk.answer(static_cost(Spec.parse(request["spec"]), request["seed"]))


def static_cost(spec: Spec, seed: int) -> Cost:
    """Count a workload on the meta device."""
    found: list[Any] = []

    def construct() -> torch.nn.Module:
        architecture, module = build.construct(spec.workload, seed)
        found.append(architecture)
        return module

    module = analysis.build_on_meta(construct)
    given = build.inputs(found[0], spec.workload, seed)
    loss = build.loss_of(found[0], seed)
    # Fine-tuning has been made of the module already: what is frozen stays frozen.
    phase: Phase = "inference" if spec.workload.phase == "inference" else "training"
    return analysis.analyze(module, given, phase=phase, optimizer="momentum", loss=loss).cost()


def reference(request: Message, talk: Talk) -> None:
    """The fp32 eager and float64 outputs of a workload, left in the scratch directory."""
    spec = Spec.parse(request["spec"])
    modes.set_flags(spec.mode, spec.threads)
    open_device(spec.device)
    path = Path(request["reference_path"])
    wide = request["float64"]
    talk.answer(checking.compute_reference(spec, request["seed"], path, talk.enter, float64=wide))


def peak_memory(request: Message, talk: Talk) -> None:
    """Peak memory of one step, malloc caching off."""
    spec = Spec.parse(request["spec"])
    memory.stop_malloc_caching()
    _compile_cache(request)
    modes.set_flags(spec.mode, spec.threads)
    device = open_device(spec.device)
    talk.enter("build (memory pass)")
    architecture, module = build.construct(spec.workload, request["seed"])
    step = build.step(spec, architecture, module, request["seed"])
    talk.enter("memory")
    talk.answer(memory.measure(step, device))


def measure(request: Message, talk: Talk) -> None:
    """Latency: build, warm up, check the output, then sample slices on command."""
    spec = Spec.parse(request["spec"])
    flags = modes.set_flags(spec.mode, spec.threads)
    cache = _compile_cache(request)
    device = open_device(spec.device)
    talk.enter("build")
    built, step = sampling.timed(lambda: _build(spec, request["seed"]), device)
    talk.enter("first call")
    torch.manual_seed(request["seed"])
    first, result = sampling.timed(step.call, device)
    talk.enter("check")
    check = _check(spec, step.observe(result), request)
    del result
    talk.enter("warm up")
    warm = sampling.warm_up(step.call, device, sampling.WarmUp.of(request["warm_up"]))
    estimate = sampling.steady(warm)
    with sampling.collector_off():
        talk.answer({"estimate": estimate})
        slices = _slices(step, device, estimate, talk)
    talk.answer(
        Run(
            round=request["round"],
            ensemble=request["ensemble"],
            slices=tuple(slices),
            warmup_ns=(first, *warm),
            build_ns=built,
            check=check,
            flags=flags | {"collector": False, "process_threads": memory.status_number("Threads")},
            compile_cache=cache,
            process_peak_bytes=memory.status_bytes("VmHWM"),
        )
    )


def _build(spec: Spec, seed: int) -> build.Step:
    architecture, module = build.construct(spec.workload, seed)
    return build.step(spec, architecture, module, seed)


def _check(spec: Spec, outputs: list[torch.Tensor], request: Message) -> Check:
    if request.get("reference") is None:
        return Check("unchecked", reason=request.get("no_reference", "no reference"))
    known = decode(Reference, request["reference"])
    return checking.compare(spec, outputs, Path(request["reference_path"]), known)


def _slices(step: build.Step, device: Kind, estimate: float, talk: Talk) -> list[Slice]:
    slices: list[Slice] = []
    while (command := talk.next())["do"] == "slice":
        if not slices:
            talk.enter("measure")
        seconds = command["seconds"]
        iterations = sampling.calls_per_sample(estimate, seconds)
        slices.append(
            sampling.take_slice(step.call, device, command["turn"], iterations, seconds, estimate)
        )
        # The threads of a parallel region spin for about a millisecond before they sleep; the next
        # worker shall not begin while they do.
        sampling.rest()
        talk.answer({"turn": command["turn"]})
    return slices


def _compile_cache(request: Message) -> str | None:
    """Give the compiler a cache of this spec's own; the first round finds it empty."""
    folder = request.get("compile_cache")
    if folder is None:
        return None
    warm = Path(folder).exists()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    # In this process instead of a pool: a pool's processes would still be starting when sampling
    # begins.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    return "warm" if warm else "cold"


TASKS: dict[str, Callable[[Message, Talk], None]] = {
    "describe": describe,
    "resolve": inquiry.resolve,
    "fits": inquiry.fits,
    "analyze": analyze,
    "cost": inquiry.cost,
    "reference": reference,
    "memory": peak_memory,
    "measure": measure,
    "ceilings": ceilings.ceilings,
    "layers": layers.layers,
    "algorithm": algorithm.algorithm,
}
