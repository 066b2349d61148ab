from __future__ import annotations

import doctest
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import units

FACTORS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.3, "12.3 s"), (1, "1.00 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs"),
        (7e-9, "7.00 ns"), (0, "0 ns"), (999.6e-6, "1.00 ms"), (0.9996, "1.00 s"),
        (9.996e-3, "10.0 ms"), (99.96, "100 s"), (3600, "3600 s"), (-0.002, "-2.00 ms"),
    ],
)  # fmt: skip
def test_seconds_have_three_digits(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"), (1 << 20, "1.00 MiB"), (97.5 * (1 << 20), "97.5 MiB"), (3 << 30, "3.00 GiB"),
        (1 << 40, "1.00 TiB"), (1023 << 10, "1023 KiB"), ((1 << 20) - 1, "1.00 MiB"),
    ],
)  # fmt: skip
def test_sizes_are_in_powers_of_two(value: float, text: str) -> None:
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (12, "12"), (999, "999"), (1000, "1.00 k"), (25_557_032, "25.6 M"),
        (4_089_184_256, "4.09 G"), (9_996_000, "10.0 M"), (2.5e13, "25.0 T"), (1.5, "1.50"),
    ],
)  # fmt: skip
def test_counts_have_a_decimal_prefix(value: float, text: str) -> None:
    assert units.count(value) == text


@given(st.floats(1e-9, 1e4))
def test_a_written_duration_reads_back_to_half_a_percent(value: float) -> None:
    number, unit = units.seconds(value).split(" ")

    assert float(number) * FACTORS[unit] == pytest.approx(value, rel=0.0051)


@given(st.floats(1e-6, 999))
def test_three_significant_digits_are_three(value: float) -> None:
    text = units.significant(value)

    digits = re.sub(r"[^0-9]", "", text).lstrip("0")
    assert len(digits) == 3


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_breaks_a_cell(value: float) -> None:
    writers = (units.seconds, units.size, units.count, units.ratio, units.percent, units.scientific)

    texts = [write(value) for write in writers]

    assert all(texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.percent(0.042), "4.2 %"),
        (units.percent(0.042, sign=True), "+4.2 %"),
        (units.percent(-1.5, sign=True), "-150 %"),
        (units.ratio(1.4321), "1.43x"),
        (units.ratio(0.5), "0.500x"),
        (units.scientific(3.14e-7), "3.1e-07"),
        (units.scientific(0), "0"),
        (units.rate(123.4), "123 /s"),
        (units.rate(25_000), "25.0 k/s"),
        (units.duration(65.4), "65 s"),
        (units.duration(951), "16 min"),
        (units.duration(7500), "2 h 5 min"),
        (units.number(1, "search", "searches"), "1 search"),
        (units.number(2, "search", "searches"), "2 searches"),
        (units.number(1.5, "core"), "1.5 cores"),
        (units.shape((3, 224, 224)), "3x224x224"),
        (units.significant(math.inf), "inf"),
    ],
)
def test_other_units_are_written_so(text: str, expected: str) -> None:
    assert text == expected


def test_the_examples_in_the_documentation_are_true() -> None:
    assert doctest.testmod(units).failed == 0


@given(st.floats(1e-300, 1e300), st.floats(1, 1e6), st.floats(1, 1e6), st.integers(2, 20))
def test_an_interval_is_two_ends_or_words_and_never_wider_than_twice(
    point: float, down: float, up: float, rounds: int
) -> None:
    low, high = point / down, point * up

    text = units.interval(units.significant, point, low, high, rounds)

    narrow = max(point / low, high / point) <= 2
    assert (text == f"{units.significant(low)}, {units.significant(high)}") == narrow
    assert narrow or text.startswith(f"{rounds} rounds: ")


def test_few_rounds_that_differ_say_so_in_place_of_an_interval() -> None:
    assert units.interval(units.seconds, 0.176, 1.27e-9, 5133215.0, 2) == "2 rounds: too few"
    assert units.interval(units.ratio, 1.0, 1 / 8, 8.0, 3) == "3 rounds: x/÷ 8.00"
    assert units.interval(units.ratio, 1.0, 1e-6, 1e6, 9, "pairs") == "9 pairs: too far apart"
    assert units.vague(1.0, -1.0, 3.0, 2) == "2 rounds: too few"


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("lenet", "lenet"),
        ("%E3%83%A2%E3%83%87%E3%83%AB:net", "モデル:net"),
        ("test_p%5B10%5D", "test_p[10]"),
        ("a%20b%25", "a b%"),
        ("a%0Ab%1B%5B31m", "a%0Ab%1B[31m"),
        ("%E2%80%AEevil", "%E2%80%AEevil"),
        ("%FF%FE", "%FF%FE"),
    ],
)
def test_names_are_shown_as_written_unless_a_character_would_act(quoted: str, shown: str) -> None:
    assert units.readable(quoted) == shown
