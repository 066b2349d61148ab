"""im2col + GEMM, NHWC: every window becomes a row, and rows of channels are copied whole.

The same algorithm as ``im2col``; innermost channels make the copy one of contiguous runs and the
output of the product the output of the layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _rows_bytes(problem: ConvProblem) -> int:
    return problem.itemsize * problem.n * problem.p * problem.q * problem.taps


def _work(problem: ConvProblem) -> ConvWork:
    rows, padded = _rows_bytes(problem), windows.padded_bytes(problem)
    # Padding and rows first, then rows and output.
    workspace = max(padded + rows - problem.output_bytes, rows)
    return ConvWork(problem.macs, workspace, problem.weight_bytes, 2 * (rows + padded))


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    # (K, C, R, S) -> (R S C, K)
    flat = weight.permute(2, 3, 1, 0).reshape(problem.taps, problem.k).contiguous()
    return Prepared((flat,), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (weight,) = prepared.weights
    rows = _rows(windows.padded(x, problem), problem)
    y = torch.addmm(prepared.bias, rows.view(-1, problem.taps), weight)
    return windows.as_image(y.view(problem.n, problem.p, problem.q, problem.k))


def _rows(padded: Tensor, problem: ConvProblem) -> Tensor:
    """(N, P, Q, R, S, C): the window of every output pixel."""
    rows = padded.new_empty(
        problem.n, problem.p, problem.q, problem.r, problem.s, problem.c
    )  # fmt: skip
    for r, s in windows.taps(problem):
        rows[:, :, :, r, s] = windows.as_rows(windows.seen(padded, problem, r, s))
    return rows


IMPLEMENTATION = Implementation(
    name="im2col_nhwc",
    meaning="windows copied to rows, then one matrix product (NHWC)",
    source="Chellapilla et al. 2006",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.gemm,
    refuses=windows.needs_one_group,
    layout="channels_last",
)
