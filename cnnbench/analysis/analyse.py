"""From a module and its inputs to an ``Analysis``: which passes run, and on which twin."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.export import ExportedProgram

from cnnbench.analysis import layers, memory, optimizers, packed, untouched, weighted
from cnnbench.analysis.arguments import tensors_in, twins
from cnnbench.analysis.copies import modules_of, tensors_of
from cnnbench.analysis.dynamic import ASSUMED, SCALAR
from cnnbench.analysis.failures import WrongInput, failed
from cnnbench.analysis.meta import copy_real, copy_to_meta, settled, without_collector
from cnnbench.analysis.modules import take_inventory
from cnnbench.analysis.passes import record
from cnnbench.analysis.result import Analysis
from cnnbench.costs import Slope, Totals
from cnnbench.errors import Unsupported, UsageError
from cnnbench.facts import BRANCH
from cnnbench.spec import OPTIMIZERS, PHASES, Optimizer, Phase, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cnnbench.analysis.modules import Inventory
    from cnnbench.analysis.optimizers import Maker
    from cnnbench.analysis.passes import Arguments, Loss, Recording


def analyze(
    module: nn.Module,
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None = None,
    *,
    phase: Phase = "inference",
    optimizer: Optimizer | Maker = OPTIMIZERS[0],
    real: bool = False,
    loss: Loss | None = None,
    name: str | None = None,
    mode: str = "eager",
    autocast: torch.dtype | None = None,
    own: bool = False,
    trained: Callable[[nn.Module], str] | None = None,
) -> Analysis:
    """Count everything about one workload without allocating or running it.

    Args:
        module: on meta (``build_on_meta``) or anywhere; left exactly as it was.
        inputs: positional arguments of ``forward``; only shapes and types of tensors are used.
        kwargs: its keyword arguments.
        phase: ``training`` and ``finetune`` add a backward pass.
        optimizer: whose state and step the memory prediction includes: a name, or what makes one.
        real: run operators on copies of the real tensors, for networks that look at values.
        loss: ``(output, inputs) -> scalar``; without it, every output gets a gradient.
        name: what to call it; its class otherwise.
        mode: text of the mode in which module and inputs are.
        autocast: the precision to which forward and loss are autocast, by a CPU's rules.
        own: built on meta for this call alone, so that it may be changed: no twin is made.
        trained: in training, freezes parts of the twin, and says in words what is left to train.

    Raises:
        UsageError: unknown phase or optimizer; ``WrongInput``: a layer does not accept its input.
        Unsupported: an operator needs values without ``real``, or the module cannot be copied.
    """
    hooks = untouched.count_hooks(module := _checked(module, phase, optimizer), real=real)
    arguments = twins(given := (tuple(inputs), dict(kwargs or {})), real=real)
    wrapped = _shaped(getattr(module, "_orig_mod", module), given, real=real)  # of torch.compile
    with without_collector(), _workable(wrapped, hooks, real=real, own=own) as parts:
        run = functools.partial(record, parts, meta=not real, lower=autocast)
        inference = run(arguments, training=False)
        slopes = _slopes(run, arguments, inference) if inference.assumed and not real else ()
        passed, trains, step = inference, phase != "inference", None
        told = trained(parts.modules[0]) if trained is not None and trains else ""
        if trains:
            passed = run(twins(given, real=real), training=True, loss=loss)
            step = optimizers.held(optimizer, [p for p in parts.parameters if p.requires_grad])
        return Analysis(
            name=name or type(wrapped).__name__,
            phase=phase, optimizer=step.name if step else _word(optimizer),
            mode=mode, trained=told, real=real,
            batch=_batch(given, inference),
            input=tuple(tuple(leaf.shape) for leaf in tensors_in(given)),
            **_elements(parts),
            auxiliary_params=inference.unread_params,
            **_totals(inference, passed, slopes),
            memory=memory.predict(passed, step),
            assumptions=_assumptions(parts, inference, passed, real, hooks, autocast),
            depth=weighted.depth(inference), recording=passed,
        )  # fmt: skip


def _shaped(module: nn.Module, given: Arguments, *, real: bool) -> nn.Module:
    return module if real else settled(module, *twins(given, real=False))


def countable(given: Any) -> nn.Module:
    """The module to count: what was given, or that of an exported program.

    Raises:
        UsageError: it is none.
    """
    if isinstance(given, ExportedProgram):
        return given.module()
    if isinstance(given, type):
        raise UsageError(
            f"only a torch.nn.Module can be counted, not the class {given.__name__}; make one of it"
        )
    if not isinstance(given, nn.Module):
        way = "call it in the forward of one" if callable(given) else "pass the network itself"
        raise UsageError(
            f"only a torch.nn.Module can be counted, not {type(given).__name__}; {way}"
        )
    return given


def _checked(given: Any, phase: str, optimizer: Any) -> nn.Module:
    one_of("phase", phase, PHASES)
    optimizers.checked(optimizer)
    return countable(given)


def _word(optimizer: Optimizer | Maker) -> str:
    """What inference, which has no step, says of it."""
    return optimizer if isinstance(optimizer, str) else OPTIMIZERS[0]


@contextlib.contextmanager
def _workable(module: nn.Module, hooks: int, *, real: bool, own: bool) -> Iterator[Inventory]:
    """What may be run and changed, without its ``hooks`` that are functions.

    Random numbers are put back afterwards.

    Raises:
        Unsupported: it fails on meta, perhaps for want of its hooks.
    """
    if own and not real:
        untouched.detach(twin := module, {})
    else:
        twin = copy_real(module) if real else copy_to_meta(module)
    parts = take_inventory(twin)
    compiled = False
    for child in parts.modules:
        if isinstance(child, nn.TransformerEncoder):
            child.use_nested_tensor = False  # padding counts as dense
        for name, part in child.named_children():
            if (plain := getattr(part, "_orig_mod", None)) is not None:  # of torch.compile
                setattr(child, name, plain)
                compiled = True
    with untouched.random_numbers(tensors_of(module)):
        try:
            yield take_inventory(twin) if compiled else parts
        except WrongInput as error:
            if not hooks:
                raise
            if real:
                raise Unsupported(
                    f"{_left_out(hooks)[0]}, because they reach more than the network, whose"
                    f" forward fails without them ({failed(error)}); keep what they collect in an"
                    " attribute of the module"
                ) from error
            raise Unsupported(
                f"{error}; {_left_out(hooks)[0]}: pass real=True (--real), which calls those that"
                " reach the network alone"
            ) from error


def _batch(given: Arguments, recording: Recording) -> int:
    """Samples in the input: its first axis, a list's length, or 1 for an unbatched image."""
    first = given[0][0] if given[0] else None
    if isinstance(first, (list, tuple)):
        return len(first)
    tensors = tensors_in(given)
    if not tensors or tensors[0].dim() < 2:
        return 1
    image = tensors[0].dim() == 3 and any(
        isinstance(module, nn.Conv2d) and shape is not None and len(shape) == 3
        for module, shape in zip(recording.stack.modules, recording.stack.inputs, strict=True)
    )
    return 1 if image else tensors[0].shape[0]


