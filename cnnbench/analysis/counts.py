"""Multiply-accumulates of contractions, one formula each.

Every formula takes the operator's result and its arguments and returns MACs for the whole call.
Padding counts as dense, masks as unmasked. Biases, scaling, and recomputation that only one kernel
does are not counted.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def convolution(
    out: Tensor,
    source: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    /,
    *_: Any,
) -> int:
    """``numel(out) Cin/g prod(k)``, transposed ``numel(in) Cout/g prod(k)``."""
    del bias, stride, padding, dilation
    # weight is (Cout, Cin/g, *k), transposed (Cin, Cout/g, *k): in both cases one row is the cost
    # of a position.
    positions = source if transposed else out
    return positions.numel() * (weight.numel() // weight.shape[0])


def convolution_backward(
    out: Any,
    gradient: Tensor,
    source: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Sequence[bool],
    /,
) -> int:
    """Each requested gradient, of the input or the weight, costs one forward pass."""
    del out, bias_sizes, stride, padding, dilation, output_padding, groups
    positions = source if transposed else gradient
    return positions.numel() * (weight.numel() // weight.shape[0]) * (int(mask[0]) + int(mask[1]))


def mm(out: Tensor, left: Tensor, right: Tensor, /, *_: Any, **__: Any) -> int:
    """Matrix times matrix (batched), or times vector: the length of the sum for every result."""
    del right
    return out.numel() * left.shape[-1]


def addmm(out: Tensor, start: Tensor, left: Tensor, right: Tensor, /, *_: Any, **__: Any) -> int:
    """``addmm``, ``baddbmm``, ``addmv``: the product after the first argument."""
    del start, right
    return out.numel() * left.shape[-1]


def addbmm(out: Tensor, start: Tensor, left: Tensor, right: Tensor, /, *_: Any, **__: Any) -> int:
    """A sum of batched products."""
    del out, start
    return left.numel() * right.shape[-1]


def dot(out: Tensor, left: Tensor, /, *_: Any) -> int:
    """One sum."""
    del out
    return left.numel()


def linear(out: Tensor, source: Tensor, weight: Tensor, /, *_: Any) -> int:
    """``linear`` where it is not decomposed."""
    del source
    return out.numel() * weight.shape[-1]


def trilinear(
    out: Tensor,
    first: Tensor,
    second: Tensor,
    third: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    /,
    *_: Any,
) -> int:
    """``nn.Bilinear``: every element of the expanded product is accumulated once."""
    del out
    shapes = [
        _expanded(tensor.shape, axes)
        for tensor, axes in ((first, expand1), (second, expand2), (third, expand3))
    ]
    return prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _expanded(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    sizes = list(shape)
    for axis in sorted(axes):
        sizes.insert(axis, 1)
    return sizes


def attention(out: Any, query: Tensor, key: Tensor, value: Tensor, /, *_: Any, **__: Any) -> int:
    """``B H Nq Nk (dq + dv)``, unmasked."""
    del out
    per_pair = query.shape[-1] + value.shape[-1]
    return prod(query.shape[:-1]) * key.shape[-2] * per_pair


def attention_backward(out: Any, gradient: Tensor, /, *rest: Any, **__: Any) -> int:
    """Twice the forward pass; the recomputation of scores in fused kernels is not counted."""
    del gradient
    return 2 * attention(out, *rest[:3])


def native_attention(
    out: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    width: int,
    heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    /,
    *_: Any,
    **__: Any,
) -> int:
    """``nn.MultiheadAttention``'s fast path: projections, scores, sums, output projection."""
    del out, heads, qkv_bias, value
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    projections = batch * queries * (qkv_weight.numel() // 3 + proj_weight.numel())
    projections += batch * keys * (qkv_weight.numel() // 3) * 2
    return projections + batch * queries * keys * 2 * width


def encoder_layer(
    out: Any, source: Tensor, width: int, heads: int, qkv_weight: Tensor, /, *rest: Any, **__: Any
) -> int:
    """``nn.TransformerEncoderLayer``'s fast path: attention and the two layers after it."""
    tensors = [item for item in rest if hasattr(item, "dim") and item.dim() == 2]
    proj, first, second = tensors[:3]
    attention_macs: int = native_attention(
        out, source, source, source, width, heads, qkv_weight, qkv_weight, proj
    )
    tokens = source.shape[0] * source.shape[1]
    feed_forward: int = tokens * (first.numel() + second.numel())
    return attention_macs + feed_forward


def recurrent(
    out: Any, source: Tensor, weight_input: Tensor, weight_hidden: Tensor, /, *_: Any, **__: Any
) -> int:
    """OneDNN's recurrent layer: all gates at every step."""
    del out
    return source.shape[0] * source.shape[1] * (weight_input.numel() + weight_hidden.numel())


def cudnn_recurrent(
    out: Any, source: Tensor, weights: Sequence[Tensor], /, *_: Any, **__: Any
) -> int:
    """CuDNN's stack of recurrent layers: every matrix at every step."""
    del out
    matrices = sum(weight.numel() for weight in weights if weight.dim() == 2)
    return source.shape[0] * source.shape[1] * matrices


def recurrent_backward(
    out: Any, source: Tensor, weight_input: Tensor, weight_hidden: Tensor, /, *_: Any, **__: Any
) -> int:
    """Gradients of the inputs and the weights, one forward pass each."""
    return 2 * recurrent(out, source, weight_input, weight_hidden)


def cudnn_recurrent_backward(
    out: Any, source: Tensor, weights: Sequence[Tensor], /, *_: Any, **__: Any
) -> int:
    """Gradients of the inputs and the weights, one forward pass each."""
    return 2 * cudnn_recurrent(out, source, weights)


def time_batch_channels(out: Tensor, source: Tensor, weight: Tensor, /, *_: Any) -> int:
    """``conv_tbc``: the weight is (k, Cin, Cout), the result (time, batch, Cout)."""
    del source
    return out.numel() * weight.shape[0] * weight.shape[1]


def distances(out: Tensor, first: Tensor, /, *_: Any) -> int:
    """``cdist``: every pair of rows accumulates one power of a difference per coordinate."""
    return out.numel() * first.shape[-1]


def distances_backward(out: Any, gradient: Tensor, first: Tensor, /, *_: Any) -> int:
    """The gradient of one side: one term per pair and coordinate."""
    del out
    return gradient.numel() * first.shape[-1]


def affine_grid(out: Tensor, theta: Tensor, /, *_: Any) -> int:
    """Homogeneous positions times the matrices."""
    return out.numel() * theta.shape[-1]


def deformable(out: Tensor, source: Tensor, weight: Tensor, /, *_: Any) -> int:
    """Deformable convolution: the contraction only, not the sampling (Dai et al. 2017)."""
    del source
    return out.numel() * (weight.numel() // weight.shape[0])


def deformable_backward(
    out: Any, gradient: Tensor, source: Tensor, weight: Tensor, /, *_: Any
) -> int:
    """Gradients of input and weight, one forward pass each."""
    del out, source
    return 2 * gradient.numel() * (weight.numel() // weight.shape[0])
