"""The matrices compute short convolutions exactly, over fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.implementations.cook_toom import Matrix, transforms

NUMBERS = st.lists(st.fractions(-9, 9, max_denominator=9), min_size=8, max_size=8)


def times(matrix: Matrix, vector: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize("m", [2, 4, 6])
@settings(max_examples=20)
@given(NUMBERS, NUMBERS)
def test_the_outputs_are_those_of_the_definition(
    m: int, signal: list[Fraction], taps: list[Fraction]
) -> None:
    d, g, of = signal[: m + 2], taps[:3], transforms(m, 3)
    products = [a * b for a, b in zip(times(of.filter, g), times(of.input, d), strict=True)]

    expected = [sum(d[i + j] * g[j] for j in range(3)) for i in range(m)]

    assert times(of.inverse, products) == expected


def test_f23_needs_nothing_but_halves() -> None:
    of = transforms(2, 3)
    rows = (*of.inverse, *of.filter, *of.input)
    denominators = {one.denominator for row in rows for one in row}

    assert denominators == {1, 2}
