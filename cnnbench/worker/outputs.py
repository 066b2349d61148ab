"""What a network returned, as values that can be compared.

Whatever holds tensors is opened: sequences, mappings, data classes, objects. Floating-point values
are compared by distance, complex numbers as two reals; whole numbers and truth values exactly.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnbench.errors import Unsupported

# Kinds of NumPy types that torch has too: truth values, whole, floating-point, complex numbers.
_NUMERIC = "biufc"
# Of several outputs the same place in the answers to several pictures; one tensor for all pictures
# where their shapes agree, the pictures along the first axis.
Joined = list[Tensor]


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in an output, in order; a holder that is reached twice counts once.

    Arrays of NumPy count as tensors. Numbers of Python do where nothing else is returned; beside
    tensors they are mostly constants.

    Raises:
        Unsupported: it is a generator, which has computed nothing.
    """
    return [tensor for _, tensor in named(value)]


def named(value: Any) -> list[tuple[str, Tensor]]:
    """The same with the keys, places and fields that lead to each, e.g. ``0.boxes``."""
    found: list[tuple[str, Tensor]] = []
    numbers: list[tuple[str, Tensor]] = []
    _collect(value, (), found, numbers, set())
    return found or numbers


Named = list[tuple[str, Tensor]]


def _collect(
    value: Any, way: tuple[str, ...], found: Named, numbers: Named, seen: set[int]
) -> None:
    name = ".".join(way)
    if isinstance(value, Tensor) and not value.is_nested:
        found.append((name, value))
    elif isinstance(value, np.ndarray):
        found += [(name, torch.as_tensor(value))] if value.dtype.kind in _NUMERIC else []
    elif isinstance(value, (int, float, complex, np.number, np.bool_)):
        numbers.append((name, torch.as_tensor(value)))
    elif isinstance(value, Iterator):
        raise Unsupported(
            f"the network returns a {type(value).__name__}, which computes when it is read:"
            " that would not be timed; return a list"
        )
    elif not isinstance(value, (str, bytes, type(None))) and id(value) not in seen:
        seen.add(id(value))
        for step, inner in _inside(value):
            _collect(inner, (*way, step), found, numbers, seen)


def _inside(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), inner) for key, inner in value.items()]
    if isinstance(value, Tensor):  # a nested one has no shape of its own
        value = value.unbind()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(str(place), inner) for place, inner in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    slots = getattr(type(value), "__slots__", ())
    names = (*((slots,) if isinstance(slots, str) else slots), *getattr(value, "__dict__", {}))
    return [(name, getattr(value, name, None)) for name in names if not name.startswith("_")]


def has_values(value: Any) -> bool:
    """Whether it is a tensor that can be looked into: inside ``torch.func`` transforms none can."""
    return isinstance(value, Tensor) and not torch._C._functorch.is_functorch_wrapped_tensor(value)  # noqa: SLF001


def comparable(tensor: Tensor) -> Tensor:
    """A copy on the CPU: floating point in float64, complex as two reals, the rest as it is.

    A copy even where nothing is converted: a network may answer with its very input, or with a
    buffer that its next call writes into.
    """
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        with torch.inference_mode():  # compressed rows of a pass in it can be filled in only there
            tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.is_floating_point():
        return tensor.to("cpu", torch.float64, copy=True)
    return tensor.to("cpu", copy=True)


def joined(answers: Sequence[Sequence[Tensor]], batch: int) -> Joined:
    """The answers to several calls with the same number of tensors, place by place.

    Args:
        answers: of every call its comparable tensors.
        batch: samples per call; a tensor with as many rows has one per sample.
    """
    places = []
    for place in zip(*answers, strict=True):
        shapes = {tuple(one.shape) for one in place}
        if len(shapes) == 1 and place[0].dim() and len(place[0]) == batch:
            places.append(torch.cat(list(place)))
        elif len(shapes) == 1:
            places.append(torch.stack(list(place)))
        else:
            # How much there is depends on the picture (detections): one after the other.
            places.append(torch.cat([one.reshape(-1) for one in place]))
    return places


def is_counted(place: Tensor, batch: int, calls: int) -> bool:
    """Whether the picture decided how much there is in a place of ``joined``."""
    return place.dim() == 1 and len(place) not in {calls, batch * calls}


def is_exact(tensor: Tensor) -> bool:
    """Whether equality is all that can be asked of it."""
    return not tensor.is_floating_point()


def distance(got: Tensor, reference: Tensor) -> float:
    """Relative Frobenius distance, or the share of unequal elements of an exact type.

    Infinite if a shape differs, or a value is not finite where the reference has no such infinity.
    """
    if got.shape != reference.shape or is_exact(got) != is_exact(reference):
        return math.inf
    if is_exact(got):
        return float((got != reference).double().mean()) if got.numel() else 0.0
    gap, norm = squares(got, reference)
    return _relative(gap, norm)


def squares(got: Tensor, reference: Tensor) -> tuple[float, float]:
    """Sum of squares of the difference, and of the reference, of two of one shape."""
    got, reference = _less_infinities(got, reference)
    return float((got - reference).square().sum()), float(reference.square().sum())


def _less_infinities(got: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Both with zeros where they have the same infinity, as masked scores do on purpose."""
    shared = torch.isinf(reference) & (got == reference)
    if not shared.any():
        return got, reference
    return got.masked_fill(shared, 0), reference.masked_fill(shared, 0)


def is_senseless(tensor: Tensor) -> bool:
    """Whether it has something that is not a number, or nothing that is finite."""
    if is_exact(tensor) or not tensor.numel():
        return False
    return bool(tensor.isnan().any()) or not bool(tensor.isfinite().any())


def alike(left: Tensor, right: Tensor) -> bool:
    """Whether they are equal; what is not a number equals itself."""
    if left.shape != right.shape or is_exact(left) != is_exact(right):
        return False
    return bool(((left == right) | (left.isnan() & right.isnan())).all())


def centred_distance(got: Tensor, reference: Tensor) -> float | None:
    """The same of what depends on the picture: every value less its mean over pictures.

    ``None`` where there is nothing of the kind: one picture, an exact type, no dependence at all.
    """
    if is_exact(got) or got.shape != reference.shape or len(reference) < 2:
        return None
    got, reference = _less_infinities(got, reference)
    centre, usual = centred(got), centred(reference)
    norm = float(usual.square().sum())
    return _relative(float((centre - usual).square().sum()), norm) if norm else None


def _relative(gap: float, norm: float) -> float:
    found = math.sqrt(gap / norm) if norm else math.sqrt(gap)
    return math.inf if math.isnan(found) else found


def centred(values: Tensor) -> Tensor:
    """Every value less its mean over the first axis."""
    return values - values.mean(0, keepdim=True)


def picture_share(values: Joined) -> float | None:
    """Norm of what depends on the picture over the norm of all, of the floating-point outputs."""
    kinds = [one for one in values if not is_exact(one) and one.dim() and len(one) > 1]
    floats = [_less_infinities(one, one)[0] for one in kinds]
    whole = sum(float(one.square().sum()) for one in floats)
    if not whole or not math.isfinite(whole):
        return None
    return math.sqrt(sum(float(centred(one).square().sum()) for one in floats) / whole)
