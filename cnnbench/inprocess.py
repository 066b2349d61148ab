"""Measures a module object in the caller's own process.

For notebooks, where no other process could build it.

The object is copied for each mode and never changed. Modes take turns in slices as workers do, but
they share one process, so samples from different rounds are correlated. What needs a process of its
own stays "not measured".
"""

from __future__ import annotations

import copy
import functools
import random
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench import analysis, store
from cnnbench.errors import CnnbenchError, UsageError
from cnnbench.record import Cost, Record, Run
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, environment, modes, sampling
from cnnbench.worker import reference as references
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Kind, open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.environment import Environment
    from cnnbench.facts import Reference
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
    with modes.restored(), tempfile.TemporaryDirectory(prefix="cnnbench-") as folder:
        path = Path(folder) / "reference.npz"
        kind = open_device(specs[0].device)
        reference = _reference(specs, module, inputs, plan.seed, path)
        players = [_player(spec, module, inputs, reference, path, kind, plan) for spec in specs]
        cost = _cost(module, inputs)
        runs = [
            _round(players, kind, plan, f"{name}-{number}", number) for number in range(plan.rounds)
        ]
    records = tuple(
        _record(player.spec, where, cost, reference, tuple(one[player.spec.id] for one in runs))
        for player in players
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
    if module.training:
        raise UsageError("the module is in training mode; call module.eval() first")
    workload = Workload(f"object:{type(module).__name__}", shape[0], shape[1:])
    chosen = dict.fromkeys(Mode.parse(text, device.kind) for text in texts)
    return [Spec(workload, mode, device, torch.get_num_threads()) for mode in chosen]


def _step(spec: Spec, module: nn.Module, inputs: tuple[Any, ...]) -> build.Step:
    """A step on a copy of the module and of its inputs."""
    step = build.inference(spec, copy.deepcopy(module), copy.deepcopy(inputs))
    step.others = functools.partial(build.flipped, inputs)
    step.own = lambda: inputs
    return step


def _reference(
    specs: Sequence[Spec], module: nn.Module, inputs: tuple[Any, ...], seed: int, path: Path
) -> Reference:
    spec = specs[0].plain
    precisions = sorted({one.mode.precision for one in specs} - {spec.mode.precision})
    modes.set_flags(spec.mode, spec.threads)

    def step(of: Spec) -> build.Step:
        return _step(of, module, inputs)

    return references.compute(spec, step, seed, path, precisions=precisions)


def _player(
    spec: Spec,
    module: nn.Module,
    inputs: tuple[Any, ...],
    reference: Reference,
    path: Path,
    kind: Kind,
    plan: Plan,
) -> _Player:
    flags = modes.set_flags(spec.mode, spec.threads)
    built, step = sampling.timed(lambda: _step(spec, module, inputs), kind)
    torch.manual_seed(plan.seed)
    first, result = sampling.timed(step.call, kind)
    check = checking.check(spec, step, plan.seed, path, reference, result)
    warm = sampling.warm_up(step.call, kind, plan.warm_up)
    return _Player(
        spec,
        step,
        check,
        flags | kind.notes(),
        [first, *warm],
        built,
        sampling.steady(warm or [first]),
    )


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


def _cost(module: nn.Module, inputs: tuple[Any, ...]) -> Cost | None:
    try:
        return analysis.analyze(copy.deepcopy(module).to("meta"), inputs).cost()
    except (NotImplementedError, RuntimeError, TypeError, CnnbenchError):
        return None


def _record(
    spec: Spec, where: Environment, cost: Cost | None, reference: Reference, runs: tuple[Run, ...]
) -> Record:
    return Record(
        id=spec.id,
        environment=where.fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cost=cost,
        reference=reference,
        runs=runs,
        notes=("measured in the caller's process: peak memory not measured",),
    )
