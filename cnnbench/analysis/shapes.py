"""Fast shape rules in place of slow stock meta kernels (relu 277 us, batch norm 650; here 2).

A rule takes exactly the operator's arguments and returns what the stock kernel would return on
meta: shape, strides and type. Wherever it is not certain it returns ``NotImplemented`` and the
stock kernel runs, which also raises torch's own errors. Every rule has a differential test against
its kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_META = torch.device("meta")
_CONTIGUOUS = torch.contiguous_format
_CHANNELS_LAST = torch.channels_last


def fresh(
    shape: Sequence[int], dtype: torch.dtype, layout: torch.memory_format = _CONTIGUOUS
) -> Tensor:
    """A new tensor on meta."""
    return torch.empty(shape, dtype=dtype, device=_META, memory_format=layout)


def like(tensor: Tensor, dtype: torch.dtype | None = None) -> Any:
    """A dense result with the operand's order of axes; torch handles expanded operands."""
    dtype = dtype or tensor.dtype
    if tensor.is_contiguous():
        return torch.empty(tensor.shape, dtype=dtype, device=_META)
    strides = _dense(tensor.shape, tensor.stride())
    if strides is None:
        return NotImplemented
    return torch.empty_strided(tensor.shape, strides, dtype=dtype, device=_META)


def _dense(shape: Sequence[int], strides: Sequence[int]) -> list[int] | None:
    """Strides without gaps in the same order of axes; ``None`` where the order is open."""
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    axes.sort(key=lambda axis: strides[axis])
    # An axis of size 1 may have any stride, because it is never used for addressing.
    result = [1] * len(shape)
    step, previous = 1, 0
    for axis in axes:
        if strides[axis] <= previous:
            return None
        previous = strides[axis]
        result[axis] = step
        step *= shape[axis]
    return result


