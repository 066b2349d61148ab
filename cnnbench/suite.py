"""Grids and their expansion: models x phases x batches x modes on one device.

Knows the catalogue, not how anything is built or measured.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnbench import axes, catalogue, deployment, inputs, machine, recipes
from cnnbench.asking import INPUT_FACTORY, INPUTS, REGIONS
from cnnbench.conv import catalogue as implementations
from cnnbench.errors import Unsupported, UsageError
from cnnbench.spec import (
    LAYER_PREFIX,
    OPTIMIZERS,
    PHASES,
    SENSIBLE_MODES,
    Device,
    Mode,
    Optimizer,
    Phase,
    Spec,
    Workload,
    arguments_of,
    is_layer,
)


@dataclass(frozen=True)
class Facts:
    """The facts about an architecture that expansion needs.

    Attributes:
        input: shape of one sample.
        macs: of one sample, if known; for estimates of time only.
        min_size: smallest height and width it takes, if known.
        assumed: the input is only a guess.
    """

    input: tuple[int, ...]
    macs: int | None = None
    min_size: int | None = None
    assumed: bool = False


@dataclass(frozen=True)
class Grid:
    """The request of a user: every combination is a spec.

    Attributes:
        models: names and patterns as ``catalogue.select`` takes them; names with a colon are not of
            the catalogue.
        modes: mode texts, or ``all``; none for those that are usual on the device.
        batches: of workloads; none for those that are usual on the device.
        phases: of workloads.
        sizes: heights and widths in place of the architecture's own.
        input: the whole sample shape in place of the architecture's own.
        optimizers: for the phases that train.
        device: ``None`` for the best present.
        threads: ``None`` for the cores that this process may use.
        arguments: keyword arguments of the builders.
        settings: values of further axes by name, each as its axis reads it; see ``axes.settings``.

    Raises:
        UsageError: two fields contradict each other.
    """

    models: tuple[str, ...]
    modes: tuple[str, ...] = ("eager",)
    batches: tuple[int, ...] = (1,)
    phases: tuple[Phase, ...] = PHASES[:1]
    device: Device | None = None
    threads: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    input: tuple[int, ...] | None = None
    optimizers: tuple[Optimizer, ...] = OPTIMIZERS[:1]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def own_inputs(self) -> bool:
        """Whether networks are called with something else than what their task says."""
        return bool({INPUTS, INPUT_FACTORY} & self.settings.keys())

    def kept(self, phase: Phase) -> dict[str, str]:
        """The settings of a grid that has one value of each, as workloads of a phase keep them."""
        first = {name: values[0] for name, values in self.settings.items()}
        return dict(axes.chosen(first, phase))

    def __post_init__(self) -> None:
        if self.sizes and self.input is not None:
            raise UsageError("size and input are mutually exclusive; keep one")
        if self.optimizers != OPTIMIZERS[:1] and set(self.phases) == {"inference"}:
            raise UsageError("optimizer needs phase training or finetune")
        for name, values in self.settings.items():
            axis = axes.settings()[name]
            if axis.trains and set(values) != {axis.default} and set(self.phases) == {"inference"}:
                raise UsageError(f"{name} needs phase training or finetune")

    @classmethod
    def of(cls, asked: Mapping[str, Any], arguments: Mapping[str, Any]) -> Grid:
        """The grid of what was asked for.

        Args:
            asked: argument of an axis -> what ``Asking.held`` gives; what is usual may be missing.
            arguments: keyword arguments of the builders.
        """
        given = [(axis.name, how) for axis, how in axes.asked() if how.argument in asked]
        fields = {how.field: asked[how.argument] for _, how in given if how.field}
        settings = {name: asked[how.argument] for name, how in given if not how.field}
        if typed := fields.pop("input", None):
            # A number by itself has no shape; ids need one.
            fields["input"] = typed[0].shape or (1,)
            if text := inputs.text_of(inputs.distinct(typed)):
                settings[INPUTS] = (text,)
        return cls(**{"models": ()} | fields, arguments=arguments, settings=settings)


@dataclass(frozen=True)
class Expansion:
    """A grid's specs, in the order in which they are measured, and those that cannot be.

    Attributes:
        specs: all of them.
        impossible: id -> one line that says why.
        macs: id -> multiply-accumulates of the whole batch, where known.
    """

    specs: tuple[Spec, ...]
    impossible: Mapping[str, str]
    macs: Mapping[str, int]


def select(patterns: Sequence[str]) -> tuple[str, ...]:
    """Model names for patterns; see ``catalogue.select``.

    Raises:
        UnknownName: a pattern that matches nothing.
    """
    if not patterns:
        raise UsageError("no model given; name one, a pattern, or quick")
    for name in patterns:
        if is_layer(name):
            layer = name.removeprefix(LAYER_PREFIX)
            whole = layer if layer.startswith("n") else f"n1c64h56w56-{layer}"
            raise UsageError(
                f"'{name}' is a single layer; measure it, with its input, by cnnbench conv"
                f" --layer {shlex.quote(whole)}"
            )
        if recipes.is_pipeline(name):
            raise UsageError(
                f"'{name}' is an input pipeline; measure it by cnnbench input"
                f" --recipe {shlex.quote(name.removeprefix(recipes.PREFIX))}"
            )
    return catalogue.select(patterns)


def outside(models: Sequence[str]) -> tuple[str, ...]:
    """The names that are not in the catalogue: users' factories, timm."""
    known = {entry.name for entry in catalogue.entries()}
    return tuple(name for name in models if name not in known)


