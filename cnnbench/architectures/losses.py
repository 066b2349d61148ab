"""The losses of training steps: which fits an output, which has a name, and the user's own.

A loss is a list of terms, each a scalar with a weight, and its name says which. Targets are seeded.
They are made when a step runs for the first time, because only then their shapes are known, and
kept: drawing them is no part of a step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from cnnbench.errors import CnnbenchError, UsageError

Inputs = tuple[Any, ...]

# A description names every term of a loss up to so many.
_NAMED_TERMS = 4


@dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes:
        what: its name.
        value: a scalar.
        weight: of it in the sum.
        of: the output that it is computed from, where there are several.
    """

    what: str
    value: Tensor
    weight: float = 1.0
    of: str = ""

    @property
    def text(self) -> str:
        """``0.3 cross entropy of aux_logits1``."""
        weight = "" if self.weight == 1 else f"{self.weight:g} "
        return weight + self.what + (f" of {self.of}" if self.of else "")


class Targets:
    """Seeded targets: the first request for one makes it, the others get the same."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._made: dict[tuple[Any, ...], Tensor] = {}

    @property
    def tensors(self) -> list[Tensor]:
        """All that have been made."""
        return [*self._made.values()]

    def classes(self, count: int, shape: Sequence[int], like: Tensor) -> Tensor:
        """Class numbers below ``count``, int64, on the device of ``like``."""
        of = (tuple(shape), count)
        return self._kept(
            of, like, lambda: torch.randint(count, tuple(shape), generator=self._generator)
        )

    def normal(self, like: Tensor) -> Tensor:
        """Normal numbers of mean 0 and variance 1, float32, in the shape of ``like``."""
        of = tuple(like.shape)
        return self._kept((of, "normal"), like, lambda: torch.randn(of, generator=self._generator))

    def binary(self, like: Tensor) -> Tensor:
        """Zeros and ones, float32, in the shape of ``like``."""
        of = tuple(like.shape)
        return self._kept(
            (of, "binary"), like, lambda: torch.rand(of, generator=self._generator).round()
        )

    def _kept(self, of: tuple[Any, ...], like: Tensor, make: Callable[[], Tensor]) -> Tensor:
        key = (*of, like.device)
        if key not in self._made:
            # What counts or changes operators is about the step, which targets are no part of.
            with _disable_current_modes():
                self._made[key] = make().to(like.device)
        return self._made[key]


Terms = Callable[[Any, Inputs, Targets], list[Term]]


class Loss:
    """The loss of a step, with the same targets on every call.

    Args:
        name: how it was asked for.
        terms: computes them.
        seed: of the targets.
    """

    def __init__(self, name: str, terms: Terms, seed: int) -> None:
        self.name = name
        self._terms = terms
        self._targets = Targets(seed)
        self._said = ""

    @property
    def description(self) -> str:
        """What it consists of, in words; known from the first call on."""
        return self._said or self.name

    @property
    def targets(self) -> list[Tensor]:
        """The tensors that it keeps from call to call."""
        return self._targets.tensors

    def __call__(self, output: Any, inputs: Inputs) -> Tensor:
        """A scalar from what the module returned for some inputs.

        Raises:
            UsageError: it does not fit the output, or fails; the message says that it is the loss.
        """
        try:
            terms = self._terms(output, inputs, self._targets)
            value = _total(terms)
        except (CnnbenchError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if any(sign in str(error) for sign in ("memory", "ALLOC_FAILED")):
                raise
            raise UsageError(
                f"the loss failed, not the network: {self.name}: {_said(error)}"
            ) from (error)
        if not self._said:
            self._said = _described(terms)
        if not value.requires_grad and torch.is_grad_enabled():
            raise UsageError(
                f"nothing to train: the loss ({self.description}) depends on no trainable parameter"
            )
        return value


def _said(error: Exception) -> str:
    """The first line of an error, or of the one that a trace found inside an operator."""
    found = getattr(error, "error", error)
    return f"{type(found).__name__}: {found}".strip().partition("\n")[0]


def _total(terms: Sequence[Term]) -> Tensor:
    values = [term.value if term.weight == 1 else term.weight * term.value for term in terms]
    return values[0] if len(values) == 1 else torch.stack(values).sum()


def _described(terms: Sequence[Term]) -> str:
    if len(terms) <= _NAMED_TERMS:
        return " + ".join(term.text for term in terms)
    kinds = ", ".join(dict.fromkeys(term.what for term in terms))
    return f"sum over {len(terms)} outputs: {kinds}"


# --- Single outputs. Losses are computed in float32 whatever the network's precision, like autocast
# and common recipes.


def _cross_entropy(output: Tensor, _inputs: Inputs, targets: Targets) -> Term | None:
    """Classes along the second axis, of samples or of places."""
    if output.dim() < 2 or output.shape[1] < 2:
        return None
    target = targets.classes(output.shape[1], (output.shape[0], *output.shape[2:]), output)
    what = "cross entropy" if output.dim() == 2 else "pixel cross entropy"
    return Term(what, functional.cross_entropy(output.float(), target))


def _mse(output: Tensor, _inputs: Inputs, targets: Targets) -> Term:
    found = functional.mse_loss(output.float(), targets.normal(output))
    return Term("MSE against random numbers", found)


def _l1(output: Tensor, _inputs: Inputs, targets: Targets) -> Term:
    return Term("L1", functional.l1_loss(output.float(), targets.normal(output)))


def _bce(output: Tensor, _inputs: Inputs, targets: Targets) -> Term:
    found = functional.binary_cross_entropy_with_logits(output.float(), targets.binary(output))
    return Term("binary cross entropy", found)


def _reconstruction(output: Tensor, inputs: Inputs, _targets: Targets) -> Term | None:
    """Against the first input of the same shape."""
    own = (one for _, one in _floating(inputs) if one.shape == output.shape)
    given = next(own, None)
    if given is None:
        return None
    return Term("MSE against the input", functional.mse_loss(output.float(), given.float()))


def _fitting(output: Tensor, inputs: Inputs, targets: Targets) -> Term:
    """By shape: the input's, a scalar, classes along the second axis, anything else."""
    if not output.dim():
        return Term("the network's own loss", output.float())
    return (
        _reconstruction(output, inputs, targets)
        or _cross_entropy(output, inputs, targets)
        or _mse(output, inputs, targets)
    )