def in_place(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
    """An in-place operator returns its first operand, if operands fit without broadcasting."""
    del options
    for value in arguments:
        if isinstance(value, Tensor):
            fits = value.shape == tensor.shape and value.dtype is tensor.dtype and value.is_meta
            if not fits:
                return NotImplemented
    return tensor


def pointwise(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
    """A function of one floating-point tensor and plain numbers."""
    if not tensor.dtype.is_floating_point or not _plain(arguments, options):
        return NotImplemented
    return like(tensor)


def compared(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
    """A comparison with a number."""
    return like(tensor, torch.bool) if _plain(arguments, options) else NotImplemented


def _plain(arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    # A tensor or complex operand may change shape or type; "out" and "dtype" are never plain.
    for value in arguments:
        if value is not None and type(value) not in (int, float, bool):
            return False
    return not options or options.keys() <= {"approximate"}


def pointwise_backward(gradient: Tensor, tensor: Tensor, *_: Any) -> Any:
    """The gradient of such a function; the kernel reads the tensor first, so its layout decides."""
    return binary(tensor, gradient)


def binary(left: Tensor, right: Any, *, alpha: float = 1) -> Any:
    """Arithmetic of two tensors of one type, or of a tensor and a number."""
    if type(alpha) not in (int, float) or not left.dtype.is_floating_point:
        return NotImplemented
    if not isinstance(right, Tensor):
        return like(left) if type(right) in (int, float) else NotImplemented
    if left.dtype is not right.dtype or not left.is_meta or not right.is_meta:
        return NotImplemented
    if left.shape == right.shape:
        # The first operand decides the layout where its layout is unambiguous.
        return like(left)
    return _broadcast(left, right)


def _broadcast(left: Tensor, right: Tensor) -> Any:
    """Operands of which one already has the result's shape."""
    if _fits(left.shape, right.shape):
        return like(left)
    if not _fits(right.shape, left.shape):
        return NotImplemented
    # The narrow operand comes first: it must agree with the wide one.
    if left.is_contiguous() and right.is_contiguous():
        return like(right)
    return NotImplemented


def _fits(wide: Sequence[int], narrow: Sequence[int]) -> bool:
    if len(narrow) > len(wide):
        return False
    tail = wide[len(wide) - len(narrow) :]
    return all(size in (1, full) for size, full in zip(narrow, tail, strict=True))


def mm(left: Tensor, right: Tensor) -> Any:
    """``(n, k) (k, m)``."""
    if left.dtype is not right.dtype or left.dim() != 2 or right.dim() != 2:
        return NotImplemented
    if left.shape[1] != right.shape[0]:
        return NotImplemented
    return fresh((left.shape[0], right.shape[1]), left.dtype)


def bmm(left: Tensor, right: Tensor) -> Any:
    """``(b, n, k) (b, k, m)``."""
    a, b = left.shape, right.shape
    if len(a) != 3 or len(b) != 3 or a[0] != b[0] or a[2] != b[1] or left.dtype is not right.dtype:
        return NotImplemented
    return fresh((a[0], a[1], b[2]), left.dtype)


def addmm(start: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """A bias row and ``(n, k) (k, m)``."""
    del beta, alpha
    if start.dim() != 1 or start.dtype is not left.dtype:
        return NotImplemented
    out = mm(left, right)
    if out is not NotImplemented and start.shape[0] != out.shape[1]:
        return NotImplemented
    return out


def mean(
    source: Tensor,
    axes: Sequence[int] | None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """A reduction of a contiguous tensor over axes."""
    if not axes or dtype is not None or not source.dtype.is_floating_point:
        return NotImplemented
    return _reduced(source, axes, keepdim) if source.is_contiguous() else NotImplemented


def _reduced(source: Tensor, axes: Sequence[int], keepdim: bool) -> Any:
    count = source.dim()
    gone = {axis % count for axis in axes if -count <= axis < count}
    if len(gone) != len(axes):
        return NotImplemented
    if keepdim:
        shape = [1 if axis in gone else size for axis, size in enumerate(source.shape)]
    else:
        shape = [size for axis, size in enumerate(source.shape) if axis not in gone]
    return fresh(shape, source.dtype)


def vector_norm(
    source: Tensor,
    order: float = 2,
    axes: Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """A norm over axes is contiguous whatever its source."""
    del order
    if not axes or dtype is not None or not source.dtype.is_floating_point:
        return NotImplemented
    return _reduced(source, axes, keepdim)


def clone(source: Tensor, *, memory_format: torch.memory_format | None = None) -> Any:
    """A copy, contiguous or in the layout of its source."""
    if memory_format is _CONTIGUOUS:
        return fresh(source.shape, source.dtype)
    return like(source) if memory_format in (None, torch.preserve_format) else NotImplemented


def _ambiguous(tensor: Tensor) -> bool:
    """Contiguous and channels last at once: torch decides by strides that are not used."""
    if tensor.dim() == 4:
        return tensor.is_contiguous(memory_format=_CHANNELS_LAST)
    return tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d)


def cat(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    """Contiguous tensors of one type along an axis."""
    head = tensors[0]
    shape = list(head.shape)
    if not shape or not -len(shape) <= axis < len(shape):
        return NotImplemented
    axis %= len(shape)
    total = 0
    for tensor in tensors:
        sizes = list(tensor.shape)
        if tensor.dtype is not head.dtype or len(sizes) != len(shape):
            return NotImplemented
        if not tensor.is_contiguous() or not tensor.numel() or _ambiguous(tensor):
            return NotImplemented
        total += sizes[axis]
        sizes[axis] = shape[axis]
        if sizes != shape:
            return NotImplemented
    shape[axis] = total
    return fresh(shape, head.dtype)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    """Contiguous tensors of one shape and type along a new axis."""
    head = tensors[0]
    shape = list(head.shape)
    if not -len(shape) - 1 <= axis <= len(shape) or 1 in shape:
        return NotImplemented
    for tensor in tensors:
        if tensor.dtype is not head.dtype or tensor.shape != head.shape or not tensor.is_meta:
            return NotImplemented
        if not tensor.is_contiguous() or not tensor.numel():
            return NotImplemented
    shape.insert(axis % (len(shape) + 1), len(tensors))
    return fresh(shape, head.dtype)


def empty(
    size: Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool | None = None,
    memory_format: Any = None,
) -> Any:
    """A new tensor on meta."""
    del layout, pin_memory
    if memory_format is not None or dtype is None or device != _META:
        return NotImplemented
    return torch.empty(size, dtype=dtype, device=_META)


def roll(source: Tensor, shifts: Any, axes: Any = ()) -> Any:
    """A rotation is contiguous whatever its source."""
    del shifts, axes
    return fresh(source.shape, source.dtype)
