"""Spec -> Step: a zero-argument callable that does one iteration, ready on its device in its mode.

Weights and inputs are random but seeded, so that every process of a workload computes the same
thing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench import analysis, architectures
from cnnbench.architectures import variants
from cnnbench.architectures.tasks import TASKS
from cnnbench.conv.problem import is_conv
from cnnbench.spec import OPTIMIZERS
from cnnbench.worker import calibration, convolution, images, modes, optimizers, outputs, replaced
from cnnbench.worker import weights as loaded
from cnnbench.worker.reference import seed_everything

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Phase, Spec, Workload


# Batches of pictures that an output is checked on; a single layer is checked on one.
PICTURES = 4
# Seeds of pictures are far apart, so that none of one workload is one of its neighbour's.
_APART = 1_000_003


@dataclass(frozen=True)
class Parts:
    """A training step in four parts, to be called in this order.

    Intermediate results are kept inside, so that they are freed within a part, as in the whole
    step.

    Attributes:
        forward: the network's output.
        loss: the loss of that output, auxiliary heads included; returns its value.
        backward: gradients of the loss.
        optimizer: updates the weights, and the loss scale if there is one, and drops the gradients.
    """

    forward: Callable[[], None]
    loss: Callable[[], Tensor]
    backward: Callable[[], None]
    optimizer: Callable[[], None]


@dataclass
class Step:
    """One iteration of a workload.

    Attributes:
        call: runs it; returns outputs (inference) or the loss (training).
        observe: what is compared with the reference, from what ``call`` returned.
        module: the network itself, not compiled.
        inputs: its positional arguments.
        optimizer: present in training phases.
        parts: the same iteration in parts, in training phases.
        selects: what is observed is chosen by sorting scores (``tasks.Task``).
        others: positional arguments like ``inputs``, of other pictures.
        own: those of its own picture, as they were before the first call.
    """

    call: Callable[[], Any]
    observe: Callable[[Any], list[Tensor]]
    module: nn.Module
    inputs: tuple[Any, ...]
    optimizer: torch.optim.Optimizer | None = None
    parts: Parts | None = None
    selects: bool = False
    others: Callable[[], Iterator[tuple[Any, ...]]] = lambda: iter(())
    own: Callable[[], tuple[Any, ...]] | None = None

    def answers(self, *first: Any) -> Generator[Any, None, None]:
        """What it returns for its own picture and for others, through the very inputs it times.

        What it has returned for its own picture may be given as ``first``.
        """
        if self.own is None:
            own = [tensor.clone() for tensor in _tensors(self.inputs)]
        else:  # a network may write to its input, and the calls before this one have
            own = _tensors(self.own())
            self._show(own)
        yield from first or (self.call(),)
        try:
            for given in self.others():
                self._show(_tensors(given))
                yield self.call()
        finally:
            self._show(own)

    def _show(self, pictures: list[Tensor]) -> None:
        """Put other values into the inputs where they lie: graphs were captured on them."""
        with torch.inference_mode():
            for tensor, values in zip(_tensors(self.inputs), pictures, strict=True):
                tensor.copy_(values)

    def resident(self) -> list[Tensor]:
        """Every tensor that lives before an iteration starts."""
        tensors = [*self.module.parameters(), *self.module.buffers(), *_tensors(self.inputs)]
        if self.optimizer is not None:
            tensors += _tensors(list(self.optimizer.state.values()))
        return tensors


def construct(
    workload: Workload, seed: int, weights: str | None = None
) -> tuple[Architecture, nn.Module]:
    """Architecture and module with seeded weights, in the form of the workload's phase.

    Args:
        workload: what to build.
        seed: of the initial weights.
        weights: file of arrays that ``calibration`` made; ``None`` leaves them as initialised.
    """
    architecture = resolve(workload)
    seed_everything(seed)  # builders may draw from any generator
    module = architectures.build(architecture, **workload.keywords)
    loaded.load(workload, architecture, module)
    if workload.phase == "finetune":
        with_new_head(module)
    if weights is not None:
        loaded.calibrate(module, weights)
    return architecture, module.train(workload.phase != "inference")


def calibrate(
    workload: Workload, architecture: Architecture, module: nn.Module, seed: int, path: str
) -> None:
    """Calibrate a module, and leave what that takes for ``construct`` in a file."""
    pictures = replace(
        workload, batch=calibration.PICTURES, phase="inference", optimizer=OPTIMIZERS[0]
    )
    given = inputs(architecture, pictures, seed, -1)
    # Other heads of a detector would find something everywhere, which takes its time to sort out.
    heads = not TASKS[architecture.task].selects
    arrays = calibration.calibrate(module, given, contractions=heads)
    calibration.save(Path(path), arrays)


def built(spec: Spec, seed: int, weights: str | None = None) -> Step:
    """The step of a spec, from nothing."""
    architecture, module = construct(spec.workload, seed, weights)
    return step(spec, architecture, module, seed)


def counted(workload: Workload, seed: int) -> analysis.Analysis:
    """A workload counted on the meta device."""
    found: list[Architecture] = []

    def make() -> nn.Module:
        architecture, module = construct(workload, seed)
        found.append(architecture)
        return module

    module = analysis.build_on_meta(make)
    # The module has been prepared for fine-tuning already: frozen parameters stay frozen.
    phase: Phase = "inference" if workload.phase == "inference" else "training"
    return analysis.analyze(
        module,
        inputs(found[0], workload, seed),
        phase=phase,
        optimizer=workload.optimizer,
        loss=loss_of(found[0], seed),
    )


def resolve(workload: Workload) -> Architecture:
    """The network or the layer that a workload names."""
    if is_conv(workload.architecture):
        return convolution.architecture(workload)
    return architectures.resolve(workload.architecture)


def inputs(
    architecture: Architecture, workload: Workload, seed: int, number: int = 0
) -> tuple[Any, ...]:
    """Seeded float32 inputs on the CPU; for training also targets, if the task needs them.

    ``number`` tells the pictures apart: 0 are those that are timed. The user's own take their place
    if there are any.
    """
    generator = torch.Generator().manual_seed((seed + _APART * number) % 2**63)
    # Calibration (number -1) is on seeded pictures whatever the user's are.
    if number >= 0 and images.given(workload):
        return images.inputs(workload, number)
    task = TASKS[architecture.task]
    make = task.inputs
    if workload.phase != "inference" and task.training_inputs is not None:
        make = task.training_inputs
    return make(workload.batch, workload.input, generator)


def loss_of(architecture: Architecture, seed: int) -> Callable[[Any], Tensor]:
    """The training loss of an architecture's task, with the same targets on every call."""
    loss = TASKS[architecture.task].loss
    return lambda output: loss(output, torch.Generator().manual_seed(seed))


