"""Steps in series of numbers: found where they are, and nowhere else."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import history_simulation
from cnnbench.gate import steps

LEAST = 1e-3


def noisy(levels: list[tuple[int, float]], noise: float, seed: int) -> list[float]:
    source = random.Random(seed)
    return [level + source.gauss(0, noise) for count, level in levels for _ in range(count)]


def places(values: list[float]) -> list[int]:
    return [one.index for one in steps.levels(values, LEAST).steps]


@pytest.mark.parametrize("seed", range(5))
def test_one_step_is_found_where_it_is_with_its_size(seed: int) -> None:
    (one,) = steps.levels(noisy([(12, 0.0), (10, 0.06)], 0.01, seed), LEAST).steps

    assert (one.index, one.after) == (12, 10)
    assert one.change == pytest.approx(0.06, abs=0.02)
    assert 0.005 < one.half < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_two_of_two_runs_after_it_are_a_step_and_one_is_none(seed: int) -> None:
    values = noisy([(14, 0.0), (2, 0.08)], 0.01, seed)

    assert places(values) == [14]
    alone = steps.levels(values[:-1], LEAST)
    assert alone.steps == ()
    assert alone.last == pytest.approx(0.08, abs=0.03)


def test_two_steps_there_and_back() -> None:
    assert places(noisy([(10, 0.0), (12, 0.1), (10, 0.0)], 0.01, seed=1)) == [10, 22]


@pytest.mark.parametrize("place", range(1, 17))
def test_one_run_that_differs_is_no_step_wherever_it_is(place: int) -> None:
    values = noisy([(17, 0.0)], 0.01, seed=1)
    values[place] += 1.0

    assert places(values) == []


def test_an_outlier_beside_a_step_does_not_hide_it() -> None:
    values = noisy([(14, 0.0), (8, 0.06)], 0.01, seed=2)
    values[13] += 0.5
    values[16] -= 0.5

    assert places(values) in ([13], [14])


def test_noise_alone_seldom_has_steps() -> None:
    alarms = sum(bool(places(noisy([(30, 0.0)], 0.05, seed))) for seed in range(40))

    assert alarms <= 2


def test_the_noise_is_that_around_the_levels_however_large_the_step() -> None:
    found = [steps.levels(noisy([(15, 0.0), (15, by)], 0.01, 3), LEAST).noise for by in (0, 0.1, 5)]

    assert found == pytest.approx([0.01] * 3, rel=0.35)


def test_a_line_is_a_drift_and_no_step() -> None:
    values = [one + 0.004 * number for number, one in enumerate(noisy([(30, 0.0)], 0.01, seed=1))]
    found = steps.levels(values, LEAST)

    assert found.steps == ()
    assert found.drifts


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0] * 5, [1.0] * 20])
def test_short_and_flat_series_have_no_steps(values: list[float]) -> None:
    assert steps.levels(values, LEAST).steps == ()


def test_what_is_less_than_the_least_noise_is_no_step() -> None:
    values = [0.0] * 10 + [1e-3] * 5

    assert places(values) == []
    assert [one.index for one in steps.levels(values, 1e-9).steps] == [10]


@given(
    st.lists(st.floats(-5, 5), min_size=steps.FEWEST, max_size=24), st.floats(-3, 3), st.booleans()
)
def test_levels_do_not_depend_on_the_unit_and_the_sign(
    values: list[float], shift: float, turned: bool
) -> None:
    sign = -1 if turned else 1
    found, moved = (
        steps.levels(some, 0.01)
        for some in (values, [shift + sign * value for value in values])
    )  # fmt: skip

    assert found.noise == pytest.approx(moved.noise, rel=0.05, abs=1e-6)
    for one in found.steps:
        assert 2 <= one.index <= len(values) - 2
        assert one.half > 0
    borders = [0, *(one.index for one in found.steps), len(values)]
    assert borders == sorted(set(borders))


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_any_numbers_have_an_answer(values: list[float]) -> None:
    found = steps.levels(values, LEAST)

    assert sum(one.after for one in found.steps) <= len(values)


def test_the_simulation_counts_what_was_found_how_soon_and_what_was_not_there() -> None:
    values = np.array(noisy([(14, 0.0), (8, 0.2)], 0.01, seed=1))
    tally = history_simulation.Tally()
    tally.look(history_simulation.by_levels, values, 14, [15, 16, 17, 22])
    tally.look(history_simulation.by_levels, values, 4, [15, 16, 17, 22])
    tally.look(lambda _: [2, 13], values, 14, [15, 22])

    assert tally.delays == [2, None, 1]
    assert (tally.false, tally.whole, tally.errors) == (2, 2, [0, 1])
    assert (tally.within(1), tally.within(2)) == ("33", "67")


def test_what_levels_are_compared_with_finds_a_step_with_three_runs_on_either_side() -> None:
    values = np.array(noisy([(12, 0.0), (8, 0.2)], 0.01, seed=1))

    assert history_simulation.by_energy(values) == [12]
    assert history_simulation.split(values[:5]) == (0.0, -1)
    assert history_simulation.by_energy(np.zeros(12)) == []
