"""Measures a module object in the caller's own process.

For notebooks, where no other process could build it.

The object is copied for each mode and never changed. Modes take turns in slices as workers do, but
they share one process, so samples from different rounds are correlated. What needs a process of its
own stays "not measured".
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench import analysis, store
from cnnbench.architectures import variants
from cnnbench.asking import INPUTS
from cnnbench.errors import CnnbenchError, UsageError
from cnnbench.facts import Check
from cnnbench.inputs import TypedInput, read_all, text_of
from cnnbench.record import Cost, Failure, Record, Run, notes_of
from cnnbench.scratch import scratch_directory
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import (
    build,
    checking,
    copies,
    environment,
    modes,
    randomness,
    remarks,
    sampling,
)
from cnnbench.worker import reference as references
from cnnbench.worker.child import said
from cnnbench.worker.counters import Probes
from cnnbench.worker.devices import Kind, open_device
from cnnbench.worker.inputs import Given, flipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.environment import Environment
    from cnnbench.facts import Reference
    from cnnbench.plan import Plan
    from cnnbench.spec import Optimizer, Phase

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
    module: nn.Module, arguments: Arguments, texts: Sequence[str], device: str, plan: Plan
) -> store.StoredRun:
    """Measure a module in modes; see ``cnnbench.measure``."""
    given = Given(*arguments)
    specs = _specs(module, given, texts, Device.parse(device))
    where = environment.describe()
    name = store.new_run_name()
    with randomness.left_alone(), modes.restored(), scratch_directory() as folder:
        own = _Own(_shaped(module, given, plan.seed), given, folder / "reference.npz")
        kind = open_device(specs[0].device)
        own.look(specs, plan.seed)
        players, failures = _players(own, specs, kind, plan)
        runs = [
            _round(players, kind, plan, f"{name}-{number}", number) for number in range(plan.rounds)
        ]
    notes = (*own.notes, *_training_note(module))
    records = tuple(
        _record(
            spec, where, own, tuple(one[spec.id] for one in runs if spec.id in one),
            failures.get(spec.id), notes,
        )
        for spec in specs
    )  # fmt: skip
    what = store.manifest(name, [spec.id for spec in specs], plan, "in-process")
    return store.StoredRun(Path(name), what, where, records)


def cost(
    module: nn.Module,
    arguments: Arguments,
    phase: Phase,
    optimizer: Optimizer,
    *,
    real: bool,
    loss: Callable[[Any], Any] | None,
) -> analysis.Analysis:
    """Count a module; see ``cnnbench.cost``."""
    given = Given(*arguments)
    with randomness.left_alone(), _copies_are_no_leaves():
        shaped = _shaped(analysis.countable(module), given, 0)
        return analysis.analyze(
            shaped,
            *given,
            phase=phase,
            optimizer=optimizer,
            real=real,
            loss=_of_output(loss) if loss else None,
        )


def _of_output(loss: Callable[[Any], Any]) -> Callable[[Any, tuple[Any, ...]], Any]:
    return lambda output, _: loss(output)


@contextlib.contextmanager
def _copies_are_no_leaves() -> Iterator[None]:
    """Ignore torch's warning about gradients of a copied scripted module's parameters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        yield


def _shaped(module: nn.Module, given: Given, seed: int) -> nn.Module:
    """The module; of one with lazy layers a copy, which has got its shapes."""
    if not variants.is_lazy(module):
        return module
    randomness.seed_everything(seed)
    try:
        return variants.materialise(variants.copied(module), *_copied(given))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"its lazy layers do not take these inputs: {error}") from error


def _copied(given: Given) -> Given:
    """Twins of all tensors, wherever in a caller's graph they are."""

    def twin(leaf: Any) -> Any:
        return leaf.detach().clone() if isinstance(leaf, Tensor) else copy.deepcopy(leaf)

    return Given(*pytree.tree_map(twin, given))


def _training_note(module: nn.Module) -> tuple[str, ...]:
    """The command puts every network into evaluation mode for inference, and so do we."""
    if not any(part.training for part in module.modules()):
        return ()
    return ("the module was in training mode and has been measured in evaluation mode",)