def with_new_head(module: nn.Module) -> None:
    """Freeze everything but the classifiers and reinitialise those: the usual transfer learning."""
    variants.freeze_backbone(module)
    for path in variants.heads(module):
        # Linear layers and convolutions all have it, but nn.Module does not say so.
        getattr(module.get_submodule(path), "reset_parameters", lambda: None)()


def step(spec: Spec, architecture: Architecture, module: nn.Module, seed: int) -> Step:
    """The iteration that a spec times; compilation happens on its first call."""
    given = inputs(architecture, spec.workload, seed)
    if spec.workload.phase == "inference":
        made = inference(spec, module, given)
        made.selects = TASKS[architecture.task].selects
    else:
        made = _training(spec, architecture, module, given, seed)
    if not is_conv(spec.workload.architecture):
        made.others = functools.partial(_others, architecture, spec.workload, seed)
        made.own = functools.partial(inputs, architecture, spec.workload, seed)
    return made


def _others(architecture: Architecture, workload: Workload, seed: int) -> Iterator[tuple[Any, ...]]:
    """The pictures of the check beside those that are timed."""
    for number in range(1, PICTURES):
        yield inputs(architecture, workload, seed, number)


def flipped(given: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Other pictures than those that are given, made of them: mirrored, upside down, both."""

    def flip(leaf: Any, axes: tuple[int, ...]) -> Any:
        return leaf.flip(axes) if isinstance(leaf, Tensor) and leaf.dim() > 2 else leaf

    for axes in ((-1,), (-2,), (-1, -2)):
        yield pytree.tree_map(functools.partial(flip, axes=axes), given)


def inference(spec: Spec, module: nn.Module, given: tuple[Any, ...]) -> Step:
    """A forward pass of a module on given inputs, both moved to the spec's device and mode."""
    module, given = modes.prepare(spec.mode, spec.device, module, given)
    module = replaced.implemented(spec, module, given)
    function = modes.compiled(spec.mode, module)

    def call() -> Any:
        with torch.inference_mode(), modes.autocast(spec.mode, spec.device):
            return function(*given)

    return Step(call, outputs.tensors, module, given)


def _training(
    spec: Spec, architecture: Architecture, module: nn.Module, given: tuple[Any, ...], seed: int
) -> Step:
    convolution.check(spec)
    module, given = modes.prepare(spec.mode, spec.device, module, given)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = optimizers.make(spec.workload.optimizer, trainable)
    function, loss = modes.compiled(spec.mode, module), loss_of(architecture, seed)
    step = _TrainingStep(spec, function, given, optimizer, loss)

    def observe(loss: Tensor) -> list[Tensor]:
        # Norms instead of gradients: as informative for a comparison, and small enough to keep.
        norms = [p.grad.double().norm() for p in trainable if p.grad is not None]
        return [loss, torch.stack(norms)] if norms else [loss]

    parts = Parts(step.forward, step.loss, step.backward, step.update_and_drop)
    return Step(step.call, observe, module, given, optimizer, parts)


class _TrainingStep:
    """Forward, loss, backward and update: as one call, and separately."""

    def __init__(
        self,
        spec: Spec,
        function: Callable[..., Any],
        given: tuple[Any, ...],
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[Any], Tensor],
    ) -> None:
        self._function, self._given, self._loss_of = function, given, loss_of
        self._optimizer = optimizer
        self._left: Any = None
        self._autocast = functools.partial(modes.autocast, spec.mode, spec.device)
        half = modes.PRECISIONS[spec.mode.precision].autocast is torch.float16
        self._scaler = torch.amp.GradScaler(spec.device.kind, enabled=half)

    def call(self) -> Tensor:
        """The whole step as users write it: one autocast around forward and loss."""
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            value = self._loss_of(self._function(*self._given))
        self._scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        self._update()
        return value.detach()

    def forward(self) -> None:
        with self._autocast():
            self._left = self._function(*self._given)

    def loss(self) -> Tensor:
        with self._autocast():
            self._left = self._loss_of(self._left)
        value: Tensor = self._left.detach()
        return value

    def backward(self) -> None:
        self._scaler.scale(self._left).backward()  # type: ignore[no-untyped-call]
        self._left = None

    def update_and_drop(self) -> None:
        self._update()
        self._optimizer.zero_grad(set_to_none=True)

    def _update(self) -> None:
        self._scaler.step(self._optimizer)
        self._scaler.update()


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
