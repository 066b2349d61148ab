"""The one table of implementations: NAME of ``impl=NAME`` -> implementation, in list order."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from cnnbench.errors import UnknownName
from cnnbench.implementations import (
    col2im,
    depthwise_taps,
    direct,
    fft,
    folded,
    im2col,
    im2col_nhwc,
    kn2row,
    library,
    mec,
    pointwise,
    prepacked,
    shift_flat,
    shift_gemm,
    subpixel,
    toeplitz,
    triton_depthwise,
    triton_gemm,
    winograd,
    zero_insertion,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cnnbench.implementations.implementation import Implementation


def tabled(implementations: Iterable[Implementation]) -> Mapping[str, Implementation]:
    """By name.

    Raises:
        ValueError: a name is taken twice.
    """
    table: dict[str, Implementation] = {}
    for one in implementations:
        if table.setdefault(one.name, one) is not one:
            raise ValueError(f"implementation '{one.name}' is registered twice")
    return MappingProxyType(table)


IMPLEMENTATIONS = tabled((
    prepacked.IMPLEMENTATION,
    folded.IMPLEMENTATION,
    library.NATIVE,
    library.BENCHMARK,
    library.DETERMINISTIC,
    library.DEPTHWISE_CUDNN,
    library.DEPTHWISE_NATIVE,
    direct.IMPLEMENTATION,
    im2col.IMPLEMENTATION,
    im2col_nhwc.IMPLEMENTATION,
    shift_gemm.IMPLEMENTATION,
    kn2row.IMPLEMENTATION,
    shift_flat.IMPLEMENTATION,
    mec.IMPLEMENTATION,
    winograd.F2,
    winograd.F4,
    winograd.F6,
    fft.IMPLEMENTATION,
    pointwise.MATMUL,
    pointwise.LINEAR,
    depthwise_taps.IMPLEMENTATION,
    toeplitz.DENSE,
    toeplitz.SPARSE,
    zero_insertion.IMPLEMENTATION,
    col2im.IMPLEMENTATION,
    subpixel.IMPLEMENTATION,
    triton_gemm.IMPLEMENTATION,
    triton_depthwise.IMPLEMENTATION,
))  # fmt: skip


def implementation(name: str) -> Implementation:
    """The implementation of a name; the empty name stands for the library's default.

    Raises:
        UnknownName: unknown; the message offers the closest names.
    """
    if not name:
        return library.DEFAULT
    if name not in IMPLEMENTATIONS:
        raise UnknownName("implementation", name, IMPLEMENTATIONS)
    return IMPLEMENTATIONS[name]
