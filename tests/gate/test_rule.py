"""The sequential rule: what it says, when it stops, how often it is wrong."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import gate_simulation
from cnnbench.errors import UsageError
from cnnbench.gate.rule import (
    VERDICTS,
    SequentialRule,
    checked_by_cpu_time,
    decide,
    further,
    hopeless,
    judge_interval,
    p_value,
    resolvable,
)
from cnnbench.stats import t_interval

FIVE = SequentialRule(0.05)
LOGS = st.floats(-0.5, 0.5, allow_nan=False)


def logs(*percent: float) -> list[float]:
    return [math.log1p(one / 100) for one in percent]


@pytest.mark.parametrize(
    ("percent", "verdict"),
    [
        ((6.0, 6.2, 5.8), "regression"),
        ((-6.0, -6.2, -5.8), "improvement"),
        ((0.1, -0.1, 0.0), "unchanged"),
        ((2.4, 2.6, 2.5), None),
        ((8.0, -8.0, 1.0), None),
        ((20.0, 20.1), None),
        ((20.0,), None),
        ((), None),
    ],
)
def test_a_look(percent: tuple[float, ...], verdict: str | None) -> None:
    assert decide(logs(*percent), FIVE).verdict == verdict


def test_where_higher_is_better_the_signs_change_places() -> None:
    higher = SequentialRule(0.05, better="higher")

    assert decide(logs(6.0, 6.2, 5.8), higher).verdict == "improvement"
    assert decide(logs(-6.0, -6.2, -5.8), higher).verdict == "regression"
    assert decide(logs(6.0, 6.2, 5.8), higher).estimate == pytest.approx(0.06, abs=1e-3)


def test_the_last_look_is_inconclusive_with_the_reason_and_what_could_be_resolved() -> None:
    noisy = logs(8, -8, 1, 5, -3)

    found = decide(noisy, FIVE, spent=True)

    assert (found.verdict, found.reason) == ("inconclusive", "the interval is too wide")
    assert found.resolvable is not None
    assert found.resolvable > 0.05


def test_the_most_pairs_are_the_last_look_too() -> None:
    noisy = logs(*[4, -4] * 5)

    assert decide(noisy[:9], FIVE).verdict is None
    assert decide(noisy, FIVE).verdict == "inconclusive"


@pytest.mark.parametrize("count", [0, 1])
def test_a_spent_budget_before_two_pairs_is_inconclusive(count: int) -> None:
    found = decide(logs(30.0)[:count], FIVE, spent=True)

    assert (found.verdict, found.pairs) == ("inconclusive", count)
    assert found.low is None


def test_a_spent_budget_after_two_pairs_is_no_verdict_by_two_pairs() -> None:
    assert decide(logs(30.0, 30.1), FIVE, spent=True).verdict == "inconclusive"


def test_the_interval_of_three_pairs_is_students() -> None:
    # t(0.99, 2) = 6.9646 (tables); sd of 0, 0.01, 0.02 is 0.01.
    found = decide([0.0, 0.01, 0.02], FIVE)

    half = 6.9646 * 0.01 / math.sqrt(3)
    assert found.low == pytest.approx(math.expm1(0.01 - half), rel=1e-4)
    assert found.high == pytest.approx(math.expm1(0.01 + half), rel=1e-4)


def test_what_can_be_resolved_follows_from_the_noise() -> None:
    # t(0.99, 9) = 2.8214.
    pairs = [0.0, 0.01, 0.02]

    assert resolvable(pairs, FIVE) == pytest.approx(
        math.expm1(2 * 2.8214 * 0.01 / math.sqrt(10)), rel=1e-4
    )


def test_it_is_given_up_where_the_noise_leaves_no_hope() -> None:
    wild = logs(12.0, -12.0, 9.0, -9.0, 1.0)

    assert not hopeless(wild[:4], FIVE), "few pairs do not know their noise"
    assert hopeless(wild, FIVE)
    assert not hopeless([one + math.log(1.5) for one in wild], FIVE), "a large change is seen"
    assert not hopeless([one / 3 for one in wild], FIVE)
    assert decide(wild, FIVE).reason == "too noisy: even 10 such pairs would not decide"
    assert decide(wild, SequentialRule(0.3)).verdict != "inconclusive"


@given(st.lists(LOGS, min_size=2, max_size=10))
def test_giving_up_never_takes_a_verdict_away(pairs: list[float]) -> None:
    centre, half = t_interval(pairs, 1 - 2 * FIVE.alpha)
    clear = judge_interval(centre - half, centre + half, FIVE) if len(pairs) >= FIVE.least else None
    found = decide(pairs, FIVE).verdict

    assert found == clear if clear is not None else found in {None, "inconclusive"}


def test_cpu_time_that_says_something_else_makes_it_inconclusive() -> None:
    slower = decide(logs(8.0, 8.1, 7.9), FIVE)

    assert checked_by_cpu_time(slower, logs(8.0, 8.0, 8.0), FIVE).verdict == "regression"
    assert checked_by_cpu_time(slower, [], FIVE) == slower
    apart = checked_by_cpu_time(slower, logs(0.0, 0.1, 0.0), FIVE)
    assert (apart.verdict, apart.reason.split(":")[0]) == (
        "inconclusive", "wall clock and CPU time disagree",
    )  # fmt: skip


@given(st.lists(LOGS, max_size=12), st.booleans())
def test_swapping_base_and_head_swaps_the_verdict(pairs: list[float], spent: bool) -> None:
    other = {"regression": "improvement", "improvement": "regression"}

    there = decide(pairs, FIVE, spent).verdict
    back = decide([-one for one in pairs], FIVE, spent).verdict

    assert back == other.get(str(there), there)


@given(st.lists(LOGS, min_size=3, max_size=12))
def test_no_verdict_contradicts_its_own_interval(pairs: list[float]) -> None:
    found = decide(pairs, FIVE, spent=True)

    assert found.verdict in VERDICTS
    assert found.low is not None
    assert found.high is not None
    if found.verdict == "regression":
        assert found.low > 0
    if found.verdict == "unchanged":
        assert -0.05 < found.low <= found.high < 0.05


@pytest.mark.parametrize(
    "bad",
    [
        {"threshold": 0.0},
        {"threshold": -1},
        {"threshold": math.nan},
        {"threshold": 0.1, "least": 1},
        {"threshold": 0.1, "most": 2},
        {"threshold": 0.1, "alpha": 0.5},
    ],
)
def test_a_rule_that_cannot_work_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        SequentialRule(**bad)  # type: ignore[arg-type]


def test_p_value_is_small_beyond_the_margin_and_large_below_it() -> None:
    assert p_value(logs(6.0, 6.2, 5.8), FIVE) < 0.01
    assert p_value(logs(0.0, 0.2, -0.2), FIVE) > 0.99
    assert p_value(logs(-6.0, -6.2, -5.8), SequentialRule(0.05, better="higher")) < 0.01
    assert p_value([0.1, 0.1], FIVE) == 0.0
    assert p_value([0.0, 0.0], FIVE) == 1.0


@given(st.lists(LOGS, min_size=3, max_size=10))
def test_a_regression_is_what_the_p_value_calls_one(pairs: list[float]) -> None:
    found = decide(pairs, FIVE)

    if found.verdict == "regression":
        assert p_value(pairs, FIVE) <= FIVE.alpha + 1e-9


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("outliers", [False, True])
def test_false_alarms_stay_within_one_per_cent(noise: float, outliers: bool) -> None:
    found = gate_simulation.cell(noise, 0.0, outliers, FIVE, verdicts=1000, seed=1)

    assert found.share("regression") <= 0.01
    assert found.share("improvement") <= 0.01


@pytest.mark.parametrize("noise", [0.005, 0.01, 0.015])
def test_a_true_five_per_cent_is_caught_or_said_to_be_unknown(noise: float) -> None:
    found = gate_simulation.cell(noise, 0.05, False, FIVE, verdicts=500, seed=1)

    assert found.share("regression") >= 0.95
    assert found.share("unchanged") == 0


def test_noise_buys_inconclusive_verdicts_not_lies() -> None:
    found = gate_simulation.cell(0.05, 0.05, True, FIVE, verdicts=500, seed=1)

    assert found.share("inconclusive") > 0.5
    assert found.share("unchanged") <= 0.01


def test_the_simulated_table_has_a_row_per_noise_level() -> None:
    table = gate_simulation.table(FIVE, verdicts=5, seed=1).splitlines()

    assert len(table) == 2 + 2 * len(gate_simulation.NOISE)
    assert {line.count("|") for line in table} == {table[0].count("|")}


# Of any machine, and of a hostile file.
ANY = st.lists(st.floats(-60, 60) | st.floats(-1e6, 1e6), min_size=1, max_size=10)


@given(ANY, ANY, st.floats(1e-4, 1e3))
def test_any_pairs_have_a_decision_of_numbers(
    pairs: list[float], cpu: list[float], threshold: float
) -> None:
    rule = SequentialRule(threshold)

    found = checked_by_cpu_time(decide(pairs, rule, spent=True), cpu, rule)

    ends = [end for end in (found.low, found.estimate, found.high) if end is not None]
    assert all(map(math.isfinite, ends))
    assert ends == sorted(ends)
    assert min(ends) > -1
    assert found.resolvable is None or 0 <= found.resolvable < math.inf
    if len(pairs) > 1:
        assert 0 <= p_value(pairs, rule) <= 1


@pytest.mark.parametrize("noise", [0.008, 0.012, 0.02])
def test_further_pairs_are_as_many_as_the_noise_so_far_needs(noise: float) -> None:
    def like(count: int) -> list[float]:
        """So many pairs without a change, with exactly this noise."""
        return [noise * (one - (count - 1) / 2) / stdev(range(count)) for one in range(count)]

    count = 3 + further(like(3), FIVE)

    assert decide(like(count), FIVE).verdict == "unchanged"
    assert decide(like(count - 1), FIVE).verdict is None


def test_further_pairs_are_never_fewer_than_one_nor_more_than_there_can_be() -> None:
    assert [further([0.1] * count, FIVE) for count in (0, 1, 2, 3, 10)] == [3, 2, 1, 1, 1]
    assert further([1.0, -1.0, 0.0], FIVE) == 7