# --- Outputs of any structure.

# Weights of auxiliary heads as in the papers' training recipes (GoogLeNet, section 5: 0.3;
# Inception v3: 0.4) and, of maps, as in torchvision's reference for segmentation.
_AUXILIARY_WEIGHT = {"GoogLeNetOutputs": 0.3, "InceptionOutputs": 0.4}
_AUXILIARY, _AUXILIARY_MAP = 0.3, 0.5


def _auxiliary(output: Any, head: Tensor) -> float:
    """The weight of an auxiliary head in the loss of a network's whole output."""
    usual = _AUXILIARY_MAP if head.dim() > 2 else _AUXILIARY
    return _AUXILIARY_WEIGHT.get(type(output).__name__, usual)


def _floating(value: Any) -> list[tuple[str, Tensor]]:
    """Every floating-point tensor with elements in a value, each once, with where it is."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, leaf in _leaves(value, "", set()):
        if leaf.is_floating_point() and leaf.numel():
            found.setdefault(id(leaf), (name, leaf))
    return [*found.values()]


def _leaves(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
        return
    if isinstance(value, (str, bytes)) or id(value) in seen:
        return
    seen.add(id(value))
    for part, inner in _parts(value):
        yield from _leaves(inner, f"{name}.{part}" if name else str(part), seen)


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """What a container holds, by name: mappings, sequences, data classes, objects."""
    if isinstance(value, Mapping):
        return [*value.items()]
    if isinstance(value, (list, tuple)):
        return [*zip(getattr(value, "_fields", range(len(value))), value, strict=True)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
    public = getattr(value, "__dict__", {})
    return [(key, inner) for key, inner in public.items() if not key.startswith("_")]


def _everywhere(name: str, of: Callable[[Tensor, Inputs, Targets], Term | None]) -> Terms:
    """A loss of single outputs as one of everything that a network returns."""

    def terms(output: Any, inputs: Inputs, targets: Targets) -> list[Term]:
        heads = _floating(output)
        if not heads:
            raise UsageError(f"no loss fits an output of {shape(output)}; give --loss {FORM}")
        found = []
        for head, leaf in heads:
            term = of(leaf, inputs, targets)
            if term is None:
                raise UsageError(
                    f"--loss {name} does not fit an output of {shape(leaf)};"
                    f" leave it out, or give --loss {FORM}"
                )
            aux = any(part.startswith("aux") for part in head.split("."))
            weight = _auxiliary(output, leaf) if aux else 1.0
            found.append(dataclasses.replace(term, weight=weight, of=head))
        return found

    return terms


FORM = "package.module:function, which takes (output, inputs) or (output)"


def shape(value: Any) -> str:
    """``float32[8,10]``; the type of what is no tensor and holds none."""
    found = [leaf for _, leaf in _leaves(value, "", set())]
    texts = [
        f"{str(leaf.dtype).removeprefix('torch.')}[{','.join(map(str, leaf.shape))}]"
        for leaf in found
    ]
    return ", ".join(texts[:_NAMED_TERMS]) or f"type {type(value).__name__}"


# By the names that --loss takes, which ``named.LOSSES`` lists.
NAMED: dict[str, Terms] = {
    "auto": _everywhere("auto", _fitting),
    "cross_entropy": _everywhere("cross_entropy", _cross_entropy),
    "mse": _everywhere("mse", _mse),
    "l1": _everywhere("l1", _l1),
    "bce": _everywhere("bce", _bce),
    "reconstruction": _everywhere("reconstruction", _reconstruction),
}


# --- Losses of the tasks of catalogued networks.


def classification(output: Any, _inputs: Inputs, targets: Targets) -> list[Term]:
    """Cross entropy of every head, with classes that the narrowest has too; the main one first."""
    heads = _floating(output)
    count = min(head.shape[-1] for _, head in heads)
    target = targets.classes(count, heads[0][1].shape[:1], heads[0][1])
    return [
        Term(
            "cross entropy",
            functional.cross_entropy(head.float(), target),
            _auxiliary(output, head) if place else 1.0,
            name,
        )
        for place, (name, head) in enumerate(heads)
    ]


def segmentation(output: Any, _inputs: Inputs, targets: Targets) -> list[Term]:
    """Mean cross entropy over pixels; auxiliary heads count half, as in torchvision."""
    heads = {"": output} if isinstance(output, Tensor) else output
    logits = heads["" if isinstance(output, Tensor) else "out"]
    count = min(head.shape[1] for head in heads.values())
    target = targets.classes(count, (logits.shape[0], *logits.shape[2:]), logits)
    return [
        Term(
            "pixel cross entropy",
            functional.cross_entropy(head.float(), target),
            1.0 if head is logits else _AUXILIARY_MAP,
            name,
        )
        for name, head in heads.items()
    ]


def detection(output: Any, _inputs: Inputs, _targets: Targets) -> list[Term]:
    """The sum of the losses that a detector in training mode computes itself."""
    total = torch.stack([loss.float() for loss in output.values()]).sum()
    return [Term("the detector's own losses", total)]


def flow(output: Any, _inputs: Inputs, targets: Targets) -> list[Term]:
    """RAFT's loss (arXiv:2003.12039, equation 7): later refinements weigh more."""
    predictions = [output] if isinstance(output, Tensor) else list(output)
    target = targets.normal(predictions[0])
    losses = [
        0.8 ** (len(predictions) - 1 - step) * (prediction.float() - target).abs().mean()
        for step, prediction in enumerate(predictions)
    ]
    return [Term("RAFT's sequence loss", torch.stack(losses).sum())]


def regions(output: Any, inputs: Inputs, targets: Targets) -> list[Term]:
    """Cross entropy of the scores plus smooth L1 of the boxes (Fast R-CNN, equation 1)."""
    scores, offsets = output
    boxes = functional.smooth_l1_loss(offsets.float(), targets.normal(offsets))
    return [*classification(scores, inputs, targets), Term("smooth L1 of the boxes", boxes)]


def layer(output: Any, _inputs: Inputs, targets: Targets) -> list[Term]:
    """A product with a seeded tensor, so that the gradient of a layer's output is random."""
    product: Tensor = output.float() * targets.normal(output)
    return [Term("mean product with random numbers", product.mean())]
