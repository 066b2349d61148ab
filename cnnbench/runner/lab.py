"""From layers and implementations to a job: the request to the convolution lab, prepared.

What does not apply, and what would take too long, is known before anything is measured and becomes
a record that says so. Measuring itself is that of every run.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cnnbench import machine, suite
from cnnbench.asking import AllGpus
from cnnbench.catalogue import is_glob
from cnnbench.conv import catalogue
from cnnbench.conv.layers import ConvLayer, Extraction
from cnnbench.conv.problem import UNITS
from cnnbench.errors import UsageError
from cnnbench.plan import Plan
from cnnbench.requests import CheckApplicability, ExtractLayers
from cnnbench.runner import campaign, gpus, inquiry
from cnnbench.runner.ahead import Ahead
from cnnbench.runner.campaign import Job
from cnnbench.runner.device import here, memory_limit, of_specs, shared
from cnnbench.runner.executor import executor
from cnnbench.spec import Device, Mode, Spec, Workload, imports_compiler
from cnnbench.suite import Grid
from cnnbench.usual import BACKWARD
from cnnbench.usual import IMPLEMENTATIONS as USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.facts import Applicability
    from cnnbench.runner.executor import AnyPool, Executor

ALL, NONE = "all", "none"
PRECISIONS = ("fp32", "bf16", "fp16", "tf32")
# The library's own ways, if the user says nothing.
MODES = ("eager", "channels_last", "amp=bf16")

# Many short measurements: a layer is small, so that shorter turns hold as many calls.
PLAN = Plan(
    rounds=3,
    slices=5,
    slice_seconds=0.03,
    turn_budget=2.0,
    warm_up_calls=5,
    warm_up_seconds=0.05,
    warm_up_limit=1.0,
    ceilings=True,
)
# Seconds of a whole run, if the user says nothing: the classic layers in two dtypes in 5 minutes.
BUDGET = 255.0


@dataclass(frozen=True)
class LabOrder:
    """The request of a user to the lab.

    Attributes:
        grid: device, threads, and the modes that are the library's own; at most one model,
            whose layers join and which is measured as a whole too. Without batches every layer has
            what it brings along, or 1.
        layers: of a suite, or given one by one.
        implementations, substitutes: names; ``all`` for what applies and is not too slow, ``none``.
        dtypes: of tensors.
    """

    grid: Grid = field(default_factory=lambda: Grid((), MODES, ()))
    layers: tuple[ConvLayer, ...] = ()
    implementations: tuple[str, ...] = (ALL,)
    substitutes: tuple[str, ...] = (NONE,)
    dtypes: tuple[str, ...] = ("fp32",)

    @property
    def model(self) -> str | None:
        """The network whose layers join."""
        return self.grid.models[0] if self.grid.models else None


@dataclass(frozen=True)
class Lab:
    """A prepared request.

    Attributes:
        job: what is measured, what is not and why.
        extraction: the convolutions of the order's model.
        layers: every layer once.
    """

    job: Job
    extraction: Extraction | None
    layers: tuple[ConvLayer, ...]


@contextmanager
def begun(order: LabOrder, plan: Plan = PLAN, who: str = "process") -> Iterator[Lab]:
    """Prepare a request, with the starters of its rounds begun; they are gone when it ends."""
    _check_names(order)  # before anything is started
    if isinstance(order.grid.device, AllGpus):  # each GPU has starters of its own
        yield prepare(order, plan, who)
        return
    own = suite.modes(order.grid.modes, order.grid.device or Device())
    compiling = any(itertools.starmap(imports_compiler, itertools.product(own, order.grid.phases)))
    with Ahead(executor(who), plan.rounds, range(plan.rounds) if compiling else ()) as ahead:
        found = prepare(order, plan, ahead.asked)
        # Whether the machine is quiet is asked next, and imports are not what is meant.
        ahead.wait()
        yield replace(found, job=replace(found.job, executor=ahead))


def prepare(
    order: LabOrder, plan: Plan = PLAN, who: Executor | str = "process", *, dry: bool = False
) -> Lab:
    """Prepare a request; asks a worker what the machine is and what applies.

    Args:
        order: what a user asked for.
        plan: how to measure it.
        who: measures, or its name.
        dry: nothing is measured here, so the device need not be here.

    Raises:
        UsageError: something in the order is wrong or not possible here.
        WorkerError: the model cannot be taken apart.
    """
    _check_names(order)
    asked = order.grid.device
    if isinstance(asked, AllGpus) and order.grid.threads is None:
        order = replace(order, grid=replace(order.grid, threads=(1,)))
    _own_ways(order, asked or Device())
    chosen = executor(who) if isinstance(who, str) else who
    with inquiry.asking(chosen) as pool:
        environment = inquiry.describe(pool)
        device = of_specs(asked) if dry and asked is not None else here(asked, environment)
        found = None
        if order.model is not None:
            found = inquiry.ask(pool, ExtractLayers(name=order.model), plan.timeout)
        layers = order.layers + (found.layers if found is not None else ())
        if not layers:
            raise UsageError(f"{order.model} has no two-dimensional convolution")
        shape = _shape(order, pool, plan.timeout)
        specs = tuple(dict.fromkeys(_specs(order, layers, device, shape)))
        impossible = _impossible(order, plan, pool, specs)
    macs = {spec.id: _macs(spec) for spec in specs}
    limit = plan.memory_limit or memory_limit(device)
    plan, share = replace(plan, memory_limit=limit), shared(asked, environment, specs)
    if share is not None:
        environment = gpus.seen_by_each(environment, share)
    job = Job(specs, impossible, macs, plan, environment, chosen, share=share)
    job = replace(job, plan=plan.within_budget(job.specs_each, device.kind))
    return Lab(job, found, layers)


def usual_ones(
    device: Device | None, unit: str | None = None, direction: str | None = None
) -> tuple[str, ...]:
    """The implementations that are compared where nothing is named, as far as a device has them."""
    kind = "cpu" if device is None else device.kind
    names = BACKWARD.get(direction or "", USUAL)
    names = ("folded", *names) if "bn" in UNITS[unit or "conv"] else names
    return tuple(name for name in names if kind in catalogue.entry(name).kinds)


def usual_modes(device: Device | None) -> tuple[str, ...]:
    """The library's own ways that are compared where no layer is named.

    Without bfloat16 on a CPU that has no instructions for it, where it takes many times as long.
    """
    on_cpu = device is None or device.kind == "cpu"
    if on_cpu and machine.emulates_bf16(machine.instruction_sets()):
        return tuple(one for one in MODES if "bf16" not in one)
    return MODES


def changed(job: Job, specs: Sequence[Spec]) -> Job:
    """Other specs of a model with the same plan, all rounds of them."""
    known = suite.facts([spec.workload.architecture for spec in specs])
    macs = {spec.id: suite.rough_macs(spec.workload, known) for spec in specs}
    plan = replace(job.plan, budget=None, ceilings=False)
    return replace(job, specs=tuple(dict.fromkeys(specs)), impossible={}, macs=macs, plan=plan)


def _check_names(order: LabOrder) -> None:
    if order.model is not None and (
        is_glob(order.model) or suite.select((order.model,)) != (order.model,)
    ):
        raise UsageError(f"--from-model takes one model, not '{order.model}'")
    for name in order.implementations:
        if name not in (ALL, NONE):
            catalogue.entry(name)
    for name in order.substitutes:
        if name not in (ALL, NONE):
            catalogue.substitute(name)
    for name in order.dtypes:
        if name not in PRECISIONS:
            raise UsageError(f"--dtype {name} is not one of {', '.join(PRECISIONS)}")
    trains = set(order.grid.phases) != {"inference"}
    if trains and any(one.problem().direction for one in order.layers):
        raise UsageError(
            "a backward pass by itself is no step of training; drop --phase, or --direction to"
            " measure forward and backward together"
        )


def _shape(order: LabOrder, pool: AnyPool, seconds: float) -> tuple[int, ...]:
    """One sample of the order's model; empty without a model."""
    if order.model is None:
        return ()
    names = (order.model,)
    outside, bad = campaign.facts_outside(pool, Grid(names), seconds)
    if bad:
        raise UsageError(bad[order.model])
    known = suite.facts(names) | outside
    return known[order.model].input


