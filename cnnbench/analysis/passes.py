"""The passes of a workload under a trace: forward alone, or forward, loss and backward.

Knows how a phase runs a module, but not what is counted.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cnnbench.analysis.arguments import tensors_in
from cnnbench.analysis.attention import fused_attention
from cnnbench.analysis.autocast import DEVICE, followed
from cnnbench.analysis.composites import composites
from cnnbench.analysis.failures import explain
from cnnbench.analysis.foreign import gradients_kept
from cnnbench.analysis.fused import FusedCalls, fused_kernels
from cnnbench.analysis.liveness import Peak
from cnnbench.analysis.meta import without_collector
from cnnbench.analysis.modules import ModuleStack, set_training
from cnnbench.analysis.storages import Seen, seen
from cnnbench.analysis.trace import OperatorFailed, Raw, Trace
from cnnbench.errors import CnnbenchError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnbench.analysis.modules import Inventory

    Loss = Callable[[Any, tuple[Any, ...]], Tensor]
    # Positional and keyword arguments of a network.
    Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Recording:
    """One traced pass.

    Attributes:
        rows: the executed operators in order.
        stack: the modules and their calls.
        assumed: data-dependent operators and the number of times their size was assumed.
        inputs: the network's, each with its first spatial axis.
        resident: bytes of parameters, buffers, and inputs with targets, each storage once.
        peak: of everything that was allocated, residents apart.
        peak_with_scratch: the same with what oneDNN is modelled to hold inside convolutions.
        activation_peak: the same without gradients of parameters.
        gradients: bytes of gradients of parameters at the end.
        at_end: bytes alive when the pass is over.
        saved: bytes alive when forward is over.
        unread_params: elements of parameters that no forward operator read.
        unmodelled: layers that a CPU runs as one kernel whose memory is not known.
        lowered: whether autocast took something on meta to a lower precision.
    """

    rows: list[Raw]
    stack: ModuleStack
    assumed: dict[str, int]
    inputs: list[tuple[Seen, int]]
    resident: tuple[int, int, int]
    peak: Peak
    peak_with_scratch: Peak
    activation_peak: Peak
    gradients: int
    at_end: int
    saved: int
    unread_params: int
    unmodelled: tuple[str, ...] = ()
    lowered: bool = False


def record(
    parts: Inventory,
    given: Arguments,
    *,
    training: bool,
    meta: bool = True,
    keep: int = 1,
    loss: Loss | None = None,
    lower: torch.dtype | None = None,
) -> Recording:
    """Run one pass of a module whose mode may be changed, and record every operator.

    ``lower`` is the precision to which autocast takes forward and loss; backward runs outside.
    Module and loss are called twice where torch imports something the first time.

    Raises:
        WrongInput: a layer does not accept its input.
        Unsupported: an operator needs values.
    """

    def traced() -> Recording:
        return _recorded(
            parts, given, training=training, meta=meta, keep=keep, loss=loss, lower=lower
        )

    known = len(sys.modules)
    found = traced()
    if not meta or len(sys.modules) == known:
        return found
    # Torch imports its compiler when an operator first needs it, and exceptions inside that import
    # keep the frames of all its callers, with their tensors: some would seem to live for longer.
    for leaf in (*parts.parameters, *tensors_in(given)):
        leaf.grad = None
    return traced()


def _recorded(
    parts: Inventory,
    given: Arguments,
    *,
    training: bool,
    meta: bool,
    keep: int,
    loss: Loss | None,
    lower: torch.dtype | None,
) -> Recording:
    if any(getattr(child, "training", training) is not training for child in parts.modules):
        _set_mode(parts, training=training)
    stack = ModuleStack(parts)
    trace, tensors = Trace(stack, meta=meta, keep=keep), tensors_in(given)
    with _explained(trace):
        resident = (
            trace.live.resident(parts.parameters),
            trace.live.resident(parts.buffers),
            trace.live.resident(tensors),
        )
        views = [seen(tensor) for tensor in tensors]
    # Detectors take a list of pictures.
    single = bool(given[0]) and isinstance(given[0][0], (list, tuple))
    with _explained(trace), without_collector(), torch.inference_mode(mode=False):
        fused = _as_on_a_cpu(trace) if meta else contextlib.nullcontext()
        with torch.set_grad_enabled(training), fused as regions, stack, trace:
            own = [*parts.parameters, *tensors]
            output, saved = _run(trace, given, loss, lower, own=own, training=training)
    # A loss may keep targets from step to step; they are inputs of a training step.
    targets = trace.live.resident(getattr(loss, "targets", ()))
    gradients = [p.grad for p in parts.parameters if p.is_leaf and p.grad is not None]
    numbers = trace.live.numbers(gradients)
    peak, with_scratch = trace.live.peaks()
    result = Recording(
        rows=trace.rows,
        stack=stack,
        assumed=trace.assumed,
        inputs=[(view, 1 if single or stack.unbatched(len(view.shape)) else 2) for view in views],
        resident=(*resident[:2], resident[2] + targets),
        peak=peak,
        peak_with_scratch=with_scratch,
        activation_peak=trace.live.peaks(without=numbers)[0] if numbers else peak,
        gradients=_storage_bytes(gradients),
        at_end=trace.live.alive_bytes(),
        saved=saved,
        unread_params=_unread(parts, trace.rows),
        **_of_regions(regions),
    )
    del output
    trace.live.close()
    return result


def _set_mode(parts: Inventory, *, training: bool) -> None:
    """What ``train`` does, without its walk where no module has one of its own."""
    usual = nn.Module.train
    if any(type(one).train is not usual or "train" in one.__dict__ for one in parts.modules):
        set_training(parts.modules[0], training=training)
    else:
        for child in parts.modules:
            child.training = training


def _of_regions(regions: FusedCalls | None) -> dict[str, Any]:
    if regions is None:
        return {}
    return {"unmodelled": tuple(sorted(regions.unknown)), "lowered": regions.lowered}


@contextlib.contextmanager
def _as_on_a_cpu(trace: Trace) -> Iterator[FusedCalls]:
    """Kernels that meta does not have, while a trace runs."""
    with (
        fused_attention(),
        composites(trace.unmodelled),
        fused_kernels(trace) as regions,
        followed() as casts,
    ):
        yield regions
        regions.end()
        regions.lowered = casts.used


@contextlib.contextmanager
def _explained(trace: Trace) -> Iterator[None]:
    real = not trace.on_meta
    try:
        yield
    except CnnbenchError:
        raise
    except OperatorFailed as failure:
        place = trace.stack.failed_in(failure)
        raise explain(
            failure.error, trace.stack, place, failure.operator, failure.shapes, real=real
        ) from failure
    except Exception as error:
        raise explain(error, trace.stack, trace.stack.failed_in(error), real=real) from error


def _run(
    trace: Trace,
    given: Arguments,
    loss: Loss | None,
    lower: torch.dtype | None,
    *,
    own: list[Tensor],
    training: bool,
) -> tuple[Any, int]:
    """Forward; in training loss and backward. The output, and the bytes alive after forward.

    Gradients stay with ``own`` tensors alone.
    """
    region = torch.autocast(DEVICE, dtype=lower) if lower else contextlib.nullcontext()
    with region:
        output = trace.stack.modules[0](*given[0], **given[1])
        saved = trace.live.alive_bytes()
        roots = _roots(output, (*given[0], *given[1].values()), loss) if training else []
    if training:
        trace.stack.begin_backward()
        with gradients_kept(roots, own):
            torch.autograd.backward(roots, [torch.ones_like(root) for root in roots])
    return output, saved


def _roots(output: Any, inputs: tuple[Any, ...], loss: Loss | None) -> list[Tensor]:
    """Where backward begins: a loss, or every differentiable output with a gradient of its size."""
    if loss is not None:
        roots = [loss(output, inputs)]
    else:
        roots = [leaf for leaf in tensors_in(_plain(output)) if leaf.requires_grad]
    if not roots:
        raise Unsupported("nothing to train: no output depends on a trainable parameter")
    return roots


def _plain(output: Any) -> Any:
    """The attributes of output objects that are no containers."""
    known = isinstance(output, (Tensor, dict, tuple, list)) or is_dataclass(output)
    return output if known or not hasattr(output, "__dict__") else vars(output)


def _storage_bytes(tensors: list[Tensor]) -> int:
    sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}  # noqa: SLF001
    return sum(sizes.values())


def _unread(parts: Inventory, rows: list[Raw]) -> int:
    """Elements of parameters that no forward operator took."""
    read: set[int] = set()
    for row in rows:
        if not row.backward:
            read.update(row.reads)
    return sum(
        p.numel()
        for p in parts.parameters
        if p.untyped_storage()._cdata not in read  # noqa: SLF001
    )