def _elements(parts: Inventory) -> dict[str, Any]:
    return {
        "params": sum(p.numel() for p in parts.parameters),
        "trainable_params": sum(p.numel() for p in parts.parameters if p.requires_grad),
        "buffers": sum(b.numel() for b in parts.buffers),
    }


def _slopes(
    run: Callable[..., Recording], arguments: Arguments, one: Recording
) -> tuple[Slope, ...]:
    """The amount that each item adds: the difference of two traces that keep one and two items."""
    two = run(arguments, training=False, keep=2)
    before, after = _per_layer(one), _per_layer(two)
    return tuple(
        Slope(layer, after[layer] - before.get(layer, 0))
        for layer in after
        if after[layer] != before.get(layer, 0)
    )


def _per_layer(recording: Recording) -> dict[str, int]:
    macs: dict[str, int] = {}
    for row in recording.rows:
        if row.macs:
            name = recording.stack.names[row.layer]
            macs[name] = macs.get(name, 0) + row.macs
    return macs


def _static(totals: Totals, slopes: tuple[Slope, ...]) -> Totals:
    """The part that does not depend on the number of items (the trace had one)."""
    if not slopes:
        return totals
    return Totals(
        calls=totals.calls,
        macs=totals.macs - sum(slope.macs for slope in slopes),
        bias_adds=totals.bias_adds,
        read_bytes=totals.read_bytes,
        written_bytes=totals.written_bytes,
        elementwise=totals.elementwise,
    )


