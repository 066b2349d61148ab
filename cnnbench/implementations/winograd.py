"""Winograd's minimal filtering for 3x3 kernels: m x m outputs from a x a inputs, a = m + 2.

In the transformed domain a tile costs a^2 multiplications per pair of channels instead of 9 m^2,
done as a^2 matrix products. Larger tiles save more but have larger rounding errors.

Lavin, Gray: Fast Algorithms for Convolutional Neural Networks, 2015, arXiv:1509.09308.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.implementations import roundoff, windows
from cnnbench.implementations.cook_toom import Matrix, transforms
from cnnbench.implementations.implementation import ConvWork, Implementation, Prepared

if TYPE_CHECKING:
    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


class _Winograd:
    """F(m x m, 3 x 3)."""

    def __init__(self, m: int) -> None:
        self.m, self.a = m, m + 2
        self._matrices = transforms(m, 3)

    def _grid(self, problem: ConvProblem) -> tuple[int, int]:
        """Tiles along height and width."""
        return -(-problem.p // self.m), -(-problem.q // self.m)

    def work(self, problem: ConvProblem) -> ConvWork:
        """Products of the tiles and of both transforms; buffers of the largest stage."""
        m, a, e = self.m, self.a, problem.itemsize
        down, across = self._grid(problem)
        tiles = problem.n * down * across
        high, wide = down * m + 2, across * m + 2
        image = e * problem.n * problem.c * high * wide
        into, products = e * a * a * problem.c * tiles, e * a * a * problem.k * tiles
        half, outputs = e * a * m * problem.k * tiles, e * m * m * problem.k * tiles
        cropped = problem.output_bytes if outputs != problem.output_bytes else 0
        stages = (
            image + into, 2 * into, into + products, products + half, half + outputs, 2 * outputs,
            outputs + cropped,
        )  # fmt: skip
        macs = tiles * (
            a * a * problem.k * problem.c
            + 2 * a**3 * problem.c
            + (m * a * a + m * m * a) * problem.k
        )
        traffic = 2 * image + 4 * into + 2 * products + 2 * half + 4 * outputs
        prepared = e * a * a * problem.k * problem.c
        return ConvWork(macs, max(stages) - problem.output_bytes, prepared, traffic)

    def prepare(self, weight: Tensor, bias: Tensor, problem: ConvProblem) -> Prepared:
        """U = G g G^T as (a a, K, C), and the other two matrices in the layer's dtype."""
        del problem
        # In double: only the result is rounded.
        g = _tensor(self._matrices.filter, weight, torch.float64)
        u = torch.einsum("ir,kcrs,js->ijkc", g, weight.double(), g).flatten(0, 1)
        into = _tensor(self._matrices.input, weight, weight.dtype)
        out = _tensor(self._matrices.inverse, weight, weight.dtype)
        return Prepared((u.to(weight.dtype).contiguous(), into, out), bias)

    def run(self, x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
        """Transform tiles, multiply, transform back, put the tiles together."""
        u, into, out = prepared.weights
        tiles = self._tiles(x, problem)
        # Each buffer is freed after reading, before the next one is allocated.
        half = _from_left(into, tiles)
        v = _from_right(into, half, out=tiles)
        del half
        products = torch.bmm(u, v.view(self.a**2, problem.c, -1))
        del v, tiles
        half = _from_left(out, products.view(self.a, self.a, -1))
        del products
        y = _from_right(out, half)
        del half
        image = self._image(y, prepared.bias, problem)
        del y
        return image[:, :, : problem.p, : problem.q].contiguous()

    def _tiles(self, x: Tensor, problem: ConvProblem) -> Tensor:
        """(a, a, C T): overlapping tiles of the padded image."""
        down, across = self._grid(problem)
        (top, left), (high, wide) = problem.padding, (problem.h, problem.w)
        bottom = down * self.m + 2 - high - top
        right = across * self.m + 2 - wide - left
        image = functional.pad(x, (left, right, top, bottom))
        cut = image.unfold(2, self.a, self.m).unfold(3, self.a, self.m)
        tiles = x.new_empty(self.a, self.a, problem.c, problem.n, down, across)
        return tiles.copy_(cut.permute(4, 5, 1, 0, 2, 3)).flatten(2)

    def _image(self, y: Tensor, bias: Tensor, problem: ConvProblem) -> Tensor:
        """(m, m, K T) -> (N, K, P, Q), P and Q rounded up to whole tiles."""
        down, across = self._grid(problem)
        image = y.new_empty(problem.n, problem.k, down, self.m, across, self.m)
        tiles = y.view(self.m, self.m, problem.k, problem.n, down, across)
        image.copy_(tiles.permute(3, 2, 4, 0, 5, 1)).add_(bias.view(-1, 1, 1, 1, 1))
        return image.flatten(4).flatten(2, 3)


def _from_left(matrix: Tensor, tiles: Tensor) -> Tensor:
    """``M t`` of every tile: (b, a) and (a, a, tiles) to (b, a, tiles)."""
    rows, size = matrix.shape
    return torch.mm(matrix, tiles.view(size, -1)).view(rows, size, -1)


def _from_right(matrix: Tensor, half: Tensor, out: Tensor | None = None) -> Tensor:
    """``h M^T`` of every half: (b, a) and (b, a, tiles) to (b, b, tiles), into ``out`` if given."""
    rows, size = matrix.shape
    return torch.bmm(matrix.expand(rows, rows, size), half, out=out)


def _tensor(matrix: Matrix, like: Tensor, dtype: torch.dtype) -> Tensor:
    values = [[float(one) for one in row] for row in matrix]
    return torch.tensor(values, dtype=dtype, device=like.device)


def refuses(problem: ConvProblem) -> str:
    """A reason unless the layer is 3x3 with nothing special."""
    if (problem.r, problem.s) != (3, 3):
        return f"needs a 3x3 kernel, not {problem.r}x{problem.s}"
    return (
        windows.needs_one_group(problem)
        or windows.needs_stride(problem)
        or windows.needs_dilation(problem)
    )


def _implementation(m: int, growth: float, exact: tuple[str, ...]) -> Implementation:
    algorithm = _Winograd(m)
    return Implementation(
        name=f"winograd_f{m}",
        meaning=f"Winograd F({m}x{m}, 3x3): tiles, {(m + 2) ** 2} matrix products, tiles (NCHW)",
        source="Lavin, Gray 2015, arXiv:1509.09308",
        work=algorithm.work,
        prepare=algorithm.prepare,
        run=algorithm.run,
        tolerance=roundoff.winograd(growth),
        refuses=refuses,
        layout="contiguous",
        exact=exact,
    )


# F(2, 3) has only factors of a half; the others divide by 3.
F2 = _implementation(2, 2.0, ("fp32", "fp64"))
F4 = _implementation(4, 8.0, ())
F6 = _implementation(6, 20.0, ())
