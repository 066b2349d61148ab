"""Turns that agree or not, and that measuring again chooses no answer."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.gate import agreement
from cnnbench.gate.agreement import between, disagreement
from cnnbench.gate.rule import SequentialRule, decide

FIVE = SequentialRule(0.05)
MARGIN = FIVE.margin
# Whole numbers over a power of two, so that sums and differences are exact.
TURNS = st.lists(st.integers(-256, 256).map(lambda n: n / 2048), min_size=3, max_size=24)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([0.0, 0.1] * 4, "two levels"),
        ([0.1, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "two levels"),
        ([0.0, 0.0, 0.0, 0.01, 0.09, 0.1, 0.1, 0.1], "two levels"),
        ([0.00, 0.09, 0.02, 0.07, 0.04, 0.05, 0.06, 0.03, 0.08, 0.01, 0.10, 0.03], ""),
        ([0.00, 0.02, 0.01, 0.03, 0.00, 0.04, 0.07, 0.09, 0.08, 0.10, 0.07, 0.09],
         "first and second half"),
        # One turn that a burst hit is no level, and the median withstands it.
        ([0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0], ""),
        # What does not matter for the verdict is none either.
        ([0.0, 0.02] * 4, ""),
        # Too few to be divided.
        ([0.0, 0.1, 0.0, 0.1, 0.1], ""),
    ],
)  # fmt: skip
def test_what_turns_do_not_agree_on(turns: list[float], said: str) -> None:
    assert disagreement(turns, MARGIN) == said


@given(TURNS)
def test_base_and_head_exchanged_are_judged_alike(turns: list[float]) -> None:
    assert disagreement(turns, MARGIN) == disagreement([-one for one in turns], MARGIN)


@given(TURNS, st.integers(-64, 64).map(lambda n: n / 2048))
def test_a_slowdown_of_all_turns_changes_nothing(turns: list[float], effect: float) -> None:
    assert disagreement(turns, MARGIN) == disagreement([one + effect for one in turns], MARGIN)


def test_the_difference_of_two_groups_has_the_error_that_it_has() -> None:
    chance = random.Random(5)
    found = [
        between(*([chance.gauss(0, 0.02) for _ in range(8)] for _ in range(2))) for _ in range(2000)
    ]

    spread = statistics.stdev(change for change, _ in found)
    assert spread == pytest.approx(statistics.fmean(error for _, error in found), rel=0.3)


def pair(chance: random.Random, effect: float, kind: str) -> list[float]:
    """The turns of a pair: calm, of two levels, or with a step; up or down by chance."""
    jump = chance.choice((-1, 1)) * chance.uniform(0.03, 0.15)
    share, step = chance.uniform(0.2, 0.8), chance.randrange(8)
    moved = {
        "calm": lambda turn: 0.0,
        "levels": lambda turn: jump * (chance.random() < share),
        "step": lambda turn: jump * (turn >= step),
    }[kind]
    return [effect + moved(turn) + chance.gauss(0, 0.01) for turn in range(8)]


def verdict(chance: random.Random, effect: float, *, again: int) -> str:
    """The rule over pairs of which a part is restless, each measured again up to ``again``."""
    medians: list[float] = []
    left = again
    while True:
        kind = chance.choice(("calm", "calm", "levels", "step"))
        turns = pair(chance, effect, kind)
        if left and disagreement(turns, MARGIN):
            left -= 1
            continue
        medians.append(statistics.median(turns))
        found = decide(medians, FIVE)
        if found.verdict is not None:
            return found.verdict


def counted(effect: float, *, again: int, count: int = 1000) -> Counter[str]:
    chance = random.Random(f"{effect} {again}")
    return Counter(verdict(chance, effect, again=again) for _ in range(count))


def test_measuring_again_makes_no_false_alarm_and_favours_neither_side() -> None:
    before, after = counted(0.0, again=0), counted(0.0, again=2)

    # Each counts twice in a gate: a regression must be confirmed by a look of its own.
    assert after["regression"] <= before["regression"]
    assert after["regression"] + after["improvement"] < 0.01 * after.total()
    assert abs(after["regression"] - after["improvement"]) < 12
    assert after["unchanged"] > before["unchanged"]


def test_measuring_again_hides_no_slowdown() -> None:
    before, after = counted(FIVE.tau, again=0), counted(FIVE.tau, again=2)

    assert after["regression"] > before["regression"]
    assert after["unchanged"] <= before["unchanged"] + 5


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40))
def test_the_error_of_a_median_knows_no_direction_and_no_level(turns: list[float]) -> None:
    found = agreement.error(turns)

    assert found >= 0
    assert agreement.error([-one for one in turns]) == pytest.approx(found)
    assert agreement.error([one + 0.3 for one in turns]) == pytest.approx(found, abs=1e-12)


def test_the_error_of_a_median_is_that_of_normal_noise() -> None:
    chance = random.Random(0)
    medians, errors = [], []
    for _ in range(400):
        turns = [chance.gauss(0, 0.1) for _ in range(31)]
        medians.append(statistics.median(turns))
        errors.append(agreement.error(turns))

    assert statistics.fmean(errors) == pytest.approx(statistics.stdev(medians), rel=0.15)
    assert agreement.error([0.1, 0.2]) == math.inf
