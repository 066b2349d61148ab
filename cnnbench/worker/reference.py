"""What the right answer is, and how far from it rounding alone may lead.

A worker of its own runs a workload on several pictures in fp32 eager, twice, and in float64; and
once for every narrower precision that will be judged, in float32 with every result rounded to it
(``rounding``). The answers are left as plain arrays in a scratch directory.

A network in a narrower type of its own is converted to float32, which holds its weights exactly;
its own type is then one more precision to be judged. Where it does not run in float32, what it
answers in its own type is the reference. One in float64 is left there.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from cnnbench.facts import Deviation, Reference
from cnnbench.spec import Mode
from cnnbench.worker import inner, modes, outputs, randomness
from cnnbench.worker.devices import is_out_of_memory
from cnnbench.worker.modes import PRECISIONS, coarsest
from cnnbench.worker.outputs import Joined
from cnnbench.worker.own_types import OwnTypes
from cnnbench.worker.rounding import INT8, Rounded, rounder, weights_to_int8

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.spec import Spec
    from cnnbench.worker.build import Step

Steps = Callable[["Spec"], "Step"]


def compute(
    spec: Spec,
    step: Steps,
    seed: int,
    path: Path,
    enter: Callable[[str], None] = lambda _: None,
    *,
    float64: bool = True,
    precisions: Iterable[str] = (),
) -> Reference:
    """Run a workload in fp32 eager twice, in float64 once, and with rounding; keep the answers.

    Args:
        spec: the plain spec (eager, contiguous, the network's own precision).
        step: makes a step of a spec, always on the same weights and pictures.
        seed: of whatever the pass draws at random.
        path: where to leave the arrays (``.npz``, nothing pickled).
        enter: told which phase begins.
        float64: whether to do the float64 pass, which can be slow and large.
        precisions: values of the precision axis whose rounding is to be known.
    """
    enter("reference fp32")
    passes = _Passes(spec, step, seed)
    with modes.nothing_compiled():
        usual, again, watch = passes.plain()
        first, second = usual.answers, again.answers
        enter("reference float64")
        exact = passes.float64() if float64 else None
        others = {"fp32": passes.own(exact)}
        for precision in (one for one in precisions if one not in others):
            enter(f"rounding {precision}")
            others[precision] = passes.rounded(precision)
        moved = {precision: one for precision, one in others.items() if one is not None}
        exactly = exact.answers if exact is not None else []
        _keep(path, {"fp32": first, "fp64": exactly}, usual.names)
        rounding, layers = _moves(usual, moved, exact, passes.own_share(exact))
        inner.keep(path, usual.layers, layers)
    return Reference(
        repeatable=_same(first, second),
        error_float64=None if exact is None else relative(first, exact.answers),
        subnormal_share=watch.subnormal_share,
        nonfinite=watch.nonfinite or any(outputs.is_senseless(one) for one in first),
        random=usual.drew,
        subnormal_layer=watch.subnormal_layer,
        pictures=len(first[0]) if first and first[0].dim() else None,
        picture_share=outputs.picture_share(first),
        rounding=rounding,
        notes=tuple(passes.notes),
    )


def _moves(
    usual: Observed, moved: Mapping[str, Observed], exact: Observed | None, own_share: float
) -> tuple[dict[str, tuple[Deviation, ...]], dict[str, dict[str, float]]]:
    """How far each precision's rounding moves every output, and the worst channel of each layer."""
    rounding = {
        precision: differences(
            *((usual.answers, one.answers) if one is exact else (one.answers, usual.answers))
        )
        for precision, one in moved.items()
    }
    layers = {
        precision: inner.worst_channels(one.layers, usual.layers)
        for precision, one in moved.items()
    }
    if "fp32" in moved:
        rounding["fp32"] = tuple(_times(one, own_share) for one in rounding["fp32"])
        layers["fp32"] = {name: own_share * error for name, error in layers["fp32"].items()}
    return rounding, layers


def _once_more(step: Step) -> None:
    """A call in between, or a network that alternates between two answers looks repeatable."""
    between = step.answers()
    next(between)
    between.close()


@dataclass(frozen=True)
class Observed:
    """What a step answered to every picture.

    Attributes:
        answers: its outputs.
        drew: whether it drew random numbers.
        layers: signatures of its layers, of the pictures beside those that are timed.
        names: what leads to each output (``outputs.named``); empty if the picture decides that.
    """

    answers: Joined
    drew: bool
    layers: inner.Signatures
    names: tuple[str, ...] = ()


def observed(spec: Spec, step: Step, seed: int, *first: Any) -> Observed:
    """What a step answers to every picture; what it returned for its own may be ``first``."""
    randomness.seed_everything(seed)
    before = randomness.states()
    answers, names = [], set()
    heard = inner.LayerListener(step.module, spec.workload.batch if step.selects else None)
    with heard if inner.audible(spec) else contextlib.nullcontext():
        for result in step.answers(*first):
            answers.append([outputs.comparable(one) for one in step.observe(result)])
            names.add(tuple(name for name, _ in outputs.named(result)))
            heard.listening = True
    counts = {len(one) for one in answers}
    joined = outputs.joined(answers, spec.workload.batch) if len(counts) == 1 else []
    drew = not randomness.equal(before, randomness.states())
    (alike, *others) = names
    known = alike if not others and len(alike) == len(joined) else ()
    return Observed(joined, drew, heard.signatures(), known)


# Stands for fp32 where there is no float64: small enough a rounding to be proportional to its size.
_COARSER = "tf32"
# Beside the network's own, the precisions that references are computed in.
_SINGLE, _DOUBLE = Mode(precision="float32"), Mode(precision="fp64")
# What converting a network to another type, or running it there, may raise.
_REFUSALS = (RuntimeError, TypeError, ValueError, NotImplementedError, AssertionError)


_UNDOABLE = (*_REFUSALS, MemoryError)


class _Passes:
    """The passes of a reference over one network, whose own types are put back after each."""

    def __init__(self, spec: Spec, step: Steps, seed: int) -> None:
        own = self._first = step(spec)
        self._spec, self._step, self._seed = spec, step, seed
        self._types = OwnTypes(own.module)
        # What could not be done, and the reader of a record must know.
        self.notes: list[str] = []
        self._own = coarsest(own.module)
        narrow = torch.finfo(self._own).eps > torch.finfo(torch.float32).eps
        self._usual = replace(spec, mode=_SINGLE) if narrow else spec

    def plain(self) -> tuple[Observed, Observed, _Watch]:
        """The pass that is the reference, twice, and what was seen in it."""
        try:
            return self._twice(self._usual)
        except _REFUSALS:
            if self._usual is self._spec:
                raise
            self._types.restore()
            self._usual = self._spec
            return self._twice(self._spec)
        finally:
            self._types.restore()

    def _twice(self, spec: Spec) -> tuple[Observed, Observed, _Watch]:
        made = self._first if spec is self._spec else self._step(spec)
        with _Watch(made.module) as watch:
            first = observed(spec, made, self._seed)
        _once_more(made)
        return first, observed(spec, made, self._seed), watch

    def float64(self) -> Observed | None:
        """The same pass in float64, or ``None`` for a network that insists on another dtype."""
        return self._in(_DOUBLE)

    def _in(self, mode: Mode) -> Observed | None:
        try:
            spec = replace(self._spec, mode=mode)
            return observed(spec, self._step(spec), self._seed)
        except _UNDOABLE as error:
            self._note("not compared with float64", error)
            return None
        finally:
            self._types.restore()

    def _note(self, what: str, error: BaseException) -> None:
        """Say what is missing for want of memory; a network that refuses a type is no news."""
        if is_out_of_memory(error):
            self.notes.append(f"{what}: it ran out of memory")

    def own(self, exact: Observed | None) -> Observed | None:
        """A pass that shows how far the network's own precision moves it, if there is one."""
        if self._usual is not self._spec:
            return self.rounded("fp32")
        # Float64 is its own reference; float32 shows how much the network amplifies rounding. And
        # where float64 is not to be had, rounding to fewer bits does.
        if self._own is torch.float64:
            return self._in(_SINGLE)
        return exact or self.rounded(_COARSER)

    def own_share(self, exact: Observed | None) -> float:
        """The share of the deviation in that pass that the network's own precision explains."""
        if self._own is torch.float64:
            return 2.0**-29
        if self._usual is not self._spec or exact is not None:
            return 1.0
        return PRECISIONS[Mode.precision].roundoff / PRECISIONS[_COARSER].roundoff

    def rounded(self, precision: str) -> Observed | None:
        """The same pass with every result rounded; ``None`` where it cannot be run that way."""
        try:
            spec = self._spec
            if self._own is not torch.float32:
                spec = replace(spec, mode=_SINGLE)
            return self._rounded(self._step(spec), precision)
        except _UNDOABLE as error:
            self._note(f"not known how far rounding to {precision} leads", error)
            return None
        finally:
            self._types.restore()

    def _rounded(self, made: Step, precision: str) -> Observed:
        tensors = [*made.module.parameters(), *made.module.buffers()]
        kept = [tensor.detach().clone() for tensor in tensors]
        rounded = Rounded(rounder(precision, self._own))
        try:
            with torch.no_grad():
                # Autocast and TF32 round what is contracted: weights too, but neither biases nor
                # statistics. What a network holds itself is rounded already.
                whole = PRECISIONS[precision].dtype is not None
                least = 2 if precision != Mode.precision else sys.maxsize
                contracted = [one for one in tensors if whole or one.dim() >= least]
                rounded.round_all(contracted, weights_to_int8 if precision == INT8 else None)
            with rounded:
                return observed(self._spec, made, self._seed)
        finally:
            with torch.no_grad():
                for tensor, values in zip(tensors, kept, strict=True):
                    tensor.copy_(values)


def _times(one: Deviation, factor: float) -> Deviation:
    whole, centred = (None if part is None else part * factor for part in (one.whole, one.centred))
    return Deviation(whole, centred)


def differences(got: Joined, reference: Joined) -> tuple[Deviation, ...]:
    """The distance of every output, in all and in what depends on the picture."""
    if len(got) != len(reference):
        return ()
    return tuple(
        Deviation(
            _finite(outputs.distance(one, usual)), _finite(outputs.centred_distance(one, usual))
        )
        for one, usual in zip(got, reference, strict=True)
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def relative(got: Joined, reference: Joined) -> float:
    """Relative Frobenius distance over all floating-point outputs; infinite if it is not finite."""
    pairs = list(zip(got, reference, strict=False))
    if len(got) != len(reference) or any(a.shape != b.shape for a, b in pairs):
        return math.inf
    floats = [(a, b) for a, b in pairs if not outputs.is_exact(b)]
    sums = [outputs.squares(a, b) for a, b in floats]
    gap, norm = sum(one for one, _ in sums), sum(one for _, one in sums)
    distance = math.sqrt(gap / norm) if norm else math.sqrt(gap)
    return math.inf if math.isnan(distance) else distance


def _same(left: Joined, right: Joined) -> bool:
    return len(left) == len(right) and all(
        outputs.alike(a, b) for a, b in zip(left, right, strict=True)
    )


def _keep(path: Path, kept: Mapping[str, Joined], names: tuple[str, ...]) -> None:
    arrays = {"names": np.array(names, dtype=np.str_)} | {
        f"{name}_{place}": tensor.numpy()
        for name, values in kept.items()
        for place, tensor in enumerate(values)
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def kept(path: Path, name: str) -> Joined:
    """The answers of a pass, as ``compute`` left them."""
    with np.load(path, allow_pickle=False) as arrays:
        count = sum(one.startswith(f"{name}_") for one in arrays.files)
        return [torch.from_numpy(arrays[f"{name}_{place}"]) for place in range(count)]


def kept_names(path: Path) -> tuple[str, ...]:
    """What leads to each output of fp32 eager; empty if nothing was left of it."""
    with np.load(path, allow_pickle=False) as arrays:
        return tuple(arrays["names"].tolist()) if "names" in arrays.files else ()


# Numbers of an activation that are looked at together. All at once would take more than twice its
# memory again, which a large batch may not leave.
_PIECE = 1 << 22


def _pieces(values: torch.Tensor) -> Sequence[torch.Tensor]:
    """A tensor in parts along its longest axis, as views."""
    if values.numel() <= _PIECE:
        return (values,)
    axis = max(range(values.dim()), key=lambda one: values.shape[one])
    size = max(1, _PIECE * values.shape[axis] // values.numel())
    return torch.split(values, size, axis)  # type: ignore[no-untyped-call,no-any-return]


class _Watch:
    """Looks at every activation of one pass: subnormal numbers and non-finite values."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._handles: list[Any] = []
        self._seen = self._subnormal = 0
        self.nonfinite = False
        self.subnormal_layer: str | None = None

    def __enter__(self) -> _Watch:
        leaves = [
            (name, part)
            for name, part in self._module.named_modules()
            # Scripted modules take no hooks.
            if not any(part.children()) and not isinstance(part, torch.jit.ScriptModule)
        ]
        self._handles = [
            part.register_forward_hook(functools.partial(self._look, name)) for name, part in leaves
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, name: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        if not outputs.has_values(output) or not output.is_floating_point():
            return
        values = output.detach()
        self._seen += values.numel()
        subnormal = 0
        for piece in _pieces(values):
            magnitude = piece.abs()
            tiny = torch.finfo(piece.dtype).tiny
            subnormal += int(((magnitude > 0) & (magnitude < tiny)).sum())
            self.nonfinite |= not bool(torch.isfinite(magnitude).all())
        self._subnormal += subnormal
        if subnormal and self.subnormal_layer is None:
            self.subnormal_layer = name or type(module).__name__

    @property
    def subnormal_share(self) -> float | None:
        """Share of subnormal numbers among the activations of leaf modules."""
        return self._subnormal / self._seen if self._seen else None
