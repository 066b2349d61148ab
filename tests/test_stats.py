from __future__ import annotations

import doctest
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import stats

POSITIVE = st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=12)

# Abramowitz and Stegun, table 26.10, and any textbook.
T_TABLE = [
    (0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 3, 3.1824), (0.975, 4, 2.7764),
    (0.975, 5, 2.5706), (0.975, 9, 2.2622), (0.975, 10, 2.2281), (0.975, 30, 2.0423),
    (0.975, 120, 1.9799), (0.95, 1, 6.3138), (0.95, 2, 2.9200), (0.95, 9, 1.8331),
    (0.99, 9, 2.8214), (0.995, 2, 9.9248), (0.995, 9, 3.2498), (0.9995, 3, 12.9240),
    (0.75, 1, 1.0000), (0.9, 5, 1.4759), (0.975, 1000, 1.9623),
]  # fmt: skip


@given(st.lists(st.integers(-(10**18), 10**18) | st.floats(-1e18, 1e18), min_size=1, max_size=30))
def test_the_median_is_that_of_the_library_to_the_last_bit(values: list[float]) -> None:
    assert stats.median(values) == statistics.median(values)


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no median"):
        stats.median([])


@pytest.mark.parametrize(("probability", "freedom", "value"), T_TABLE)
def test_t_quantiles_are_those_of_the_tables(
    probability: float, freedom: int, value: float
) -> None:
    assert round(stats.t_quantile(probability, freedom), 4) == value


@given(st.floats(0.001, 0.999), st.integers(1, 200))
def test_a_quantile_has_its_probability(probability: float, freedom: int) -> None:
    value = stats.t_quantile(probability, freedom)

    assert stats.t_probability(value, freedom) == pytest.approx(probability, abs=1e-9)


def test_quantiles_are_symmetric() -> None:
    assert stats.t_quantile(0.025, 7) == -stats.t_quantile(0.975, 7)
    assert stats.t_quantile(0.5, 7) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rounds", [2, 3, 5, 10])
def test_intervals_hold_the_truth_as_often_as_they_say(rounds: int) -> None:
    luck = random.Random(20)
    trials, held = 2000, 0
    for _ in range(trials):
        estimate = stats.log_ratio([luck.gauss(math.log(1.5), 0.1) for _ in range(rounds)])
        held += estimate.low <= 1.5 <= estimate.high

    # Three standard errors of a share of 0.95 in 2000 trials.
    assert held / trials == pytest.approx(0.95, abs=0.015)


def test_geometric_intervals_hold_the_median_of_log_normal_times() -> None:
    luck = random.Random(21)
    trials, held = 2000, 0
    for _ in range(trials):
        estimate = stats.geometric([luck.lognormvariate(math.log(0.01), 0.2) for _ in range(5)])
        held += estimate.low <= 0.01 <= estimate.high

    # Widening to the median makes it cover a little more than it says, never less.
    assert 0.935 <= held / trials <= 0.975


@given(POSITIVE)
def test_geometric_holds_its_median(values: list[float]) -> None:
    estimate = stats.geometric(values)

    assert estimate.point == statistics.median(values)
    assert 0 < estimate.low <= estimate.point <= estimate.high
    assert estimate.rounds == len(values)


@given(POSITIVE, st.floats(1e-3, 1e3))
def test_geometric_scales_with_the_unit(values: list[float], factor: float) -> None:
    one, other = stats.geometric(values), stats.geometric([factor * value for value in values])

    assert other.point == pytest.approx(factor * one.point, rel=1e-9)
    assert math.log(other.high / other.low) == pytest.approx(
        math.log(one.high / one.low), rel=1e-6, abs=1e-9
    )


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=10))
def test_the_inverse_ratio_has_the_inverse_interval(logs: list[float]) -> None:
    ratio, inverse = stats.log_ratio(logs), stats.log_ratio([-value for value in logs])

    assert inverse.point == pytest.approx(1 / ratio.point, rel=1e-9)
    assert inverse.low == pytest.approx(1 / ratio.high, rel=1e-6)


def test_log_ratio_by_hand() -> None:
    # mean of ln 1, ln 4 is ln 2; half = 12.7062 * (ln 4 / sqrt 2) / sqrt 2 = 12.7062 * ln 2
    estimate = stats.log_ratio([0.0, math.log(4)])

    assert estimate.point == pytest.approx(2)
    assert estimate.high == pytest.approx(2 * 2**12.7062047, rel=1e-6)
    assert estimate.low == pytest.approx(2 / 2**12.7062047, rel=1e-6)


def test_one_round_gives_no_interval() -> None:
    assert stats.geometric([3.0]) == stats.Estimate(3.0)
    assert stats.log_ratio([0.0]) == stats.Estimate(1.0)
    assert stats.geometric([3.0]).margin is None


