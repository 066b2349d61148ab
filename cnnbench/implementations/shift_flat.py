"""Flat shift: in an image stored as one line, each tap reads the same line from another offset.

Pad once; then every tap is an offset and its matrix product reads a view, no copy. The columns
between two rows are computed too and dropped. After Vasudevan et al. 2017, arXiv:1704.04428, and
Georganas et al. 2018, arXiv:1808.05567 (products of shifted views).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.implementations import roundoff, shift_gemm, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _length(problem: ConvProblem) -> int:
    """Length from the first output pixel to the last, in a line of padded rows."""
    return (problem.p - 1) * problem.padded[1] + problem.q


def _work(problem: ConvProblem) -> ConvWork:
    taps, wide = problem.r * problem.s, problem.padded[1]
    padded = windows.padded_bytes(problem)
    sums = problem.itemsize * problem.k * problem.p * wide
    macs = problem.n * problem.k * problem.c * taps * _length(problem)
    line = problem.itemsize * (problem.c + 2 * problem.k) * _length(problem)
    again = problem.n * (taps * line + sums) + 2 * padded
    return ConvWork(macs, padded + sums, windows.reordered_bytes(problem), again)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    wide, length = problem.padded[1], _length(problem)
    lines = windows.padded(x, problem).flatten(2)
    sums = x.new_empty(problem.k, problem.p * wide)
    y = x.new_empty(problem.output_shape)
    for image, line in zip(y, lines, strict=True):
        sums.copy_(prepared.bias.view(-1, 1).expand_as(sums))
        for r, s in windows.taps(problem):
            start = r * problem.dilation[0] * wide + s * problem.dilation[1]
            sums[:, :length].addmm_(weight[r, s], line[:, start : start + length])
        image.copy_(sums.view(problem.k, problem.p, wide)[:, :, : problem.q])
    return y


IMPLEMENTATION = Implementation(
    name="shift_flat",
    meaning="per tap: multiply an offset view of the padded line, no copy (NCHW)",
    source="Vasudevan et al. 2017, arXiv:1704.04428; Georganas et al. 2018, arXiv:1808.05567",
    work=_work,
    prepare=shift_gemm.prepare,
    run=_run,
    tolerance=roundoff.rounded_taps(lambda problem: problem.r * problem.s),
    refuses=lambda problem: windows.needs_one_group(problem) or windows.needs_stride(problem),
    layout="contiguous",
)
