"""Spec -> Step: a zero-argument callable that does one iteration, ready on its device in its mode.

Weights and inputs are random but seeded, so that every process of a workload computes the same
thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench import architectures
from cnnbench.architectures import variants
from cnnbench.architectures.tasks import TASKS
from cnnbench.convproblem import is_conv
from cnnbench.worker import convolution, modes

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Spec, Workload


@dataclass
class Step:
    """One iteration of a workload.

    Attributes:
        call: runs it; returns outputs (inference) or the loss (training).
        observe: what is compared with the reference, from what ``call`` returned.
        module: the network itself, not compiled.
        inputs: its positional arguments.
        optimizer: present in training phases.
    """

    call: Callable[[], Any]
    observe: Callable[[Any], list[Tensor]]
    module: nn.Module
    inputs: tuple[Any, ...]
    optimizer: torch.optim.Optimizer | None = None

    def resident(self) -> list[Tensor]:
        """Every tensor that lives before an iteration starts."""
        tensors = [*self.module.parameters(), *self.module.buffers(), *_tensors(self.inputs)]
        if self.optimizer is not None:
            tensors += _tensors(list(self.optimizer.state.values()))
        return tensors


def construct(workload: Workload, seed: int) -> tuple[Architecture, nn.Module]:
    """Architecture and module with seeded random weights, in the form of the workload's phase."""
    architecture = resolve(workload)
    torch.manual_seed(seed)
    module = architectures.build(architecture, **workload.keywords)
    if workload.phase == "finetune":
        with_new_head(module)
    return architecture, module.train(workload.phase != "inference")


def resolve(workload: Workload) -> Architecture:
    """What a workload's name stands for: a network, or a layer."""
    if is_conv(workload.architecture):
        return convolution.architecture(workload)
    return architectures.resolve(workload.architecture)


def inputs(architecture: Architecture, workload: Workload, seed: int) -> tuple[Any, ...]:
    """Seeded float32 inputs on the CPU; in training with what the task adds (targets)."""
    generator = torch.Generator().manual_seed(seed)
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
    """Freeze everything but the classifiers and initialise those anew: the usual transfer."""
    variants.freeze_backbone(module)
    for path in variants.heads(module):
        # Linear layers and convolutions all have it, but nn.Module does not say so.
        getattr(module.get_submodule(path), "reset_parameters", lambda: None)()


def step(spec: Spec, architecture: Architecture, module: nn.Module, seed: int) -> Step:
    """The iteration that a spec times; compilation happens on its first call."""
    given = inputs(architecture, spec.workload, seed)
    if spec.workload.phase == "inference":
        return inference(spec, module, given)
    return _training(spec, architecture, module, given, seed)


def inference(spec: Spec, module: nn.Module, given: tuple[Any, ...]) -> Step:
    """A forward pass of a module on given inputs, both moved to the spec's device and mode."""
    module, given = modes.prepare(spec.mode, spec.device, module, given)
    module = convolution.implemented(spec, module)
    function = modes.compiled(spec.mode, module)

    def call() -> Any:
        with torch.inference_mode(), modes.autocast(spec.mode, spec.device):
            return function(*given)

    return Step(call, _tensors, module, given)


def _training(
    spec: Spec, architecture: Architecture, module: nn.Module, given: tuple[Any, ...], seed: int
) -> Step:
    convolution.check(spec)
    module, given = modes.prepare(spec.mode, spec.device, module, given)
    function = modes.compiled(spec.mode, module)
    loss = loss_of(architecture, seed)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    # A learning rate of zero does all of an optimiser's work and keeps every iteration the same
    # work on the same numbers: a benchmark that trains on noise drifts into infinities or subnormal
    # numbers.
    optimizer = torch.optim.SGD(trainable, lr=0.0, momentum=0.9)
    half = modes.PRECISIONS[spec.mode.precision].autocast is torch.float16
    scaler = torch.amp.GradScaler(spec.device.kind, enabled=half)

    def call() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with modes.autocast(spec.mode, spec.device):
            value = loss(function(*given))
        scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    def observe(loss: Tensor) -> list[Tensor]:
        # Norms instead of gradients: as telling for a comparison, and small enough to keep.
        norms = [p.grad.double().norm() for p in trainable if p.grad is not None]
        return [loss, torch.stack(norms)] if norms else [loss]

    return Step(call, observe, module, given, optimizer)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
