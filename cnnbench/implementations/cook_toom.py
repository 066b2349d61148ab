"""The exact matrices of Winograd's short convolutions, by the Cook-Toom construction.

``F(m, r)`` computes m outputs of an r-tap filter with a = m + r - 1 multiplications instead of m r:
``y = A^T [(G g) * (B^T d)]``. The a points are those of Lavin's wincnn: 0, 1, -1, 2, -2, 1/2, -1/2
as far as needed, and infinity.

Winograd: Arithmetic Complexity of Computations, 1980. Lavin, Gray: Fast Algorithms for
Convolutional Neural Networks, 2015, arXiv:1509.09308.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

_POINTS = tuple(Fraction(one) for one in ("0", "1", "-1", "2", "-2", "1/2", "-1/2"))

Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """The three matrices.

    Attributes:
        inverse: A^T, m x a.
        filter: G, a x r.
        input: B^T, a x a.
    """

    inverse: Matrix
    filter: Matrix
    input: Matrix


def transforms(m: int, r: int) -> Transforms:
    """Exact matrices of F(m, r), for m + r at most 9."""
    finite = m + r - 2
    points = _POINTS[:finite]
    scale = [prod((p - q for q in points if q != p), start=Fraction(1)) for p in points]
    infinity = Fraction(1)
    evaluate = [
        (*(p**power for p in points), infinity if power == m - 1 else Fraction(0))
        for power in range(m)
    ]
    filters = [
        tuple(p**power / one for power in range(r)) for p, one in zip(points, scale, strict=True)
    ]
    filters.append((*[Fraction(0)] * (r - 1), infinity))
    inputs = [(*_roots([q for q in points if q != p]), Fraction(0)) for p in points]
    inputs.append(tuple(_roots(list(points))))
    return Transforms(tuple(evaluate), tuple(filters), tuple(inputs))


def _roots(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients, lowest power first, of the polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * one for one in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients
