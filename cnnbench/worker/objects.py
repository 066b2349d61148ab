"""A module object of the caller's as steps: copies of it and its inputs, its reference and cost.

The object itself is never run, changed or moved.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, get_num_threads, nn
from torch.utils import _pytree as pytree

from cnnbench import analysis, axes, named, trained
from cnnbench.architectures import losses, own_losses, training, variants
from cnnbench.asking import INPUTS
from cnnbench.errors import UsageError
from cnnbench.facts import Check, doubts
from cnnbench.inputs import TypedInput, read_all, text_of
from cnnbench.named import AUTO
from cnnbench.spec import OPTIMIZERS, PHASES, Mode, Optimizer, Phase, Spec, Workload, one_of
from cnnbench.worker import build, checking, copies, modes, randomness
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import Given, flipped
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cnnbench.facts import Reference
    from cnnbench.record import Cost
    from cnnbench.spec import Device


@dataclass(frozen=True)
class StepWork:
    """What a step of a module is to do, as ``cnnbench.measure`` is asked.

    Attributes:
        phase: one of ``spec.PHASES``.
        optimizer: of a phase that trains.
        loss: a name, or a function ``output, inputs -> scalar tensor``.
        train: which part of it, as ``trained.read`` takes it.
        made: what makes an optimizer of the user's, of which static cost tells the memory.
    """

    phase: Phase = "inference"
    optimizer: Optimizer = OPTIMIZERS[0]
    loss: str | Callable[..., Any] = AUTO
    train: str = trained.AUTO
    made: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        one_of("phase", self.phase, PHASES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        if isinstance(self.loss, str):
            named.loss(self.loss)
        elif not callable(self.loss):
            raise UsageError(f"loss is {type(self.loss).__name__}, not a name or a function")
        object.__setattr__(self, "train", trained.read(self.train))
        asked = (self.loss, self.optimizer, self.train, self.made)
        if self.phase == "inference" and asked != (AUTO, OPTIMIZERS[0], trained.AUTO, None):
            raise UsageError(
                "inference has no loss, no optimizer and nothing to train; add phase='training'"
            )

    def objective(self, seed: int) -> losses.Loss:
        """The loss, with targets of its own."""
        if isinstance(self.loss, str):
            found = losses.NAMED.get(self.loss) or own_losses.users(self.loss)
            return losses.Loss(self.loss, found, seed)
        name = getattr(self.loss, "__qualname__", type(self.loss).__name__)
        return losses.Loss(name, own_losses.own("the loss", name, self.loss), seed)

    @property
    def training(self) -> training.Training:
        """What of a module of the caller's is to be trained."""
        return training.Training(self.train, finetune=self.phase == "finetune", users=True)

    def settings(self) -> dict[str, str]:
        """What an id says of it; a function of the caller's has no text there."""
        loss = {"loss": self.loss} if isinstance(self.loss, str) else {}
        return dict(axes.chosen(loss | {"train": self.train}, self.phase))


@contextlib.contextmanager
def copies_are_no_leaves() -> Iterator[None]:
    """Ignore torch's warning about gradients of a copied scripted module's parameters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        yield


def shaped(module: nn.Module, given: Given, seed: int) -> nn.Module:
    """The module; of one with lazy layers a copy, which has got its shapes."""
    if not variants.is_lazy(module):
        return module
    randomness.seed_everything(seed)
    try:
        return variants.materialise(variants.copy_of_lazy(module), *_twins(given))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"its lazy layers do not take these inputs: {error}") from error


def _twins(given: Given) -> Given:
    """Twins of all tensors, wherever in a caller's graph they are."""

    def twin(leaf: Any) -> Any:
        return leaf.detach().clone() if isinstance(leaf, Tensor) else copy.deepcopy(leaf)

    return Given(*pytree.tree_map(twin, given))


def hint(given: Given) -> str:
    """What to try if a module does not take its inputs; empty if nothing suggests itself."""
    if not any(isinstance(one, dict) for one in given.args):
        return ""
    return "; a dict was given as one input: kwargs=... passes its entries by name"


