"""FLOPs of operators that are not contractions, by the convention stated here.

One FLOP is one addition, multiplication, division, comparison or transcendental function of one
element. Convention of norms: normalising with known statistics costs 2 per element (scale and
shift, folded), computing mean and variance 3 more, an affine transform after computed statistics 2
more. A backward pass of a norm is taken as twice its forward pass.
"""

from __future__ import annotations

from math import log2, prod
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Flops = Callable[..., int]


def first(out: Any) -> Tensor | None:
    """The first tensor of a result."""
    if isinstance(out, Tensor):
        return out
    if isinstance(out, (tuple, list)):
        return next((item for item in out if isinstance(item, Tensor)), None)
    return None


def per_result(flops: int) -> Flops:
    """A number of FLOPs per element of the first result."""

    def count(out: Any, /, *_: Any, **__: Any) -> int:
        tensor = first(out)
        return flops * tensor.numel() if tensor is not None else 0

    return count


def per_input(flops: int) -> Flops:
    """A number of FLOPs per element of the first argument."""

    def count(out: Any, source: Tensor, /, *_: Any, **__: Any) -> int:
        del out
        return flops * source.numel()

    return count


def batch_norm(out: Any, source: Tensor, /, *rest: Any, **__: Any) -> int:
    """2 per element with running statistics, 7 with the batch's own."""
    del out
    # (weight, bias, mean, var, training, …) or (weight, bias, training, …) where there are no
    # running statistics
    training = next((item for item in rest if isinstance(item, bool)), False)
    return source.numel() * (7 if training else 2)


def layer_norm(out: Any, source: Tensor, /, *rest: Any, **__: Any) -> int:
    """5 per element, 7 with an affine transform."""
    del out
    affine = any(isinstance(item, Tensor) for item in rest)
    return source.numel() * (7 if affine else 5)


def window(out: Any, source: Tensor, kernel: Sequence[int], /, *_: Any, **__: Any) -> int:
    """Pooling with a kernel: ``prod(k)`` per result (average: sums and one division)."""
    tensor = first(out)
    sizes = list(kernel) * (_spatial(source) if len(kernel) == 1 else 1)
    return tensor.numel() * prod(sizes) if tensor is not None else 0


def maximum(out: Any, source: Tensor, kernel: Sequence[int], /, *_: Any, **__: Any) -> int:
    """Maximum pooling: ``prod(k) - 1`` comparisons per result."""
    tensor = first(out)
    total = window(out, source, kernel)
    return total - tensor.numel() if tensor is not None else 0


def _spatial(source: Tensor) -> int:
    return max(source.dim() - 2, 1)


def averaged(out: Any, source: Tensor, /, *_: Any, **__: Any) -> int:
    """A mean: every element added once, every result divided once."""
    tensor = first(out)
    return source.numel() + (tensor.numel() if tensor is not None else 0)


def transform(out: Any, source: Tensor, axes: Sequence[int], /, *_: Any, **__: Any) -> int:
    """``5 N log2 N`` of every complex Fourier transform of N values, half of it if real.

    Source: Frigo and Johnson, "The Design and Implementation of FFTW3", 2005, section on speed.
    """
    result = first(out)
    if result is None:
        return 0
    real = not (source.is_complex() and result.is_complex())
    # The complex side of a real transform holds only half of the values.
    values = result if source.is_complex() else source
    length = prod(values.shape[axis] for axis in axes)
    return round(values.numel() * log2(max(length, 1)) * (2.5 if real else 5))


def bags(out: Any, weight: Tensor, indices: Tensor, /, *_: Any, **__: Any) -> int:
    """``embedding_bag``: every element of every row that is read is added once."""
    del out
    return indices.numel() * weight.shape[-1]