def _specs(
    order: LabOrder, layers: Sequence[ConvLayer], device: Device, shape: tuple[int, ...]
) -> Iterator[Spec]:
    """Specs layer by layer: modes of the library, implementations, substitutes."""
    own, made = _own_ways(order, device), list(_made_ways(order, device))
    # What can stand in is computed by the library, in the tensors' own dtype.
    plain = [mode for mode in own if not mode.precision.startswith("amp")]
    for threads in order.grid.threads or (machine.default_threads(),):
        for batch in order.grid.batches or (1,):
            if order.model is not None:
                for mode in own:
                    for phase in order.grid.phases:
                        whole = Workload(order.model, batch, shape, phase)
                        yield Spec(whole, mode, device, threads)
        for layer in layers:
            for batch, phase in itertools.product(
                order.grid.batches or layer.batches or (1,), order.grid.phases
            ):
                workload = replace(layer.workload(batch), phase=phase)
                for mode in dict.fromkeys([*own, *made]):
                    yield Spec(workload, mode, device, threads)
                for name in _substitutes(order):
                    other = replace(workload, architecture=f"{workload.architecture}~{name}")
                    for mode in plain:
                        yield Spec(other, mode, device, threads)


def _own_ways(order: LabOrder, device: Device) -> list[Mode]:
    """Modes of the library, in every dtype; plain ones first, because others need them."""
    asked = suite.modes(order.grid.modes, device)
    ways = [Mode.parse(dtype, device.kind) for dtype in order.dtypes]
    for dtype in order.dtypes:
        for mode in asked:
            free = mode.precision == "fp32"
            ways += [replace(mode, precision=dtype)] if free else [mode]
    return list(dict.fromkeys(ways))


