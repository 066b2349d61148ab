"""The tasks of a worker that is asked about an input pipeline: its reference, and its time.

The reference is what the recipe makes of the first batch on PIL's pictures. On tensors the same
random numbers are drawn, so the same is made, but for roundings of resizing and of colours, which
augmentations can enlarge.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnbench.facts import Check, Reference
from cnnbench.record import Part, Run
from cnnbench.slices import Ready, Slices
from cnnbench.spec import Spec
from cnnbench.worker import measuring, memory, modes, parts, pipeline, sampling
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Cpu, open_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from cnnbench.requests import ComputeReference, MeasureLatency
    from cnnbench.worker.pipeline import Pipeline
    from cnnbench.worker.talk import Talk

# Relative errors of a whole batch: single pictures of AutoAugment differ by up to 5 per cent, whole
# batches by less than 2; another picture is off by more than 100.
_OK, _WRONG = 0.05, 0.3


def refer(request: ComputeReference, talk: Talk) -> None:
    """What a recipe makes of its first batch on PIL's pictures, left in the scratch directory."""
    spec = Spec.parse(request.spec)
    talk.enter("build")
    built = pipeline.made(spec.plain, request.seed)
    talk.enter("reference")
    first, second = (first_batch(built, request.seed) for _ in range(2))
    with Path(request.reference_path).open("wb") as file:
        np.savez(file, *[one.numpy() for one in first])
    same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    finite = all(bool(torch.isfinite(one).all()) for one in first)
    talk.answer(Reference(same, None, None, not finite))


def measure(request: MeasureLatency, talk: Talk) -> None:
    """Build, check, warm up, sample slices on command; then time the steps one by one."""
    spec = Spec.parse(request.spec)
    # An implementation of a pipeline is none of a convolution.
    mode = replace(spec.mode, implementation="")
    flags = modes.set_flags(mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    open_device(spec.device)
    # A call ends when its batch is where it belongs, so the host's clock serves on CUDA as well.
    clock = Cpu()
    talk.enter("build")
    built, made = sampling.timed(lambda: pipeline.made(spec, request.seed), clock)
    talk.enter("check")
    check = _check(made, request)
    talk.enter("first call")
    with pipeline.running(made, spec) as (call, pace):
        first, _ = sampling.timed(call, clock)
        talk.enter("warm up")

        def burst() -> None:
            for _ in range(pace.together):
                call()

        sampling.settle(call, clock, first / 1e9, pace.ahead)
        warm = sampling.warm_up(burst, clock, request.warm_up, first)
        estimate = sampling.steady(warm or [first]) / pace.together
        probes = Probes()
        with sampling.collector_off():
            talk.answer(Ready(estimate))
            taken = measuring.slices(call, clock, estimate, probes, talk, _nothing, pace)
            talk.enter("parts")
            apart = () if pace.ahead else _parts(made, call, estimate)
    talk.answer(
        Run(
            round=request.round,
            ensemble=request.ensemble,
            slices=Slices.of(taken),
            warmup_ns=(first, *warm),
            build_ns=built,
            check=check,
            flags=flags | measuring.process() | _about(made),
            process_peak_bytes=memory.status_bytes("VmHWM"),
            parts=apart,
        )
    )


def _nothing() -> None:
    """Pictures are somewhere else on every call, so that none need be moved."""


def first_batch(made: Pipeline, seed: int) -> list[Tensor]:
    """The first batch, always with the same random numbers."""
    made.restart()
    torch.manual_seed(seed)
    return pipeline.answers(made())


def _check(made: Pipeline, request: MeasureLatency) -> Check:
    if request.reference is None:
        return Check("unchecked", reason=request.no_reference)
    with np.load(request.reference_path, allow_pickle=False) as kept:
        usual = [torch.from_numpy(kept[name]) for name in kept.files]
    return judge(first_batch(made, request.seed), usual)


def judge(found: Sequence[Tensor], usual: Sequence[Tensor]) -> Check:
    """How far a batch is from the reference's, and whether that is right."""
    if [one.shape for one in found] != [one.shape for one in usual]:
        return Check("wrong", reason="a batch of another shape than on PIL's pictures")
    off = sum(float((a - b).square().sum()) for a, b in zip(found, usual, strict=True))
    all_of_it = sum(float(one.square().sum()) for one in usual)
    error = (off / all_of_it) ** 0.5 if all_of_it else off**0.5
    reason = f"relative error {error:.1e} against PIL's pictures"
    if not error <= _WRONG:
        return Check("wrong", error if error < float("inf") else None, reason=reason)
    return Check("ok", error) if error <= _OK else Check("loose", error, reason=reason)


def _parts(made: Pipeline, call: Callable[[], Any], estimate: float) -> tuple[Part, ...]:
    """Each step of the recipe in several batches, by clock readings around it."""
    taken = [made.parts(call) for _ in range(parts.steps(estimate))]
    return tuple(Part(name, tuple(one[name] for one in taken)) for name in taken[0])


def _about(made: Pipeline) -> dict[str, Any]:
    """What the pictures are."""
    sizes = [len(one) if isinstance(one, bytes) else one.nbytes for one in made.pictures]
    said = {"pictures": len(sizes), "picture_bytes": round(sum(sizes) / len(sizes))}
    return said if made.decoder is None else {**said, "decoder": made.decoder}
