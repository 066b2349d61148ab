"""Depthwise convolution in Triton: one filter per channel, channels side by side (NHWC).

There is no matrix product in it: every output is a sum over ``R * S`` taps of its own channel, so
memory bounds it. A program computes some positions of one output row for a block of channels;
neighbouring threads read neighbouring channels, which is why NHWC is the format for it.

Source: the layer is that of Howard et al., "MobileNets", arXiv:1704.04861, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from cnnbench.implementations.kernels.tiles import DEPTHWISE_TILE, Pair, empty_output

if TYPE_CHECKING:
    from torch import Tensor


@triton.jit
def kernel(
    x, weight, bias, y,
    height, width, channels, multiplier, out_height, out_width,
    x_n, x_c, x_h, x_w, w_k, w_r, w_s, y_n, y_k, y_p, y_q,
    stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w,
    HAS_BIAS: tl.constexpr, R: tl.constexpr, S: tl.constexpr, Q: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """``Q`` columns of one output row for ``C`` output channels."""
    row = tl.program_id(0)
    n, p = (row // out_height).to(tl.int64), row % out_height
    q = tl.program_id(1) * Q + tl.arange(0, Q)
    k = tl.program_id(2) * C + tl.arange(0, C)
    wanted, inside = k < channels, q < out_width
    source = x + n * x_n + (k // multiplier)[None, :] * x_c
    total = tl.zeros((Q, C), dtype=tl.float32)
    for r in tl.static_range(R):
        # A vector of equal rows: the interpreter refuses masks of a scalar and a vector.
        h = p * stride_h - padding_h + r * dilation_h + q * 0
        for s in tl.static_range(S):
            w = q * stride_w - padding_w + s * dilation_w
            real = (h >= 0) & (h < height) & (w >= 0) & (w < width)
            tile = tl.load(
                source + (h * x_h + w * x_w)[:, None],
                mask=real[:, None] & wanted[None, :], other=0.0,
            )  # fmt: skip
            taps = tl.load(weight + k * w_k + r * w_r + s * w_s, mask=wanted, other=0.0)
            total += tile.to(tl.float32) * taps.to(tl.float32)[None, :]
    if HAS_BIAS:
        total += tl.load(bias + k, mask=wanted, other=0.0).to(tl.float32)[None, :]
    tl.store(
        y + n * y_n + p * y_p + q[:, None] * y_q + k[None, :] * y_k,
        total.to(y.dtype.element_ty), mask=inside[:, None] & wanted[None, :],
    )  # fmt: skip


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> Tensor:
    """``conv2d`` with as many groups as input channels.

    Args:
        x: ``(N, C, H, W)`` in float32, float16 or bfloat16 with any strides; channels-last strides
            read fastest.
        weight: ``(K, 1, R, S)``, K a multiple of C.
        bias: ``(K,)``, or nothing.
        stride: along height and width, like the next two.
        padding: zeros on either side.
        dilation: distance of two taps.

    Returns:
        ``(N, K, P, Q)`` in the type and memory format of ``x``, summed in float32.
    """
    y = empty_output(x, weight, stride, padding, dilation)
    batch, channels, out_height, out_width = y.shape
    columns, block = DEPTHWISE_TILE
    grid = (batch * out_height, triton.cdiv(out_width, columns), triton.cdiv(channels, block))
    kernel[grid](
        x, weight, weight if bias is None else bias, y,
        *x.shape[2:], channels, channels // x.shape[1], out_height, out_width,
        *x.stride(), weight.stride(0), *weight.stride()[2:], *y.stride(),
        *stride, *padding, *dilation,
        HAS_BIAS=bias is not None, R=weight.shape[2], S=weight.shape[3], Q=columns, C=block,
    )  # fmt: skip
    return y