def test_more_confidence_is_a_wider_interval() -> None:
    values = [1.0, 1.1, 0.9]

    assert stats.geometric(values, 0.99).high > stats.geometric(values, 0.95).high


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [-1.0]])
def test_geometric_refuses_what_is_not_positive(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        stats.geometric(values)


def test_log_ratio_needs_a_round() -> None:
    with pytest.raises(ValueError, match="one per round"):
        stats.log_ratio([])


def test_the_margin_is_half_the_width_relative_to_the_point() -> None:
    assert stats.Estimate(10, 9, 12).margin == pytest.approx(0.15)
    assert stats.Estimate(0, 0, 0).margin is None


def test_an_exact_value_has_no_width() -> None:
    assert stats.exact(7) == stats.Estimate(7, 7, 7)
    assert stats.exact(None) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_was_not_measured(value: float) -> None:
    assert stats.exact(value) is None


def test_an_exact_count_stays_whole_beside_an_equal_measured_value() -> None:
    first, second = stats.exact(3.0), stats.exact(3)

    assert (type(first.point), type(second.point)) == (float, int)


def test_quartile_spread_by_hand() -> None:
    # quartiles of 1..5 are 2, 3, 4
    assert stats.quartile_spread([5, 3, 1, 2, 4]) == pytest.approx(2 / 3)
    assert stats.quartile_spread([1, 2, 3]) is None


def test_one_wild_sample_does_not_move_the_quartile_spread() -> None:
    calm = [10.0] * 20

    assert stats.quartile_spread([*calm, 1e6]) == 0


def test_the_examples_in_the_documentation_are_true() -> None:
    assert doctest.testmod(stats).failed == 0


def test_a_sum_is_as_unsure_as_its_parts_together() -> None:
    part, other = [10.0, 11.0, 12.0], [1.0, 3.0]

    alone, both = stats.total([part]), stats.total([part, other])

    centre, half = stats.t_interval(part, 0.95)
    assert (alone.point, alone.low) == pytest.approx((centre, centre - half))
    # Standard errors 0.577 and 1: their root of squares, and Welch's 1.67 degrees rounded down.
    assert both.point == pytest.approx(13.0)
    assert both.high - both.point == pytest.approx(stats.t_quantile(0.975, 1) * (1 / 3 + 1) ** 0.5)
    assert stats.total([part, [2.0]]) == stats.Estimate(13.0)


# Log-ratios: of any machine, and of a hostile file.
LOGS = st.lists(st.floats(-60, 60) | st.floats(-1e6, 1e6), min_size=1, max_size=12)
TIMES = st.lists(st.floats(1e-28, 1e28), min_size=1, max_size=12)
# As wide as Bonferroni makes it for a thousand ways at one degree of freedom.
CONFIDENCE = st.floats(0.5, 1 - 0.05 / 1000)


def ordered(one: stats.Estimate) -> bool:
    """Low <= point <= high, all of them numbers."""
    ends = [end for end in (one.low, one.point, one.high) if end is not None]
    return all(map(math.isfinite, ends)) and ends == sorted(ends)


@given(LOGS, CONFIDENCE)
def test_any_log_ratios_give_an_interval_of_numbers(logs: list[float], confidence: float) -> None:
    one = stats.log_ratio(logs, confidence)

    assert ordered(one)
    assert one.point > 0
    assert (one.low is None) == (len(logs) == 1)


@given(TIMES, CONFIDENCE)
def test_any_times_give_an_interval_of_numbers(times: list[float], confidence: float) -> None:
    assert ordered(stats.geometric(times, confidence))


@given(TIMES, TIMES)
def test_the_shift_of_any_two_estimates_is_a_number(old: list[float], new: list[float]) -> None:
    one = stats.shift(stats.geometric(old), stats.geometric(new))
    mean = stats.mean_shift([one, one, stats.shift_of([0.1, 0.2])])

    for found in (one, mean):
        assert math.isfinite(found.centre)
        assert found.half(0.01) is None or math.isfinite(found.half(0.01))


@given(st.lists(TIMES, min_size=1, max_size=5))
def test_any_sum_has_an_interval_of_numbers(parts: list[list[float]]) -> None:
    assert ordered(stats.total(parts))


def test_sixty_ways_after_two_rounds_are_too_wide_and_no_error() -> None:
    one = stats.log_ratio([0.0, math.log(6.4)], 1 - 0.05 / 60)

    assert one.point == pytest.approx(6.4**0.5)
    assert 0 < one.low < 1e-100
    assert 1e100 < one.high < math.inf


@given(st.floats(allow_nan=False))
def test_a_ratio_and_a_change_are_numbers_whatever_their_logarithm(log: float) -> None:
    assert 0 < stats.ratio_of(log) < math.inf
    assert -1 < stats.change_of(log) < math.inf
    assert stats.ratio_of(log) ** 2 < math.inf
    assert math.isfinite(math.log1p(stats.change_of(log)))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    assert stats.wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (2, 1), (-1, 5)])
def test_wilson_refuses_what_is_no_rate(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="needs trials"):
        stats.wilson(successes, n)
