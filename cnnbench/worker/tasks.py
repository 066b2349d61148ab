"""The tasks of a worker: one function per task, and their table.

Every task gets its request and a ``Talk``. It reports each phase before it enters it, so that the
runner knows where a worker was when it died.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench import recipes, requests
from cnnbench.asking import CALIBRATED, RANDOM
from cnnbench.spec import Spec
from cnnbench.worker import (
    agreement,
    algorithm,
    applicability,
    build,
    capacity,
    ceilings,
    cold_start,
    compiling,
    environment,
    images,
    inquiry,
    layers,
    measuring,
    memory,
    modes,
    runtimes,
    structure,
    values,
    weights,
)
from cnnbench.worker import reference as references
from cnnbench.worker.devices import open_device
from cnnbench.worker.gradients import gradients
from cnnbench.worker.layer_times import layer_times
from cnnbench.worker.module_clocks import clock_modules
from cnnbench.worker.module_facts import module_facts
from cnnbench.worker.operator_times import time_operators
from cnnbench.worker.operator_traces import trace_each, trace_operators
from cnnbench.worker.primitives import primitives
from cnnbench.worker.profile import layer_costs, trace
from cnnbench.worker.selftest import instrument

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from cnnbench.messages import Request
    from cnnbench.worker.talk import Talk


def describe(request: requests.Describe, talk: Talk) -> None:
    """The environment."""
    talk.enter("describe")
    found = environment.describe()
    talk.answer(runtimes.described(found) if request.runtimes else found)


def count_images(request: requests.CountImages, talk: Talk) -> None:
    """How many pictures a directory holds."""
    talk.enter("images")
    talk.answer(images.count(request.directory))


def count_cost(request: requests.CountCost, talk: Talk) -> None:
    """The static cost of a workload."""
    talk.enter("static cost")
    talk.answer(build.counted(Spec.parse(request.spec).workload, request.seed).cost())


def reference(request: requests.ComputeReference, talk: Talk) -> None:
    """The fp32 eager and float64 outputs of a workload, written to the scratch directory."""
    spec = Spec.parse(request.spec)
    if recipes.is_pipeline(spec.workload.architecture):
        _of_pipelines().refer(request, talk)
        return
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    open_device(spec.device)
    talk.enter("build")
    architecture, module = build.construct(spec.workload, request.seed)
    kind = weights.kind(spec.workload)
    if kind == CALIBRATED and request.calibrate is None:
        kind = RANDOM  # calibrating failed before
    elif kind == CALIBRATED and request.calibrate is not None:
        talk.enter("calibrate")
        own = modes.coarsest(module)
        build.calibrate(spec.workload, architecture, module, request.seed, request.calibrate)
        if own is not torch.float32:
            # Calibrated in float32; every process rounds the same arrays to the network's type.
            _, module = build.construct(spec.workload, request.seed, request.calibrate)

    def step(of: Spec) -> build.Step:
        return build.step(of, architecture, module, request.seed)

    found = references.compute(
        spec, step, request.seed, Path(request.reference_path), talk.enter,
        float64=request.float64, precisions=request.precisions,
    )  # fmt: skip
    # The runner asks again without calibration where that fails.
    plain = kind == CALIBRATED and request.calibrate is None
    found = replace(found, weights=RANDOM if plain else kind)
    if request.every_image and images.given(spec.workload):
        talk.enter("reference on every picture")
        path = Path(request.reference_path)
        found = agreement.refer(spec, architecture, step(spec), path, found)
    talk.answer(found)


def latency(request: requests.MeasureLatency, talk: Talk) -> None:
    """Time of a call, of a network or of an input pipeline."""
    pipeline = recipes.is_pipeline(Spec.parse(request.spec).workload.architecture)
    (_of_pipelines() if pipeline else measuring).measure(request, talk)


def _of_pipelines() -> ModuleType:
    """The tasks of input pipelines: torchvision's v2 transforms import torch's compiler."""
    return importlib.import_module("cnnbench.worker.pipeline_tasks")


def peak_memory(request: requests.MeasureMemory, talk: Talk) -> None:
    """Peak memory of one step, malloc caching off; afterwards, if told to, its structure.

    The peak has been sent before the structure begins, so an error there does not lose it.
    """
    spec = Spec.parse(request.spec)
    memory.stop_malloc_caching()
    compiling.compile_cache(request.compile_cache)
    compiling.compile_here(spec.mode)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    device = open_device(spec.device)
    talk.enter("build (memory pass)")
    step = build.built(spec, request.seed, request.weights)
    talk.enter("memory")
    talk.answer(memory.measure(step, device, request.warm_calls))
    if isinstance(talk.next(), requests.TakeStructure):
        talk.enter("structure")
        talk.answer(structure.take(step, device, spec.mode))


# One function per task; each takes the request that it stands beside.
TASKS: dict[type[Request[Any]], Callable[[Any, Talk], None]] = {
    requests.Describe: describe,
    requests.Resolve: inquiry.resolve,
    requests.FindCode: inquiry.find_code,
    requests.ListTimm: inquiry.list_timm,
    requests.Fits: inquiry.fits,
    requests.CountImages: count_images,
    requests.CountCost: count_cost,
    requests.ReportCost: inquiry.report_cost,
    requests.TakeGradients: gradients,
    requests.ComputeReference: reference,
    requests.MeasureMemory: peak_memory,
    requests.PrepareColdStart: cold_start.prepare,
    requests.TakeValues: values.values,
    requests.MeasureLatency: latency,
    requests.TraceStep: trace,
    requests.TimeLayers: layer_times,
    requests.ClockModules: clock_modules,
    requests.DescribeModules: module_facts,
    requests.ListPrimitives: primitives,
    requests.CountLayers: layer_costs,
    requests.MeasureClock: instrument,
    requests.TryBatch: capacity.try_batch,
    requests.ProbeCeilings: ceilings.ceilings,
    requests.AskRoom: capacity.room,
    requests.ExtractLayers: layers.layers,
    requests.DescribeAlgorithm: algorithm.algorithm,
    requests.CheckApplicability: applicability.applicability,
    requests.TraceOperators: trace_operators,
    requests.TraceEach: trace_each,
    requests.TimeOperators: time_operators,
}
