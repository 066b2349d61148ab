"""FFT: a product of spectra, with the same work for every kernel size and large prepared weights.

Mathieu, Henaff, LeCun: Fast Training of Convolutional Networks through FFTs, 2013,
arXiv:1312.5851. Spectra of real images are half as wide; a complex product is four real ones. With
a stride all outputs are computed and most dropped; dilation spreads the kernel over zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnbench.implementations import roundoff
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def _size(problem: ConvProblem) -> tuple[int, int]:
    """Size of the transform: the padded image, enlarged to products of 2, 3 and 5.

    It need not be larger, because only outputs beyond the last wrap around.
    """
    high, wide = problem.padded
    return _smooth(high), _smooth(wide)


def _smooth(size: int) -> int:
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def _work(problem: ConvProblem) -> ConvWork:
    high, wide = _size(problem)
    bins, complexes = high * (wide // 2 + 1), 2 * problem.itemsize
    enlarged = problem.itemsize * problem.n * problem.c * high * wide
    given = complexes * problem.n * problem.c * bins
    taken = complexes * problem.n * problem.k * bins
    whole = problem.itemsize * problem.n * problem.k * high * wide
    # The transform over the height copies its input first.
    stages = (
        enlarged + given, 2 * given, given + taken, 3 * taken, taken + whole,
        whole + problem.output_bytes,
    )  # fmt: skip
    return ConvWork(
        macs=4 * problem.n * problem.k * (problem.c // problem.groups) * bins,
        workspace=max(stages) - problem.output_bytes,
        prepared=complexes * problem.k * (problem.c // problem.groups) * bins,
        traffic=2 * (enlarged + 2 * given + 3 * taken + whole),
    )


def _prepare(weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
    """Conjugate spectra (g, bins, C/g, K/g) of the kernels; conjugate, as nothing is flipped."""
    g = problem.groups
    spread = weight.new_zeros(*problem.weight_shape[:2], *problem.extent)
    spread[:, :, :: problem.dilation[0], :: problem.dilation[1]] = weight
    spectra = torch.fft.rfft2(spread, s=_size(problem)).conj()
    spectra = spectra.reshape(g, problem.k // g, problem.c // g, -1)
    return Prepared((spectra.permute(0, 3, 2, 1).resolve_conj().contiguous(),), bias)


def _run(x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
    (kernels,) = prepared.weights
    (high, wide), g = _size(problem), problem.groups
    bins = high * (wide // 2 + 1)
    top, left = problem.padding
    image = x.new_zeros(problem.n, problem.c, high, wide)
    image[:, :, top : top + problem.h, left : left + problem.w] = x
    spectra = torch.fft.rfft2(image).view(problem.n, g, problem.c // g, bins)
    del image
    # A matrix product per group and frequency: (N, C/g) by (C/g, K/g).
    spectra = spectra.permute(1, 3, 0, 2).contiguous()
    products = torch.bmm(spectra.flatten(0, 1), kernels.flatten(0, 1))
    del spectra
    products = products.view(g, bins, problem.n, problem.k // g).permute(2, 0, 3, 1).contiguous()
    products = products.view(problem.n, problem.k, high, wide // 2 + 1)
    # One axis after the other; both at once would need one more copy.
    products = torch.fft.ifft(products, dim=-2)
    whole = torch.fft.irfft(products, n=wide)
    del products
    down, across = problem.stride
    kept: Tensor = whole[
        :, :, : (problem.p - 1) * down + 1 : down, : (problem.q - 1) * across + 1 : across
    ]
    return kept + prepared.bias.view(-1, 1, 1)


IMPLEMENTATION = Implementation(
    name="fft",
    meaning="product of spectra, a complex matrix product per frequency (NCHW)",
    source="Mathieu et al. 2013, arXiv:1312.5851",
    work=_work,
    prepare=_prepare,
    run=_run,
    tolerance=roundoff.fourier,
    layout="contiguous",
    dtypes=("fp32", "fp64"),
    exact=(),
)
