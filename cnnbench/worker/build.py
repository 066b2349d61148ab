"""Spec -> Step: a zero-argument callable that does one iteration, ready on its device in its mode.

Weights are random but seeded, as inputs are (``inputs``), so that every process of a workload
computes the same thing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cnnbench import analysis, architectures, trained
from cnnbench.architectures import losses, own_losses, sources, training
from cnnbench.architectures.tasks import TASKS
from cnnbench.conv.problem import is_conv
from cnnbench.errors import Unsupported
from cnnbench.facts import Deployment
from cnnbench.named import AUTO
from cnnbench.profile import Primitive
from cnnbench.spec import OPTIMIZERS
from cnnbench.worker import (
    calibration,
    convolution,
    graphed,
    inner,
    inputs,
    modes,
    optimizers,
    outputs,
    randomness,
    replaced,
)
from cnnbench.worker import weights as loaded
from cnnbench.worker.forward import Forward
from cnnbench.worker.inputs import Given, tensors
from cnnbench.worker.runtimes import deployed
from cnnbench.worker.training_step import TrainingStep

if TYPE_CHECKING:
    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Spec, Workload


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
        given: what it is called with.
        optimizer: present in training phases.
        parts: the same iteration in parts, in training phases.
        loss: what it minimises, in training phases.
        trained: which part of the network it trains, in words (``architectures.training``).
        selects: what is observed is chosen by sorting scores (``tasks.Task``).
        others: arguments like ``given``, of other pictures.
        types: floating-point types of the module in words (``modes.described``), its own under
            ``own_dtype`` and those in the mode under ``dtype``, for a run's flags.
        unusual: what is unusual about its calls, known after the first.
        changed: flags that code of the network changed while it was built, and that were put back.
        own: those of its own picture, as they were before the first call.
        sure: the call, repeated until its gradients are finite, where that is not certain.
        facts: what to keep of its calls with a run.
        overwrites: the network writes into its inputs, as far as ``answers`` has seen.
        elsewhere: what is called holds weights of its own, and not the module.
        nodes: times of its layers, by the profiler of the runtime that runs them.
        deployment: how the network came to run in a deployment runtime, after its first call.
    """

    call: Callable[[], Any]
    observe: Callable[[Any], list[Tensor]]
    module: nn.Module
    given: Given
    optimizer: torch.optim.Optimizer | None = None
    parts: Parts | None = None
    loss: losses.Loss | None = None
    trained: str = ""
    selects: bool = False
    others: Callable[[], Iterator[Given]] = lambda: iter(())
    types: Mapping[str, str] = field(default_factory=dict)
    unusual: Callable[[], list[str]] = list
    changed: Sequence[str] = ()
    overwrites: bool = False
    own: Callable[[], Given] | None = None
    sure: Callable[[], Any] | None = None
    facts: Callable[[], Mapping[str, Any]] = dict
    elsewhere: bool = False
    nodes: Callable[[], tuple[Primitive, ...]] | None = None
    deployment: Callable[[], Deployment | None] = lambda: None

    def answers(self, *first: Any) -> Generator[Any, None, None]:
        """What it returns for its own picture and for others, through the very inputs it times.

        What it has returned for its own picture may be given as ``first``.
        """
        if self.own is None:
            own = [tensor.clone() for tensor in self.given.tensors]
        else:  # a network may write to its input, and the calls before this one have
            own = self.own().tensors
            self._show(own)
        try:
            yield from first or (self._seen_calling(),)
            for given in self.others():
                self._show(given.tensors)
                yield self._seen_calling()
        finally:
            self._show(own)

    def _seen_calling(self) -> Any:
        """What it returns; whether it wrote into its inputs is noted."""
        before = [tensor.clone() for tensor in self.given.tensors]
        result = (self.sure or self.call)()
        same = map(torch.equal, before, self.given.tensors)
        self.overwrites = self.overwrites or not all(same)
        return result

    def _show(self, pictures: list[Tensor]) -> None:
        """Put other values into the inputs where they lie: graphs were captured on them."""
        with torch.inference_mode():
            for tensor, values in zip(self.given.tensors, pictures, strict=True):
                tensor.copy_(values)

    @property
    def said(self) -> dict[str, str]:
        """What a run's flags keep of a training step."""
        loss = self.loss
        return {} if loss is None else {"loss": loss.description, "trained": self.trained}

    def resident(self) -> list[Tensor]:
        """Every tensor that lives before an iteration starts."""
        found = [*self.given.tensors]
        if not self.elsewhere:
            found += [*self.module.parameters(), *self.module.buffers()]
        if self.optimizer is not None:
            found += tensors(list(self.optimizer.state.values()))
        return found + (self.loss.targets if self.loss is not None else [])


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
    randomness.seed_everything(seed)  # builders may draw from any generator
    module = made(architecture, workload)
    modes.refuse_compiled(module)
    loaded.load(workload, architecture, module)
    if workload.phase != "inference":
        prepare(module, training_of(architecture, workload))
    if weights is not None:
        loaded.calibrate(module, weights)
    analysis.set_training(module, training=workload.phase != "inference")
    return architecture, module


