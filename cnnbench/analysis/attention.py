"""Attention on meta as the fused kernel, not as its mathematical form.

torch runs ``scaled_dot_product_attention`` on meta as two matrix products and a softmax, which
keeps every score alive and predicts gigabytes that no real device uses. While a trace runs, the
function is replaced by one that calls the CPU's flash kernel wherever the CPU would.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from cnnbench.analysis.autocast import lowered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_original = functional.scaled_dot_product_attention


def _flash_runs(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> bool:
    """Whether the CPU would use its flash kernel (torch's sdp_utils: ranks, head sizes, mask)."""
    tensors = (query, key, value)
    if not all(tensor.is_meta and tensor.dim() == 4 and tensor.numel() for tensor in tensors):
        return False
    same_heads = query.shape[:2] == key.shape[:2] == value.shape[:2]
    same_width = query.shape[-1] == key.shape[-1] == value.shape[-1]
    dense = all(tensor.stride(-1) == 1 for tensor in tensors)
    masked = mask is not None and (mask.requires_grad or not mask.is_meta)
    return same_heads and same_width and dense and not masked


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout_p or enable_gqa or not _flash_runs(query, key, value, attn_mask):
        return _original(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=dropout_p,
            is_causal=is_causal,
            scale=scale,
            **({"enable_gqa": True} if enable_gqa else {}),
        )
    query, key, value, attn_mask = lowered((query, key, value, attn_mask))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype)
    kernel: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default  # noqa: SLF001
    result: Tensor = kernel(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]
    return result


@contextlib.contextmanager
def fused_attention() -> Iterator[None]:
    """Replace the function during a trace."""
    previous = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _fused
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = previous