def _made_ways(order: LabOrder, device: Device) -> Iterator[Mode]:
    """Every implementation in its memory format; in both if it accepts either."""
    formats = {mode.memory_format for mode in _own_ways(order, device)}
    for dtype in order.dtypes:
        for name in _implementations(order, device):
            entry = catalogue.entry(name)
            # Formats without a preference differ only for what the library does inside.
            both = [*sorted(formats, reverse=True)] if name in _EITHER else ["contiguous"]
            for memory_format in [entry.layout] if entry.layout else both:
                yield Mode(precision=dtype, memory_format=memory_format, implementation=name)


# Implementations by the library, which does something else in either memory format.
_EITHER = {"prepacked", "folded"}


def _implementations(order: LabOrder, device: Device) -> list[str]:
    if NONE in order.implementations:
        return []
    named = [name for name in order.implementations if name != ALL]
    if ALL in order.implementations:
        named += [one.name for one in catalogue.entries() if device.kind in one.kinds]
    return list(dict.fromkeys(named))


def _substitutes(order: LabOrder) -> list[str]:
    if NONE in order.substitutes:
        return []
    named = [catalogue.substitute(name).name for name in order.substitutes if name != ALL]
    if ALL in order.substitutes:
        named += [one.name for one in catalogue.substitutes()]
    return list(dict.fromkeys(named))


def _macs(spec: Spec) -> int:
    architecture = spec.workload.group.architecture
    if not spec.workload.is_layer:
        return suite.rough_macs(spec.workload, suite.facts([architecture]))
    return ConvLayer(architecture, spec.workload.input).problem(spec.workload.batch).macs


def _impossible(
    order: LabOrder, plan: Plan, pool: AnyPool, specs: Sequence[Spec]
) -> dict[str, str]:
    """Specs that are impossible, or too slow unless they were named."""
    ours = {spec.id: spec for spec in specs if spec.workload.is_layer}
    found = inquiry.ask(pool, CheckApplicability(specs=tuple(ours)), plan.timeout)
    reasons = {
        name: found[name].reason or _slow(order, plan.rounds, ours[name], found[name])
        for name in ours
    }
    return {name: reason for name, reason in reasons.items() if reason}


# Multiply-accumulates per second of one core where an implementation is far from what the machine
# can do, and bytes of prepared weights per second. They decide only what is left out.
_SLOW_MACS: dict[str, float] = {
    "direct": 0.5e9, "kn2row": 3e9, "fft": 1.5e9, "depthwise_taps": 0.5e9,
    "toeplitz_dense": 2e9, "toeplitz_sparse": 0.3e9, "winograd_f6": 2e9,
}  # fmt: skip
_NATIVE_HALF_MACS = 0.7e9
_PREPARED_BYTES = 1.2e8
# What is expected to be prepared and called in one measurement.
_CALLS_PER_ROUND, _PREPARATIONS_BESIDE = 15, 5
# Longer than this, and it is measured only if it is asked for by name.
MOST_SECONDS = 4.0


def _slow(order: LabOrder, rounds: int, spec: Spec, done: Applicability) -> str:
    name = spec.mode.implementation
    if not name or name in order.implementations or spec.device.kind != "cpu":
        return ""
    seconds = rough_seconds(spec, rounds, done)
    if seconds <= MOST_SECONDS:
        return ""
    return f"left out: would take about {seconds:.0f} s; name it with --impl to measure it"


def rough_seconds(spec: Spec, rounds: int, done: Applicability) -> float:
    """Seconds that the calls and preparations of an implementation take in one measurement."""
    name = spec.mode.implementation
    rate = _SLOW_MACS.get(name, 2e10)
    macs = done.executed_macs
    if name == "native":
        macs, rate = _macs(spec), 2e10 if spec.mode.precision == "fp32" else _NATIVE_HALF_MACS
    call = (macs or 0) / rate
    # Weights as they are, or merely reordered, take no time worth a thought.
    preparation = (done.prepared_bytes or 0) / _PREPARED_BYTES if name in _TRANSFORMS else 0.0
    return rounds * _CALLS_PER_ROUND * call + (rounds + _PREPARATIONS_BESIDE) * preparation


_TRANSFORMS = {"fft", "winograd_f2", "winograd_f4", "winograd_f6", "toeplitz_dense",
               "toeplitz_sparse"}  # fmt: skip