def _specs(module: nn.Module, given: Given, texts: Sequence[str], device: Device) -> list[Spec]:
    if isinstance(module, str):
        raise UsageError(
            f"measure takes a module object, not a name; cnnbench.run('{module}') takes names"
        )
    if not isinstance(module, nn.Module):
        raise UsageError(f"measure needs a torch.nn.Module, not {type(module).__name__}")
    modes.refuse_compiled(module)
    if not variants.is_lazy(module):
        copies.copied(module)  # before anything is measured: what cannot be copied is refused
    if not given.tensors or not given.tensors[0].dim():
        raise UsageError("measure needs the module's inputs: tensors whose first axis is the batch")
    batch, *sample = given.tensors[0].shape
    workload = Workload(
        f"object:{type(module).__name__}", batch, tuple(sample) or (1,), settings=_settings(given)
    )
    chosen = dict.fromkeys(Mode.parse(text, device.kind) for text in texts)
    return [Spec(workload, mode, device, torch.get_num_threads()) for mode in chosen]


def _settings(given: Given) -> tuple[tuple[str, str], ...]:
    """What an id says of arguments beyond the first shape, where they are tensors and no more."""
    named = [*(("", one) for one in given.args), *given.kwargs.items()]
    if not all(isinstance(one, Tensor) and one.dim() for _, one in named):
        return ()
    typed = [
        TypedInput(tuple(one.shape[1:]), str(one.dtype).removeprefix("torch."), name=name)
        for name, one in named
    ]
    if len(typed) == 1 and not typed[0].name and named[0][1].is_floating_point():
        return ()
    text = text_of(typed)
    try:
        read_all(text)
    except UsageError:  # a type or a number of axes that has no text
        return ()
    return ((INPUTS, text),)


class _Own:
    """A module and its inputs, of which every step gets a copy, and what is known of both."""

    def __init__(self, module: nn.Module, given: Given, path: Path) -> None:
        self._module, self._given = module, given
        self.path = path
        self.reference: Reference | None = None
        self.cost: Cost | None = None
        self.notes: tuple[str, ...] = ()
        self.no_reference = ""

    def step(self, spec: Spec) -> build.Step:
        """A step on a copy of the module and of its inputs."""
        copied = copies.copied(self._module)
        analysis.set_training(copied, training=False)
        with _copies_are_no_leaves():
            step = build.inference(spec, copied, _copied(self._given))
        step.others = functools.partial(flipped, self._given)
        step.own = lambda: self._given
        return step

    def look(self, specs: Sequence[Spec], seed: int) -> None:
        """Find out the reference and the cost; what cannot be had is a note, as in a run."""
        spec = specs[0].plain
        precisions = sorted({one.mode.precision for one in specs} - {spec.mode.precision})
        modes.set_flags(spec.mode, spec.threads)
        try:
            self.reference = references.compute(
                spec, self.step, seed, self.path, precisions=precisions
            )
        except Exception as error:  # noqa: BLE001 - it is the user's code
            self.no_reference = f"no reference: {said(error)}"
        for real in (False, True):  # on real tensors only if values decide what is done
            try:
                with _copies_are_no_leaves():
                    self.cost = analysis.analyze(self._module, *self._given, real=real).cost()
            except Exception as error:  # noqa: BLE001 - an optional figure stops nothing
                self.notes = (f"static cost not known: {said(error)}",)
            else:
                self.notes = ()
                return


def _players(
    own: _Own, specs: Sequence[Spec], kind: Kind, plan: Plan
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
                raise UsageError(f"{spec.mode.text}: {phases[-1]}: {told}") from error
            own_error = isinstance(error, CnnbenchError)
            word = "unsupported" if own_error else "error"
            failures[spec.id] = Failure(phases[-1], word, said(error))
    return players, failures


def _player(own: _Own, spec: Spec, kind: Kind, plan: Plan, enter: Callable[[str], None]) -> _Player:
    flags = modes.set_flags(spec.mode, spec.threads)
    built, step = sampling.timed(lambda: own.step(spec), kind)
    enter("first call")
    torch.manual_seed(plan.seed)
    first, result = sampling.timed(step.call, kind)
    enter("check")
    check = Check("unchecked", reason=own.no_reference)
    if own.reference is not None:
        check = checking.check(spec, step, plan.seed, own.path, own.reference, result)
    enter("warm up")
    warm = sampling.warm_up(step.call, kind, plan.warm_up)
    flags |= kind.notes() | {"remarks": remarks.remarks(spec, step)}
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
            flags=player.flags | {**player.step.types},
        )
        for player in players
    }


def _slice(player: _Player, kind: Kind, plan: Plan, turn: int, probes: Probes) -> Slice:
    seconds, estimate = plan.slice_seconds, player.estimate
    iterations = sampling.calls_per_sample(estimate, seconds)
    taken = sampling.take_slice(player.step.call, kind, turn, iterations, seconds, estimate, probes)
    sampling.rest()
    return taken


def _record(
    spec: Spec,
    where: Environment,
    own: _Own,
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
