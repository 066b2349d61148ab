"""Measures a module object in the caller's own process.

For notebooks, where no other process could build it.

The object is copied for each mode and never changed. Modes take turns in slices as workers do, but
they share one process, so samples from different rounds are correlated. What needs a process of its
own stays "not measured".
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnbench import analysis, architectures, store, trained
from cnnbench.errors import CnnbenchError, UsageError
from cnnbench.facts import Check, worse
from cnnbench.named import AUTO
from cnnbench.record import Failure, Record, Run, notes_of
from cnnbench.scratch import scratch_directory
from cnnbench.slices import Slice, Slices
from cnnbench.spec import OPTIMIZERS, Device, Mode, Spec, Workload
from cnnbench.worker import (
    build,
    checking,
    copies,
    environment,
    inputs,
    modes,
    objects,
    parts,
    randomness,
    remarks,
    sampling,
)
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Kind, is_out_of_memory, open_device
from cnnbench.worker.inputs import Given
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.architectures.losses import Loss
    from cnnbench.architectures.training import Training
    from cnnbench.environment import Environment
    from cnnbench.plan import Plan
    from cnnbench.spec import Phase

    # Positional and keyword arguments of a module.
    Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]


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
    module: nn.Module,
    arguments: Arguments,
    work: objects.StepWork,
    texts: Sequence[str],
    device: str,
    plan: Plan,
) -> store.StoredRun:
    """Measure a module in modes; see ``cnnbench.measure``."""
    given = Given(*arguments)
    specs = objects.specs(module, given, work, texts, Device.parse(device))
    where = environment.describe()
    name = store.new_run_name()
    with randomness.left_alone(), modes.restored(), scratch_directory() as folder:
        shaped = objects.shaped(module, given, plan.seed)
        own = objects.Own(shaped, given, work, plan.seed, folder / "reference.npz")
        kind = open_device(specs[0].device)
        own.look(specs, plan.seed)
        players, failures = _players(own, specs, kind, plan)
        runs = [
            _round(players, failures, kind, plan, f"{name}-{number}", number)
            for number in range(plan.rounds)
        ]
        checks = {player.spec.id: _checked_again(own, player, plan.seed) for player in players}
    notes = (*own.notes, *objects.training_note(module, work))
    records = tuple(
        _record(
            spec, where, own, _judged(runs, spec.id, checks),
            failures.get(spec.id), notes,
        )
        for spec in specs
    )  # fmt: skip
    what = store.manifest(name, [spec.id for spec in specs], plan, "in-process")
    return store.StoredRun(Path(name), what, where, records)


def work(
    phase: Phase, optimizer: Any, loss: Any, train: str | None = None, *, counted: bool = False
) -> objects.StepWork:
    """What a step is to do; a loss that fits the output, if none is given.

    Where it is only ``counted``, the optimizer may be what makes one.
    """
    loss, train = AUTO if loss is None else loss, trained.AUTO if train is None else train
    if not counted or isinstance(analysis.optimizer(optimizer), str):
        return objects.StepWork(phase, optimizer, loss, train)
    return objects.StepWork(phase, OPTIMIZERS[0], loss, train, optimizer)


def cost(
    module: nn.Module,
    arguments: Arguments,
    work: objects.StepWork,
    *,
    mode: Mode,
    real: bool,
    counted: bool,
) -> analysis.Analysis:
    """Count a module, its loss only where one was ``counted``; see ``cnnbench.cost``."""
    given = Given(*arguments)
    with randomness.left_alone(), objects.copies_are_no_leaves():
        shaped = objects.shaped(analysis.countable(module), given, 0)
        if mode != Mode():
            shaped = copies.copied(shaped) if real else analysis.copy_to_meta(shaped)
        loss = _apart(work).objective(0) if counted else None
        try:
            wants = any(one.requires_grad for one in given.tensors)
            what = replace(work.training, inputs=wants)
            return _analysed(shaped, given, work, mode, real=real, loss=loss, training=what)
        except CnnbenchError as error:
            if hint := objects.hint(given):
                raise type(error)(f"{error}{hint}") from error
            raise


def _apart(work: objects.StepWork) -> objects.StepWork:
    """Work whose loss leaves the caller's modules alone."""
    return work if isinstance(work.loss, str) else replace(work, loss=analysis.apart(work.loss))


def cost_of_name(name: str, work: objects.StepWork, *, mode: Mode, real: bool) -> analysis.Analysis:
    """Count a model by its name; see ``cnnbench.cost``."""
    with randomness.left_alone(), analysis.without_collector():
        architecture = architectures.resolve(name)
        workload = Workload(
            name, 1, architecture.input, work.phase, optimizer=work.optimizer,
            settings=tuple(sorted(work.settings().items())),
        )  # fmt: skip

        def make() -> nn.Module:
            return build.made(architecture, workload)

        module = make() if real else analysis.build_on_meta(make)
        dtype = inputs.dtype_for(module)
        given = inputs.made(architecture, workload, 0, dtype=dtype, values=real)
        usual = work.loss == AUTO
        loss = build.loss_of(architecture, 0) if usual else work.objective(0)
        found = _analysed(
            module,
            given,
            work,
            mode,
            real=real,
            loss=loss,
            own=not real,
            training=build.training_of(architecture, workload),
        )
        return replace(found, name=name)