def _totals(inference: Recording, passed: Recording, slopes: tuple[Slope, ...]) -> dict[str, Any]:
    """Those of inference and of the phase's passes, which are one if it has no backward."""
    forward = counted = layers.totals(inference.rows)
    backward = None
    if passed is not inference:
        forward = layers.totals(row for row in passed.rows if not row.backward)
        backward = layers.totals(row for row in passed.rows if row.backward)
    return {
        "inference": _static(counted, slopes),
        "forward": forward,
        "backward": backward,
        "uncounted": _uncounted(passed),
        "slopes": slopes,
    }


def _uncounted(recording: Recording) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in recording.rows:
        if row.plan.rule.kind == "unknown":
            counts[row.plan.operator] = counts.get(row.plan.operator, 0) + 1
    return counts


def _assumptions(
    parts: Inventory,
    inference: Recording,
    passed: Recording,
    real: bool,
    hooks: int,
    autocast: torch.dtype | None,
) -> tuple[str, ...]:
    sentences = [*(_by_values(inference) if real else ())]
    if inference.assumed:
        names = ", ".join(sorted(inference.assumed))
        sentences.append(
            f"{names} depend on values: rows and memory assume one kept item per call, and 1 "
            "or False for every value that is read; macs is the static part"
        )
    scripted = any(isinstance(part, torch.jit.ScriptModule) for part in parts.modules)
    if scripted:
        sentences.append("scripted: its layers cannot be separated")
    if holders := packed.layers(parts.modules):
        sentences.append(f"params leaves out the packed weights of quantised layers ({holders})")
    if late := _made_late(parts):
        sentences.append(f"params leaves out {late} that the network makes when it is called")
    elif scripted and not parts.parameters and layers.totals(inference.rows).macs:
        sentences.append("params leaves out weights that are constants: the network is frozen")
    return (*sentences, *_left_out(hooks), *_not_known(passed, autocast))


def _made_late(parts: Inventory) -> int:
    """Elements of parameters that were not there when the inventory was taken."""
    now = modules_of(parts.modules[0])
    known = {id(one) for one in parts.parameters}
    found = {
        id(one): one.numel()
        for module in now
        for one in module._parameters.values()  # noqa: SLF001 - networks may override parameters()
        if one is not None and id(one) not in known
    }
    return sum(found.values())


def _not_known(passed: Recording, autocast: torch.dtype | None) -> tuple[str, ...]:
    """What the predicted scratch lacks."""
    sentences = []
    if passed.unmodelled:
        sentences.append(
            f"memory inside of {', '.join(passed.unmodelled)} is not known for this case: the peak"
            " is that of single operators"
        )
    if autocast is not None or passed.lowered:
        sentences.append(
            "what matrix products in lower precision hold inside depends on the kind of CPU and is"
            " in no scratch"
        )
    return tuple(sentences)


def _by_values(inference: Recording) -> Iterator[str]:
    """What real tensors decided, so that other values may give other counts."""
    ran = {row.plan.name: row.plan.operator for row in inference.rows}
    if SCALAR in ran:
        yield BRANCH
    names = sorted(ran[name] for name in ASSUMED.keys() & ran.keys())
    if names:
        yield f"results of {', '.join(names)} depend on values: counts hold for this input"


def _left_out(hooks: int) -> tuple[str, ...]:
    """Functions reach whatever they like, so they are not called with tensors of a twin."""
    plural = "" if hooks == 1 else "s"
    said = f"{hooks} hook{plural} of the module, plain functions, were not called"
    return (said,) if hooks else ()
