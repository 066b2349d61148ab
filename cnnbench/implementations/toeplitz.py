"""A convolution as one matrix: every output pixel against every input pixel, mostly zeros.

This is for teaching. The dense form multiplies all the zeros; the sparse form stores only the taps,
each with its position. Goodfellow, Bengio, Courville: Deep Learning, 2016, section 9.1 (doubly
block circulant).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem

_MOST_DENSE = 100_000_000
_MOST_SPARSE = 30_000_000


def _rows(problem: ConvProblem) -> int:
    return problem.k * problem.p * problem.q


def _columns(problem: ConvProblem) -> int:
    return problem.c * problem.h * problem.w


def _inside(problem: ConvProblem, axis: int) -> Tensor:
    """(outputs, taps): the image position that a tap reads along an axis; -1 for padding."""
    size, outputs = (problem.h, problem.p) if axis == 0 else (problem.w, problem.q)
    kernel = problem.r if axis == 0 else problem.s
    starts = torch.arange(outputs) * problem.stride[axis] - problem.padding[axis]
    places = starts[:, None] + torch.arange(kernel) * problem.dilation[axis]
    return torch.where((places >= 0) & (places < size), places, -1)


def entries(problem: ConvProblem) -> int:
    """Weights in the matrix: products of the definition that do not fall on padding."""
    inside = [int((_inside(problem, axis) >= 0).sum()) for axis in (0, 1)]
    return problem.k * (problem.c // problem.groups) * inside[0] * inside[1]


def _coordinates(problem: ConvProblem, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row (k, p, q), column (c, h, w) and weight of every entry, ordered by row and column."""
    per_group, outputs = problem.c // problem.groups, problem.k // problem.groups
    k, p, q, c, r, s = torch.meshgrid(
        *(torch.arange(n) for n in (problem.k, problem.p, problem.q, *problem.weight_shape[1:])),
        indexing="ij",
    )
    h, w = _inside(problem, 0)[p, r], _inside(problem, 1)[q, s]
    seen = (h >= 0) & (w >= 0)
    row = (k * problem.p + p) * problem.q + q
    channel = k // outputs * per_group + c
    column = (channel * problem.h + h) * problem.w + w
    weights = weight.cpu()[k[seen], c[seen], r[seen], s[seen]]
    return row[seen], column[seen], weights


def _full_bias(bias: Tensor, problem: ConvProblem) -> Tensor:
    return bias.repeat_interleave(problem.p * problem.q)


def _dense_work(problem: ConvProblem) -> ConvWork:
    entries = _rows(problem) * _columns(problem)
    size = problem.itemsize * entries
    return ConvWork(problem.n * entries, 0, size, size)


def _dense_prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    row, column, weights = _coordinates(problem, weight)
    matrix = weights.new_zeros(_columns(problem), _rows(problem))
    matrix[column, row] = weights
    return Prepared((matrix.to(weight.device),), _full_bias(bias, problem))


def _dense_run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (matrix,) = prepared.weights
    return torch.addmm(prepared.bias, x.flatten(1), matrix).view(problem.output_shape)


def _sparse_work(problem: ConvProblem) -> ConvWork:
    count = entries(problem)
    size = (problem.itemsize + 4) * count + 4 * (_rows(problem) + 1)
    return ConvWork(problem.n * count, 0, size, size)


def _sparse_prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    row, column, weights = _coordinates(problem, weight)
    starts = torch.zeros(_rows(problem) + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(row, minlength=_rows(problem)).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*beta state.*")
        # Torch 2.11 says so even of checks that are asked for.
        warnings.filterwarnings("ignore", ".*invariant checks are implicitly disabled.*")
        matrix = torch.sparse_csr_tensor(
            # Half the size of the usual indices, and MKL accepts it without a copy.
            starts.int(),
            column.int(),
            weights,
            (_rows(problem), _columns(problem)),
            check_invariants=True,
        )
    return Prepared((matrix,), _full_bias(bias, problem))


def _sparse_run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (matrix,) = prepared.weights
    y = x.new_empty(problem.output_shape)
    for image, given in zip(y.flatten(1), x.flatten(1), strict=True):
        torch.addmv(prepared.bias, matrix, given, out=image)
    return y


def _too_many(count: int, most: int) -> str:
    return f"is for matrices up to {most} entries, not {count}" if count > most else ""


DENSE = Implementation(
    name="toeplitz_dense",
    meaning="one dense matrix of every output against every input pixel (NCHW)",
    source="Goodfellow et al., Deep Learning, 2016, section 9.1",
    work=_dense_work,
    prepare=_dense_prepare,
    run=_dense_run,
    tolerance=roundoff.gemm,
    refuses=lambda problem: _too_many(_rows(problem) * _columns(problem), _MOST_DENSE),
    layout="contiguous",
)

SPARSE = Implementation(
    name="toeplitz_sparse",
    meaning="the same matrix, its zeros left out (CSR, NCHW)",
    source="Goodfellow et al., Deep Learning, 2016, section 9.1",
    work=_sparse_work,
    prepare=_sparse_prepare,
    run=_sparse_run,
    tolerance=roundoff.gemm,
    refuses=lambda problem: _too_many(
        problem.k * problem.p * problem.q * problem.taps, _MOST_SPARSE
    ),
    layout="contiguous",
    kinds=("cpu",),
    dtypes=("fp32", "fp64"),
)
