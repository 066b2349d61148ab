"""How far rounding alone moves a network's outputs, computed without the precision's own kernels.

A pass in float32 whose every result is rounded to a narrower type: what a faultless network does in
that type, up to the order of additions. It knows nothing of the kernels, the autocast or the
compiler that are to be judged, and follows rounding through every layer of this very network, which
amplifies it more or less than others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench.worker.modes import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

INT8 = "int8"
# TF32 keeps 10 of float32's 23 stored bits.
_TF32_LOST = 13


def to_tf32(values: Tensor) -> Tensor:
    """Float32 values rounded to the nearest that TF32 has, ties away from zero; still float32."""
    bits = values.contiguous().view(torch.int32)
    half, mask = 1 << (_TF32_LOST - 1), -(1 << _TF32_LOST)
    return ((bits + half) & mask).view(torch.float32)


# Steps between the ends of a tensor, and on each side of zero.
_STEPS, _HALF = 255, 127


def to_int8(values: Tensor) -> Tensor:
    """Float32 values at the nearest of 256 steps between the ends of the tensor, zero among them.

    As activations are quantised after training: one scale per tensor, asymmetric (Nagel et al.
    2021, "A White Paper on Neural Network Quantization", section 2).
    """
    low, high = values.amin().clamp(max=0), values.amax().clamp(min=0)
    step = (high - low) / _STEPS
    return torch.where(step > 0, (values / step).round() * step, values)


def weights_to_int8(values: Tensor) -> Tensor:
    """The same of weights: a scale per output channel, which is the first axis, symmetric."""
    ends = values.flatten(1).abs().amax(1).view(-1, *[1] * (values.dim() - 1))
    step = ends / _HALF
    return torch.where(step > 0, (values / step).round() * step, values)


def rounder(precision: str, own: torch.dtype | None = None) -> Callable[[Tensor], Tensor]:
    """What rounds float32 values to those of a narrower precision.

    Args:
        precision: a value of ``modes.PRECISIONS``.
        own: the network's type, where the precision leaves it.
    """
    chosen = PRECISIONS[precision]
    if precision == INT8:
        return to_int8
    if chosen.tf32 and own in {None, torch.float32}:
        return to_tf32
    narrow = chosen.autocast or chosen.dtype or own
    return lambda values: values.to(narrow).to(torch.float32)


class Rounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds the float32 results of every operator.

    Args:
        to: rounds float32 values.
    """

    def __init__(self, to: Callable[[Tensor], Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._to = to

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator and round what it wrote."""
        del types
        out = func(*args, **(kwargs or {}))
        aliases = [one.alias_info for one in func._schema.returns]  # noqa: SLF001
        if not any(alias is not None and not alias.is_write for alias in aliases):
            self.round_all(pytree.tree_leaves(out))  # a view holds nothing new
        return out

    def round_all(
        self, values: Iterable[Any], to: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Round the float32 tensors among some values where they are, if given in another way."""
        rounded = to or self._to
        for value in values:
            if isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel():
                if _expanded(value):
                    continue  # a view, whatever the operator's schema says; so does meshgrid's
                value.copy_(rounded(value))


def _expanded(value: Tensor) -> bool:
    """Whether several elements are one place in memory, so that it cannot be written to."""
    return any(
        not step and size > 1 for step, size in zip(value.stride(), value.shape, strict=True)
    )
