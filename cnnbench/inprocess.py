"""Measures a module object in the caller's own process.

For notebooks, where no other process could build it.

The object is copied for each mode and never changed. Modes take turns in slices as workers do, but
they share one process, so samples from different rounds are correlated. What needs a process of its
own stays "not measured".
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from cnnbench import analysis, store
from cnnbench.errors import Unsupported, UsageError
from cnnbench.facts import Check, Reference
from cnnbench.record import Cost, Failure, Record, Run
from cnnbench.scratch import scratch_directory
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, copies, environment, modes, raised, remarks, sampling
from cnnbench.worker import reference as references
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Kind, open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.environment import Environment
    from cnnbench.plan import Plan


@dataclass
class _Player:
    """One mode of the module, ready to be sampled."""

    spec: Spec
    step: build.Step
    check: Any
    flags: dict[str, Any]
    warmup: list[int]
    build_ns: int
    estimate: float


def measure(
    module: nn.Module, inputs: tuple[Any, ...], texts: Sequence[str], device: str, plan: Plan
) -> store.StoredRun:
    """Measure a module in modes; see ``cnnbench.measure``."""
    specs = _specs(module, inputs, texts, Device.parse(device))
    where = environment.describe()
    name = store.new_run_name()
    with modes.restored(), references.random_states_kept(), scratch_directory() as folder:
        kind = open_device(specs[0].device)
        shared = _shared(specs, _settled(module, inputs, plan.seed), inputs, plan, folder)
        tried = [_player(spec, shared, kind, plan) for spec in specs]
        players = [one for one in tried if isinstance(one, _Player)]
        rounds = range(plan.rounds) if players else ()
        runs = [_round(players, kind, plan, f"{name}-{number}", number) for number in rounds]
    records = tuple(
        _record(spec, where, shared, one, tuple(run[spec.id] for run in runs if spec.id in run))
        for spec, one in zip(specs, tried, strict=True)
    )
    what = store.manifest(name, [spec.id for spec in specs], plan, "in-process")
    return store.StoredRun(Path(name), what, where, records)


def _specs(
    module: nn.Module, inputs: tuple[Any, ...], texts: Sequence[str], device: Device
) -> list[Spec]:
    if not isinstance(module, nn.Module):
        raise UsageError(f"measure needs a torch.nn.Module, not {type(module).__name__}")
    tensors = [leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if not tensors or tensors[0].dim() < 2:
        raise UsageError("measure needs the module's inputs: tensors whose first axis is the batch")
    shape = tuple(tensors[0].shape)
    modes.refuse_compiled(module)
    copies.copied(module)  # before anything is measured: what cannot be copied is refused
    if getattr(module, "training", False) and not analysis.has_one_mode(module):
        raise UsageError("the module is in training mode; call module.eval() first")
    workload = Workload(f"object:{type(module).__name__}", shape[0], shape[1:])
    chosen = dict.fromkeys(Mode.parse(text, device.kind) for text in texts)
    return [Spec(workload, mode, device, torch.get_num_threads()) for mode in chosen]


def _step(spec: Spec, module: nn.Module, inputs: tuple[Any, ...]) -> build.Step:
    """A step on a copy of the module and of its inputs."""
    step = build.inference(spec, copies.copied(module), copies.copied(inputs, "the input"))
    step.others = functools.partial(build.flipped, inputs)
    step.own_types = build.floating_types(module)
    return step


@dataclass(frozen=True)
class _Shared:
    """What all modes of the module share."""

    module: nn.Module
    inputs: tuple[Any, ...]
    path: Path
    reference: Reference | None
    no_reference: str
    cost: Cost | None
    notes: tuple[str, ...]


def _settled(module: nn.Module, inputs: tuple[Any, ...], seed: int) -> nn.Module:
    """A copy that nobody else has; layers that wait for their shape have seen the input."""
    torch.manual_seed(seed)
    if any(map(is_lazy, nn.Module.parameters(module))):
        module = copies.copied(module)
        with torch.no_grad():
            module(*copies.copied(inputs))
    return module


def _shared(
    specs: Sequence[Spec], module: nn.Module, inputs: tuple[Any, ...], plan: Plan, folder: Path
) -> _Shared:
    spec, path = specs[0].plain, folder / "reference.npz"
    precisions = sorted({one.mode.precision for one in specs} - {spec.mode.precision})
    modes.set_flags(spec.mode, spec.threads)

    def step(of: Spec) -> build.Step:
        return _step(of, module, inputs)

    reference, reason = None, ""
    try:
        reference = references.compute(spec, step, plan.seed, path, precisions=precisions)
    except Exception as error:  # noqa: BLE001 - a network may raise anything
        reason = f"no reference: {raised.described(error)['message']}"
    cost, notes = _cost(module, inputs)
    return _Shared(module, inputs, path, reference, reason, cost, notes)


def _player(spec: Spec, shared: _Shared, kind: Kind, plan: Plan) -> _Player | Failure:
    """A mode, ready; or what it failed with, which leaves the others alone."""
    phase = "build"
    try:
        flags = modes.set_flags(spec.mode, spec.threads)
        built, step = sampling.timed(lambda: _step(spec, shared.module, shared.inputs), kind)
        phase = "first call"
        torch.manual_seed(plan.seed)
        first, result = sampling.timed(step.call, kind)
        phase = "check"
        check = _check(spec, step, shared, plan.seed, result)
        phase = "warm up"
        warm = sampling.warm_up(step.call, kind, plan.warm_up)
    except Exception as error:  # noqa: BLE001 - a network may raise anything
        return Failure(phase, **raised.described(error))
    return _Player(
        spec,
        step,
        check,
        flags | kind.notes() | {"remarks": remarks.remarks(spec, step)},
        [first, *warm],
        built,
        sampling.steady(warm or [first]),
    )


def _check(spec: Spec, step: build.Step, shared: _Shared, seed: int, result: Any) -> Check:
    if shared.reference is None:
        return Check("unchecked", reason=shared.no_reference)
    return checking.check(spec, step, seed, shared.path, shared.reference, result)


def _round(
    players: list[_Player], kind: Kind, plan: Plan, ensemble: str, number: int
) -> dict[str, Run]:
    order = random.Random(f"{plan.seed}/{ensemble}")
    taken: dict[str, list[Slice]] = {player.spec.id: [] for player in players}
    turns = plan.turns(max(player.estimate for player in players))
    probes = Probes()
    with sampling.collector_off():
        for turn in range(turns):
            for player in order.sample(players, len(players)):
                modes.set_flags(player.spec.mode, player.spec.threads)
                taken[player.spec.id].append(_slice(player, kind, plan, turn, probes))
    return {
        player.spec.id: Run(
            round=number,
            ensemble=ensemble,
            slices=Slices.of(taken[player.spec.id]),
            warmup_ns=tuple(player.warmup),
            build_ns=player.build_ns,
            check=player.check,
            flags=player.flags,
        )
        for player in players
    }


def _slice(player: _Player, kind: Kind, plan: Plan, turn: int, probes: Probes) -> Slice:
    seconds, estimate = plan.slice_seconds, player.estimate
    iterations = sampling.calls_per_sample(estimate, seconds)
    taken = sampling.take_slice(player.step.call, kind, turn, iterations, seconds, estimate, probes)
    sampling.rest()
    return taken


def _cost(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Cost | None, tuple[str, ...]]:
    """The static cost, on real tensors if its values decide what it does; or why it is missing."""
    try:
        try:
            return analysis.analyze(module, inputs).cost(), ()
        except Unsupported:
            return analysis.analyze(module, inputs, real=True).cost(), ()
    except Exception as error:  # noqa: BLE001 - counting is optional, and a network may raise anything
        return None, (f"static cost not known: {raised.described(error)['message']}",)


def _record(
    spec: Spec, where: Environment, shared: _Shared, tried: _Player | Failure, runs: tuple[Run, ...]
) -> Record:
    return Record(
        id=spec.id,
        environment=where.fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cost=shared.cost,
        reference=shared.reference,
        runs=runs,
        failure=tried if isinstance(tried, Failure) else None,
        notes=(
            "measured in the caller's process: peak memory not measured",
            *shared.notes,
            *(runs[0].flags["remarks"] if runs else ()),
        ),
    )