def _analysed(
    module: nn.Module,
    given: Given,
    work: objects.StepWork,
    mode: Mode,
    *,
    real: bool,
    loss: Loss | None,
    training: Training,
    own: bool = False,
) -> analysis.Analysis:
    if mode != Mode():
        module, given = modes.converted(mode, module, given)
    return analysis.analyze(
        module,
        *given,
        phase=work.phase,
        optimizer=work.made or work.optimizer,
        real=real,
        loss=loss,
        mode=mode.text,
        autocast=modes.PRECISIONS[mode.precision].autocast,
        own=own,
        trained=training.choose,
    )


def _players(
    own: objects.Own, specs: Sequence[Spec], kind: Kind, plan: Plan
) -> tuple[list[_Player], dict[str, Failure]]:
    """The modes that can be sampled, and why the others cannot.

    Raises:
        UsageError: there is not one that can.
    """
    players: list[_Player] = []
    failures: dict[str, Failure] = {}
    for spec in specs:
        phases = ["build"]
        try:
            players.append(_player(own, spec, kind, plan, phases.append))
        except Exception as error:
            if not players and spec is specs[-1]:
                told = str(error) if isinstance(error, CnnbenchError) else said(error)
                hint = own.hint
                raise UsageError(f"{spec.mode.text}: {phases[-1]}: {told}{hint}") from error
            failures[spec.id] = _failure(phases[-1], error)
    return players, failures


def _failure(phase: str, error: Exception) -> Failure:
    own = "unsupported" if isinstance(error, CnnbenchError) else "error"
    word = "out_of_memory" if is_out_of_memory(error) else own
    return Failure(phase, word, said(error))


def _player(
    own: objects.Own, spec: Spec, kind: Kind, plan: Plan, enter: Callable[[str], None]
) -> _Player:
    flags = modes.set_flags(spec.mode, spec.threads)
    before = remarks.compiled_so_far()
    built, step = sampling.timed(lambda: own.step(spec), kind)
    enter("first call")
    torch.manual_seed(plan.seed)
    first, result = sampling.timed(step.call, kind)
    enter("check")
    check = own.check(spec, step, plan.seed, result)
    enter("warm up")
    warm = sampling.warm_up(step.call, kind, plan.warm_up)
    flags |= kind.notes() | {"remarks": remarks.remarks(spec, step, before)}
    return _Player(
        spec,
        step,
        check,
        flags,
        [first, *warm],
        built,
        sampling.steady(warm or [first]),
    )


def _round(
    players: list[_Player],
    failures: dict[str, Failure],
    kind: Kind,
    plan: Plan,
    ensemble: str,
    number: int,
) -> dict[str, Run]:
    """One run of every mode; a mode that fails leaves the others to go on without it."""
    order = random.Random(f"{plan.seed}/{ensemble}")
    taken: dict[str, list[Slice]] = {player.spec.id: [] for player in players}
    turns = plan.turns(max((player.estimate for player in players), default=1.0))
    probes = Probes()
    with sampling.collector_off():
        for turn in range(turns):
            for player in order.sample(players, len(players)):
                modes.set_flags(player.spec.mode, player.spec.threads)
                try:
                    taken[player.spec.id].append(_slice(player, kind, plan, turn, probes))
                except Exception as error:  # noqa: BLE001 - it is the user's code
                    failures[player.spec.id] = _failure("measure", error)
                    players.remove(player)
        return {
            player.spec.id: _run(player, kind, Slices.of(taken[player.spec.id]), ensemble, number)
            for player in players
        }


def _run(player: _Player, kind: Kind, slices: Slices, ensemble: str, number: int) -> Run:
    step = player.step
    modes.set_flags(player.spec.mode, player.spec.threads)
    in_parts, notes = parts.tried(step.parts, kind, player.estimate)
    return Run(
        round=number,
        ensemble=ensemble,
        slices=slices,
        warmup_ns=tuple(player.warmup),
        build_ns=player.build_ns,
        check=player.check,
        flags=player.flags | {**step.types, **step.facts()} | notes | step.said,
        parts=in_parts,
        deployment=step.deployment(),
    )


def _checked_again(own: objects.Own, player: _Player, seed: int) -> Check:
    """The worse of a mode's checks before and after it was sampled."""
    modes.set_flags(player.spec.mode, player.spec.threads)
    later = checking.afterwards(lambda: own.check(player.spec, player.step, seed))
    return worse(player.check, later)


def _judged(
    runs: Sequence[dict[str, Run]], key: str, checks: Mapping[str, Check]
) -> tuple[Run, ...]:
    """The runs of a mode, all of which its two checks are about; one that failed has one check."""
    found = [one[key] for one in runs if key in one]
    return tuple(replace(one, check=checks.get(key, one.check)) for one in found)


def _slice(player: _Player, kind: Kind, plan: Plan, turn: int, probes: Probes) -> Slice:
    seconds, estimate = plan.slice_seconds, player.estimate
    iterations = sampling.calls_per_sample(estimate, seconds)
    taken = sampling.take_slice(player.step.call, kind, turn, iterations, seconds, estimate, probes)
    sampling.rest()
    return taken


def _record(
    spec: Spec,
    where: Environment,
    own: objects.Own,
    runs: tuple[Run, ...],
    failure: Failure | None,
    notes: tuple[str, ...],
) -> Record:
    return Record(
        id=spec.id,
        environment=where.fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cost=own.cost,
        reference=own.reference,
        runs=runs,
        failure=failure,
        notes=(
            "measured in the caller's process: peak memory not measured",
            *notes,
            *notes_of(spec.mode, runs),
        ),
    )