def facts(models: Sequence[str]) -> dict[str, Facts]:
    """The facts about the names that are in the catalogue."""
    table = {entry.name: entry for entry in catalogue.entries()}
    return {
        name: Facts(table[name].input, table[name].macs, table[name].min_size)
        for name in models
        if name in table
    }


def modes(texts: Sequence[str], device: Device) -> tuple[Mode, ...]:
    """Modes for texts; ``all`` and ``deploy`` stand for sensible sets of the device.

    Raises:
        UsageError: unknown, contradictory or impossible words.
    """
    spread = [_spread(text, device) for text in texts]
    parsed = [Mode.parse(text, device.kind) for group in spread for text in group]
    for mode in parsed:
        if reason := deployment.refusal(mode):
            raise Unsupported(f"mode '{mode.text}': {reason}")
        for name in [*mode.replacements.values()] or [mode.implementation]:
            if name:
                implementations.entry(name)
    return tuple(dict.fromkeys(parsed))


def _spread(text: str, device: Device) -> tuple[str, ...]:
    if text == "deploy":
        if device.kind != "cpu":
            raise UsageError(
                "mode 'deploy' stands for deployment runtimes, which run on cpu alone; use"
                " --device cpu"
            )
        return deployment.sensible()
    return SENSIBLE_MODES[device.kind] if text == "all" else (text,)


def expand(
    grid: Grid,
    device: Device,
    chosen: Sequence[Mode],
    known: Mapping[str, Facts],
    refused: Mapping[tuple[str, tuple[int, ...]], str] | None = None,
    bad: Mapping[str, str] | None = None,
) -> Expansion:
    """Every spec of a grid.

    Args:
        grid: what was asked for; its models are names.
        device: that of the grid, or the best present.
        chosen: the grid's modes on this device.
        known: facts of every model in the grid.
        refused: models and shapes that they are known not to take, and why.
        bad: names of models and of code of the user's that cannot be had, and why.

    Raises:
        UsageError: nothing is in the grid, or nothing of it is possible.
    """
    counts = grid.threads or (machine.default_threads(),)
    specs: list[Spec] = []
    impossible: dict[str, str] = {}
    macs: dict[str, int] = {}
    for name, shape in _shapes(grid, known):
        misfit = (refused or {}).get((name, shape)) or _impossible(name, shape, known[name])
        for workload in _workloads(grid, name, shape):
            named = (name, *axes.callables(workload))
            reason = next((why for one, why in (bad or {}).items() if one in named), misfit)
            reason = reason or _without_regions(workload)
            for threads, mode in itertools.product(counts, chosen):
                spec = Spec(workload, mode, device, threads)
                specs.append(spec)
                macs[spec.id] = _macs(known[name], workload)
                trains = workload.phase != "inference"
                if why := reason or (deployment.untrainable(mode) if trains else ""):
                    impossible[spec.id] = why
    if not specs:
        raise UsageError("nothing to measure: an axis of the grid has no value")
    if all(spec.id in impossible for spec in specs):
        raise Unsupported("; ".join(dict.fromkeys(impossible.values())))
    return Expansion(tuple(dict.fromkeys(specs)), impossible, macs)


def _workloads(grid: Grid, name: str, shape: tuple[int, ...]) -> list[Workload]:
    arguments = arguments_of(grid.arguments.items())
    settings = [
        dict(zip(grid.settings, values, strict=True))
        for values in itertools.product(*grid.settings.values())
    ]
    return [
        Workload(name, batch, shape, phase, arguments, optimizer, axes.chosen(setting, phase))
        for phase in grid.phases
        for optimizer in (OPTIMIZERS[:1] if phase == "inference" else grid.optimizers)
        for batch in grid.batches
        for setting in settings
    ]


def _shapes(grid: Grid, known: Mapping[str, Facts]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, shape) for name in grid.models for shape in shapes_of(grid, known[name])]


def shapes_of(grid: Grid, facts: Facts) -> tuple[tuple[int, ...], ...]:
    """The shapes of one sample of a model in a grid, each once."""
    sizes = grid.sizes or (None,)
    shapes = (axes.sample_shape(facts.input, grid.arguments, size, grid.input) for size in sizes)
    return tuple(dict.fromkeys(shapes))


def _impossible(name: str, shape: tuple[int, ...], facts: Facts) -> str:
    smallest = facts.min_size
    if smallest is None or min(shape[-2:]) >= smallest:
        return ""
    given = "x".join(map(str, shape[-2:]))
    return f"model '{name}' cannot take {given}; the smallest it takes is {smallest}x{smallest}"


def _without_regions(workload: Workload) -> str:
    name = workload.architecture
    asked = workload.setting(REGIONS, "") and not catalogue.takes_regions(name)
    return catalogue.without_regions(name) if asked else ""


def rough_macs(workload: Workload, known: Mapping[str, Facts]) -> int:
    """A rough count of a workload's multiply-accumulates, for time estimates only."""
    return _macs(known.get(workload.architecture, Facts(workload.input)), workload)


def _macs(facts: Facts, workload: Workload) -> int:
    """A rough count for time estimates: MACs grow with area and batch.

    Unknown counts as a small network.
    """
    base = facts.macs or 500_000_000
    area = 1.0
    for given, usual in zip(workload.input[-2:], facts.input[-2:], strict=False):
        area *= given / usual
    return round(base * area * workload.batch)
