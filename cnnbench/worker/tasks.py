"""The tasks of a worker: one function per task, and their table.

Every task gets its request and a ``Talk``. It reports each phase before it enters it, so that the
runner knows where a worker was when it died.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cnnbench import analysis
from cnnbench.spec import Spec
from cnnbench.worker import (
    algorithm,
    applicability,
    build,
    ceilings,
    checking,
    environment,
    inquiry,
    layers,
    measuring,
    memory,
    modes,
    structure,
)
from cnnbench.worker.capacity import try_batch
from cnnbench.worker.devices import open_device
from cnnbench.worker.layer_times import layer_times
from cnnbench.worker.primitives import primitives
from cnnbench.worker.profile import layer_costs, trace
from cnnbench.worker.selftest import instrument

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from cnnbench.analysis.values import Optimizer, Phase
    from cnnbench.channel import Message
    from cnnbench.record import Cost
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
    # The module has been prepared for fine-tuning already: frozen parameters stay frozen.
    phase: Phase = "inference" if spec.workload.phase == "inference" else "training"
    # One table of names on both sides of the border (a test compares them).
    optimizer = cast("Optimizer", spec.workload.optimizer)
    return analysis.analyze(module, given, phase=phase, optimizer=optimizer, loss=loss).cost()


def reference(request: Message, talk: Talk) -> None:
    """The fp32 eager and float64 outputs of a workload, written to the scratch directory."""
    spec = Spec.parse(request["spec"])
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.get("cudnn_benchmark", False))
    open_device(spec.device)
    path = Path(request["reference_path"])
    wide = request["float64"]
    talk.answer(checking.compute_reference(spec, request["seed"], path, talk.enter, float64=wide))


def peak_memory(request: Message, talk: Talk) -> None:
    """Peak memory of one step, malloc caching off; afterwards, if told to, its structure.

    The peak has been sent before the structure begins, so an error there does not lose it.
    """
    spec = Spec.parse(request["spec"])
    memory.stop_malloc_caching()
    modes.compile_cache(request.get("compile_cache"))
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.get("cudnn_benchmark", False))
    device = open_device(spec.device)
    talk.enter("build (memory pass)")
    architecture, module = build.construct(spec.workload, request["seed"])
    step = build.step(spec, architecture, module, request["seed"])
    talk.enter("memory")
    talk.answer(memory.measure(step, device, request.get("warm_calls", 2)))
    if talk.next()["do"] == "structure":
        talk.enter("structure")
        talk.answer(structure.take(step, device, spec.mode))


TASKS: dict[str, Callable[[Message, Talk], None]] = {
    "describe": describe,
    "resolve": inquiry.resolve,
    "fits": inquiry.fits,
    "analyze": analyze,
    "cost": inquiry.cost,
    "reference": reference,
    "memory": peak_memory,
    "measure": measuring.measure,
    "trace": trace,
    "layer_times": layer_times,
    "primitives": primitives,
    "layer_costs": layer_costs,
    "instrument": instrument,
    "try_batch": try_batch,
    "ceilings": ceilings.ceilings,
    "layers": layers.layers,
    "algorithm": algorithm.algorithm,
    "applicability": applicability.applicability,
}