def made(architecture: Architecture, workload: Workload) -> nn.Module:
    """The network of a workload as its builder leaves it, lazy layers shaped by its inputs."""
    single = replace(workload, batch=1, phase="inference", optimizer=OPTIMIZERS[0])

    def given(module: nn.Module) -> Given:
        return inputs.made(architecture, single, 0, dtype=inputs.dtype_for(module))

    return architectures.build(architecture, given, **workload.keywords)


def calibrate(
    workload: Workload, architecture: Architecture, module: nn.Module, seed: int, path: str
) -> None:
    """Calibrate a module, and leave what that takes for ``construct`` in a file.

    It is done in float32, and leaves the module there.
    """
    pictures = replace(
        workload, batch=calibration.PICTURES, phase="inference", optimizer=OPTIMIZERS[0]
    )
    given = inputs.made(architecture, pictures, seed, -1)
    if modes.coarsest(module) is not torch.float32:
        module.float()
    # Other heads of a detector would find something everywhere, which takes its time to sort out.
    heads = not TASKS[architecture.task].selects
    arrays = calibration.calibrate(module, given, contractions=heads)
    calibration.save(Path(path), arrays)


def built(spec: Spec, seed: int, weights: str | None = None) -> Step:
    """The step of a spec, from nothing."""
    architecture, module = construct(spec.workload, seed, weights)
    return step(spec, architecture, module, seed)


def counted(workload: Workload, seed: int) -> analysis.Analysis:
    """A workload counted on the meta device; on real tensors if its values decide what it does."""
    try:
        return _counted(workload, seed, real=False)
    except Unsupported:
        return _counted(workload, seed, real=True)


def _counted(workload: Workload, seed: int, *, real: bool) -> analysis.Analysis:
    found: list[Architecture] = []

    def make() -> nn.Module:
        architecture, module = construct(workload, seed)
        found.append(architecture)
        return module

    module = make() if real else analysis.build_on_meta(make)
    dtype = inputs.dtype_for(module)
    given = inputs.made(found[0], workload, seed, dtype=dtype, values=real)
    if workload.phase != "inference":
        _differentiated(workload, given)
    return analysis.analyze(
        module,
        *given,
        phase=workload.phase,
        optimizer=workload.optimizer,
        real=real,
        loss=loss_of(found[0], seed, workload.setting("loss", AUTO)),
        own=not real,
        trained=training.described,
    )


def resolve(workload: Workload) -> Architecture:
    """The network or the layer that a workload names."""
    if is_conv(workload.architecture):
        return convolution.architecture(workload)
    return architectures.resolve(workload.architecture)


def loss_of(architecture: Architecture, seed: int, name: str = AUTO) -> losses.Loss:
    """The training loss of that name; for an architecture's task, if it has no other name."""
    if ":" in name:
        return losses.Loss(name, own_losses.users(name), seed)
    usual = TASKS[architecture.task].loss
    return losses.Loss(name, usual if name == AUTO else losses.NAMED[name], seed)


def training_of(architecture: Architecture, workload: Workload) -> training.Training:
    """What a workload is to train of its network."""
    arguments = workload.keywords
    new = [name for name in (training.CLASSES, training.CHANNELS) if name in arguments]
    if arguments.get(training.CHANNELS) == architecture.input[0]:
        new.remove(training.CHANNELS)
    return training.Training(
        workload.setting("train", trained.AUTO),
        finetune=workload.phase == "finetune",
        users=architecture.family == sources.USERS,
        new=tuple(new),
    )


