"""Operators whose result size depends on values, and what is assumed about them on meta.

Detection networks keep as many boxes as survive a threshold. A trace assumes that every such
operator keeps ``keep`` elements (or all, if there are fewer); two traces with different numbers
give a static part and a slope per item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cnnbench.analysis.meta import META

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def _indices(keep: int, *shape: int) -> Tensor:
    del keep
    return torch.empty(shape, dtype=torch.int64, device=META)


def _nonzero(keep: int, source: Tensor) -> Tensor:
    return _indices(keep, min(keep, source.numel()), source.dim())


def _nms(keep: int, boxes: Tensor, *_: Any) -> Tensor:
    return _indices(keep, min(keep, boxes.shape[0]))


def _masked_select(keep: int, source: Tensor, mask: Tensor) -> Tensor:
    del mask
    return torch.empty(min(keep, source.numel()), dtype=source.dtype, device=META)


def _unique(keep: int, source: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
    count = min(keep, source.numel())
    values = torch.empty(count, dtype=source.dtype, device=META)
    return values, _indices(keep, *source.shape), _indices(keep, count)


def _index(keep: int, source: Tensor, indices: list[Tensor | None]) -> Any:
    """Boolean masks among the indices become index tensors first."""
    expanded: list[Tensor | None] = []
    for index in indices:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            expanded.append(index)
        else:
            kept = min(keep, index.numel())
            expanded.extend(_indices(keep, kept) for _ in range(index.dim()))
    return torch.ops.aten.index.Tensor(source, expanded)


def _index_put(keep: int, source: Tensor, *_: Any) -> Tensor:
    del keep
    return source


SCALAR = "aten::_local_scalar_dense"


def _scalar(keep: int, source: Tensor) -> bool | int | float:
    """A value read from an assumed item: 1, or False for questions (they guard rare cases)."""
    del keep
    if source.dtype is torch.bool:
        return False
    return 1.0 if source.dtype.is_floating_point else 1


# name -> (keep, *arguments) -> result on meta
ASSUMED: dict[str, Callable[..., Any]] = {
    "aten::nonzero": _nonzero,
    "aten::masked_select": _masked_select,
    "aten::_unique2": _unique,
    "torchvision::nms": _nms,
}


_INDEXING = {"aten::index.Tensor": _index, "aten::index_put_": _index_put}


def assumed(name: str, args: tuple[Any, ...], *, before: bool) -> Callable[..., Any] | None:
    """The stand-in for a data-dependent operator, or ``None`` if this call is not one.

    Args:
        name: operator with its overload.
        args: arguments of this call.
        before: whether something was assumed earlier in this trace. Only then may single values be
            assumed too: a network that reads values of its weights or input would otherwise take an
            arbitrary branch.
    """
    if name == SCALAR:
        return _scalar if before else None
    if name in _INDEXING:
        masks = (index for index in args[1] if index is not None)
        masked = any(index.dtype in (torch.bool, torch.uint8) for index in masks)
        return _INDEXING[name] if masked else None
    return ASSUMED.get(name)
