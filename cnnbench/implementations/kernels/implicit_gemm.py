"""Convolution as a matrix product whose left matrix is never written: implicit GEMM, in Triton.

The matrices are those of im2col, per group: rows are output positions ``(n, p, q)``, columns output
channels, and the sum runs over taps and input channels ``(r, s, c)``. A program computes one tile
of the result. For every element of the left matrix, it computes the position in the input, and
reads zero where that is padding.

Source: Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", arXiv:1410.0759,
section 3.1.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cnnbench.implementations.kernels.tiles import GEMM_TILE, Pair, empty_output

# The interpreter multiplies the bits of bfloat16 numbers as if they were integers.
_INTERPRETED = bool(triton.knobs.runtime.interpret)


@triton.jit
def kernel(
    x, weight, bias, y,
    batch, height, width, out_height, out_width, taps_w, in_group, out_group, terms,
    x_n, x_c, x_h, x_w, w_k, w_c, w_r, w_s, y_n, y_k, y_p, y_q,
    stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w,
    HAS_BIAS: tl.constexpr, PRECISION: tl.constexpr, UPCAST: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """One ``M x N`` tile of one group's output; ``terms`` is C/g * R * S."""
    group = tl.program_id(2)
    position = tl.program_id(0) * M + tl.arange(0, M)
    n = (position // (out_height * out_width)).to(tl.int64)
    p = position // out_width % out_height
    q = position % out_width
    k = tl.program_id(1) * N + tl.arange(0, N)
    # Channel within the group; elements beyond the edge of the tile are masked below.
    inside, wanted = n < batch, k < out_group
    out_channel = group * out_group + k
    total = tl.zeros((M, N), dtype=tl.float32)
    for start in range(0, terms, K):
        term = start + tl.arange(0, K)
        c, tap = term % in_group, term // in_group
        r, s = tap // taps_w, tap % taps_w
        h = p[:, None] * stride_h - padding_h + r[None, :] * dilation_h
        w = q[:, None] * stride_w - padding_w + s[None, :] * dilation_w
        real = (h >= 0) & (h < height) & (w >= 0) & (w < width)
        channel = group * in_group + c
        left = tl.load(
            x + n[:, None] * x_n + channel[None, :] * x_c + h * x_h + w * x_w,
            mask=real & inside[:, None] & (term < terms)[None, :], other=0.0,
        )  # fmt: skip
        right = tl.load(
            weight + out_channel[None, :] * w_k + (c * w_c + r * w_r + s * w_s)[:, None],
            mask=(term < terms)[:, None] & wanted[None, :], other=0.0,
        )  # fmt: skip
        if UPCAST:
            left, right = left.to(tl.float32), right.to(tl.float32)
        total = tl.dot(left, right, total, input_precision=PRECISION)
    if HAS_BIAS:
        total += tl.load(bias + out_channel, mask=wanted, other=0.0).to(tl.float32)[None, :]
    tl.store(
        y + n[:, None] * y_n + out_channel[None, :] * y_k + p[:, None] * y_p + q[:, None] * y_q,
        total.to(y.dtype.element_ty), mask=inside[:, None] & wanted[None, :],
    )  # fmt: skip


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv2d``.

    Args:
        x: ``(N, C, H, W)`` in float32, float16 or bfloat16 with any strides.
        weight: ``(K, C/groups, R, S)`` likewise; channels-last strides read fastest.
        bias: ``(K,)`` likewise, or nothing.
        stride: along height and width, like the next two.
        padding: zeros on either side.
        dilation: distance of two taps.
        groups: that divide both numbers of channels.

    Returns:
        ``(N, K, P, Q)`` in the type and memory format of ``x``, summed in float32.
    """
    y = empty_output(x, weight, stride, padding, dilation)
    batch, channels, out_height, out_width = y.shape
    in_group, taps_h, taps_w = weight.shape[1:]
    out_group = channels // groups
    rows, columns, terms = GEMM_TILE
    grid = (
        triton.cdiv(batch * out_height * out_width, rows),
        triton.cdiv(out_group, columns),
        groups,
    )
    kernel[grid](
        x, weight, weight if bias is None else bias, y,
        batch, *x.shape[2:], out_height, out_width, taps_w, in_group, out_group,
        in_group * taps_h * taps_w,
        *x.stride(), *weight.stride(), *y.stride(), *stride, *padding, *dilation,
        HAS_BIAS=bias is not None, PRECISION=precision(x),
        UPCAST=_INTERPRETED and x.dtype == torch.bfloat16,
        M=rows, N=columns, K=terms,
    )  # fmt: skip
    return y


def precision(x: Tensor) -> str:
    """Whether float32 products may use TF32 units: as torch's convolutions may just now."""
    tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
    return "tf32" if tf32 and x.dtype == torch.float32 else "ieee"