def prepare(module: nn.Module, what: training.Training) -> None:
    """Freeze what is not to be trained; fine-tuning begins with new heads, as is usual."""
    new_heads = what.finetune and not what.own(module)
    what.choose(module)
    for path in training.heads(module) if new_heads else ():
        # Linear layers and convolutions all have it, but nn.Module does not say so.
        getattr(module.get_submodule(path), "reset_parameters", lambda: None)()


def step(spec: Spec, architecture: Architecture, module: nn.Module, seed: int) -> Step:
    """The iteration that a spec times; compilation happens on its first call."""
    dtype = inputs.dtype_for(module)
    given = inputs.made(architecture, spec.workload, seed, dtype=dtype)
    changed = modes.put_back()
    if spec.workload.phase == "inference":
        made = inference(spec, module, given)
        made.selects = TASKS[architecture.task].selects
    else:
        loss = loss_of(architecture, seed, spec.workload.setting("loss", AUTO))
        made = training_step(spec, module, given, loss)
    made.changed = changed
    if not is_conv(spec.workload.architecture):
        made.others = functools.partial(inputs.others, architecture, spec.workload, seed, dtype)
        made.own = functools.partial(inputs.made, architecture, spec.workload, seed, dtype=dtype)
    return made


def inference(spec: Spec, module: nn.Module, given: Given) -> Step:
    """A forward pass of a module on what it is given, both moved to the spec's device and mode."""
    module, given, types = _prepared(spec, module, given)
    module = replaced.implemented(spec, module, given)
    function = modes.compiled(spec.mode, module)
    call = Forward(spec, function, given)
    made = Step(call, outputs.tensors, module, given, types=types, unusual=call.remarks)
    if spec.mode.runtime:
        return deployed.deployed(spec, made)
    return graphed.replaying(made) if spec.mode.compiler == "graph" else made


def _prepared(
    spec: Spec, module: nn.Module, given: Given
) -> tuple[nn.Module, Given, dict[str, str]]:
    """Both on the spec's device in its mode, and the module's types before and after that."""
    own = modes.described(module)
    module, given = modes.prepare(spec.mode, spec.device, module, given)
    return module, given, {"own_dtype": own, "dtype": modes.described(module)}


def _differentiated(workload: Workload, given: Given) -> list[Tensor]:
    """The inputs that get a gradient, which are marked: within a network a layer's have one."""
    if not is_conv(workload.architecture):
        return []
    return [tensor.requires_grad_() for tensor in given.tensors]


def training_step(spec: Spec, module: nn.Module, given: Given, loss: losses.Loss) -> Step:
    """A training step of a module, both it and its inputs moved to the spec's device and mode."""
    convolution.check(spec)
    graphed.refuse_training(spec.mode)
    deployed.refuse_training(spec.mode)
    module, given, types = _prepared(spec, module, given)
    differentiated = _differentiated(spec.workload, given)
    trainable = [one for one in module.parameters() if one.requires_grad]
    if not trainable:
        raise training.nothing(module)
    optimizer = optimizers.make(spec.workload.optimizer, trainable)
    function = modes.compiled(spec.mode, module)
    step = TrainingStep(spec, function, given, optimizer, loss)

    def observe(loss: Tensor) -> list[Tensor]:
        # Few numbers instead of each gradient: its norm, and sums that see its signs and places. As
        # informative for a comparison, and small enough to keep.
        some = (*trainable, *differentiated)
        found = [outputs.comparable(p.grad) for p in some if p.grad is not None]
        if not found:
            return [loss]
        norms, sums = [one.norm() for one in found], [inner.sketch(one) for one in found]
        return [loss, torch.stack(norms), torch.stack(sums)]

    parts = Parts(step.forward, step.loss, step.backward, step.update_and_drop)
    told, scale = training.described(module), step.scale
    return Step(
        step.call, observe, module, given, optimizer, parts, loss, told, types=types,
        unusual=scale.remarks, sure=step.sure, facts=scale.facts,
    )  # fmt: skip