def training_note(module: nn.Module, work: StepWork) -> tuple[str, ...]:
    """The command puts every network into evaluation mode for inference, and so do we."""
    if work.phase != "inference" or not any(part.training for part in module.modules()):
        return ()
    return ("the module was in training mode and has been measured in evaluation mode",)


def specs(
    module: nn.Module, given: Given, work: StepWork, texts: Sequence[str], device: Device
) -> list[Spec]:
    """A spec per mode.

    Raises:
        UsageError: it is no module, or cannot be copied, or its inputs have no batch.
    """
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
    settings = sorted((_settings(given) | work.settings()).items())
    workload = Workload(
        f"object:{type(module).__name__}", batch, tuple(sample) or (1,), work.phase,
        optimizer=work.optimizer, settings=tuple(settings),
    )  # fmt: skip
    chosen = dict.fromkeys(Mode.parse(text, device.kind) for text in texts)
    return [Spec(workload, mode, device, get_num_threads()) for mode in chosen]


def _settings(given: Given) -> dict[str, str]:
    """What an id says of arguments beyond the first shape, where they are tensors and no more."""
    named = [*(("", one) for one in given.args), *given.kwargs.items()]
    if not all(isinstance(one, Tensor) and one.dim() for _, one in named):
        return {}
    typed = [
        TypedInput(tuple(one.shape[1:]), str(one.dtype).removeprefix("torch."), name=name)
        for name, one in named
    ]
    if len(typed) == 1 and not typed[0].name and named[0][1].is_floating_point():
        return {}
    text = text_of(typed)
    try:
        read_all(text)
    except UsageError:  # a type or a number of axes that has no text
        return {}
    return {INPUTS: text}


class Own:
    """A module and its inputs, of which every step gets a copy, and what is known of both."""

    def __init__(
        self, module: nn.Module, given: Given, work: StepWork, seed: int, path: Path
    ) -> None:
        self._module, self._given = module, given
        self._work, self._seed = work, seed
        self.path = path
        self.reference: Reference | None = None
        self.cost: Cost | None = None
        self.notes: tuple[str, ...] = ()
        self.no_reference = ""

    @property
    def hint(self) -> str:
        """What to try if the module does not take its inputs."""
        return hint(self._given)

    def step(self, spec: Spec) -> build.Step:
        """A step on a copy of the module and of its inputs."""
        copied, work = copies.copied(self._module), self._work
        if work.phase != "inference":
            randomness.seed_everything(self._seed)
            build.prepare(copied, work.training)
        analysis.set_training(copied, training=work.phase != "inference")
        with copies_are_no_leaves():
            if work.phase == "inference":
                step = build.inference(spec, copied, _twins(self._given))
            else:
                given, loss = _twins(self._given), work.objective(self._seed)
                step = build.training_step(spec, copied, given, loss)
        step.others = functools.partial(flipped, self._given)
        step.own = lambda: self._given
        return step

    def check(self, spec: Spec, step: build.Step, seed: int, *first: Any) -> Check:
        """What a step answers, against the reference if there is one."""
        if self.reference is None:
            return Check("unchecked", reason=self.no_reference)
        return checking.check(spec, step, seed, self.path, self.reference, *first)

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
                with copies_are_no_leaves():
                    self.cost = self._analysis(real=real).cost()
            except Exception as error:  # noqa: BLE001 - an optional figure stops nothing
                self.notes = (f"static cost not known: {said(error)}",)
            else:
                self.notes = doubts(self.cost.assumptions)
                return

    def _analysis(self, *, real: bool) -> analysis.Analysis:
        work = self._work
        loss = None if work.phase == "inference" else work.objective(self._seed)
        return analysis.analyze(
            self._module, *self._given,
            phase=work.phase, optimizer=work.optimizer, real=real, loss=loss,
            trained=work.training.choose,
        )  # fmt: skip
