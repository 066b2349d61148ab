"""The task that measures latency: it prepares a worker for sampling, then samples on command.

It builds, checks its output, warms up and samples slices on command. When told to finish, it checks
the output again and times the parts of a training step. Everything else happens before the first
slice or after the last.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.facts import Check, worse
from cnnbench.record import Run
from cnnbench.requests import AGAIN, TakeSlice
from cnnbench.slices import Ready, Slice, Slices, Taken
from cnnbench.spec import Spec
from cnnbench.worker import (
    agreement,
    build,
    checking,
    compiling,
    energy,
    images,
    memory,
    modes,
    nvtx,
    parts,
    remarks,
    sampling,
)
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Kind, open_device
from cnnbench.worker.placement import Placement
from cnnbench.worker.sampling import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.requests import MeasureLatency
    from cnnbench.worker.talk import Talk


# Every call does its own work.
_UNHURRIED = Pace()


def measure(request: MeasureLatency, talk: Talk) -> None:
    """Latency: build, warm up, check the output, then sample slices on command."""
    talk = nvtx.ranged(talk, asked=request.nvtx)
    spec = Spec.parse(request.spec)
    flags = modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    cache = compiling.compile_cache(request.compile_cache)
    compiling.compile_here(spec.mode, spec.device)
    device = open_device(spec.device, request.l2)
    power = energy.Power(device, talk, asked=request.energy)
    talk.enter("build")
    built, step = sampling.timed(lambda: build.built(spec, request.seed, request.weights), device)
    talk.enter("first call")
    torch.manual_seed(request.seed)
    first, result = sampling.timed(step.call, device)
    compiling.done_compiling(spec.mode)
    talk.enter("check")
    check = _check(spec, step, request, result)
    del result
    talk.enter("warm up")
    warm = sampling.warm_up(
        step.call, device, request.warm_up, 0 if cache or spec.mode.kept else first
    )
    estimate = sampling.steady(warm or [first])
    if request.round == 0 and request.reference is not None and images.given(spec.workload):
        talk.enter("every picture")
        check = agreement.complete(spec, step, Path(request.reference_path), check)
    probes = Probes()
    with sampling.collector_off():
        talk.answer(Ready(estimate))
        placement = Placement(step)
        taken = slices(step.call, device, estimate, probes, talk, placement.move)
        timed = Run(
            round=request.round,
            ensemble=request.ensemble,
            slices=Slices.of(taken),
            warmup_ns=(first, *warm),
            build_ns=built,
            check=check,
            flags=flags | device.notes() | process() | _told(step, placement),
            compile_cache=cache,
            process_peak_bytes=memory.status_bytes("VmHWM"),
            deployment=step.deployment(),
        )
        # What was timed lies between two checks: later calls may run other code than the first
        # (CUDA graphs record on the second), keep what the first found, or change their input.
        if request.round == 0 or spec.mode.compiler != "eager":
            talk.keep(timed)
            talk.enter(AGAIN)
            later = checking.afterwards(lambda: _check(spec, step, request))
            timed = replace(timed, check=worse(check, later))
        drawn = power.flags(step.call, estimate)
        if step.parts is not None:
            talk.enter("parts")
        in_parts, notes = parts.tried(step.parts, device, estimate)
        talk.enter("remarks")
        said = {"remarks": [*remarks.remarks(spec, step), *drawn.pop("remarks", ())]}
    flags = {**timed.flags, **step.facts(), **notes, **drawn, **said}
    peak = memory.status_bytes("VmHWM")
    talk.answer(replace(timed, flags=flags, process_peak_bytes=peak, parts=in_parts))


def _told(step: build.Step, placement: Placement) -> dict[str, Any]:
    return {**step.said, "moves": placement.moves, **step.types}


def _check(spec: Spec, step: build.Step, request: MeasureLatency, *first: Any) -> Check:
    known, path = request.reference, Path(request.reference_path)
    if known is None:
        return Check("unchecked", reason=request.no_reference)
    return checking.check(spec, step, request.seed, path, known, *first)


def slices(
    call: Callable[[], Any],
    device: Kind,
    estimate: float,
    probes: Probes,
    talk: Talk,
    move: Callable[[], None],
    pace: Pace = _UNHURRIED,
) -> list[Slice]:
    """Sample a call on command, until told something else.

    Args:
        call: one iteration.
        device: where it runs.
        estimate: seconds of a warm call.
        probes: run after every slice.
        talk: brings the commands.
        move: moves what the call works on to other memory.
        pace: how calls follow each other.
    """
    taken: list[Slice] = []
    while isinstance(command := talk.next(), TakeSlice):
        if not taken:
            talk.enter("measure")
        if command.move:
            move()
        turn, seconds = command.turn, command.seconds
        many = sampling.calls_per_sample(estimate, seconds, pace.together)
        iterations = 1 if device.cold else many
        taken.append(
            sampling.take_slice(
                call, device, turn, iterations, seconds, estimate, probes, pace.ahead
            )
        )
        # The threads of a parallel region spin for about a millisecond before they sleep; the next
        # worker must not begin while they do.
        sampling.rest()
        talk.answer(Taken(turn, _seconds(taken[-1])))
    return taken


def _seconds(one: Slice) -> float:
    """By which a slice is judged: without waiting for a core where all of that is known."""
    awake = one.awake_seconds if torch.get_num_threads() == 1 else None
    return awake or one.seconds


def process() -> dict[str, Any]:
    """The settings of this process while it was sampled."""
    return {"collector": False, "process_threads": memory.status_number("Threads")}
