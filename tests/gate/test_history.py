from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.environment import Environment
from cnnbench.errors import UnknownName
from cnnbench.gate import history
from cnnbench.plan import Plan
from cnnbench.store import StoredRun
from tests import made
from tests.report.test_times import EAGER, waiting


def run(number: int, milliseconds: float, environment: Environment = made.ENVIRONMENT) -> StoredRun:
    what = replace(
        store.manifest(f"run-{number}", [made.EAGER], Plan(), "fake"),
        created=f"2026-01-{number + 1:02}T00:00:00+00:00",
    )
    record = made.record(made.EAGER, [[milliseconds]] * 3)
    return StoredRun(Path(f"run-{number}"), what, environment, (record,))


def noisy(levels: list[tuple[int, float]], noise: float, seed: int) -> list[float]:
    source = random.Random(seed)
    return [level + source.gauss(0, noise) for count, level in levels for _ in range(count)]


def energy(left: np.ndarray, right: np.ndarray) -> float:
    """The statistic of the paper, written as its formula."""
    n, m = len(left), len(right)
    between = sum(abs(a - b) for a in left for b in right)
    inside = sum(abs(a - b) for k, a in enumerate(left) for b in left[:k])
    outside = sum(abs(a - b) for k, a in enumerate(right) for b in right[:k])
    distance = (
        2 / (n * m) * between - 2 * inside / (n * (n - 1)) - 2 * outside / (m * (m - 1))
    )  # fmt: skip
    return n * m / (n + m) * distance


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=14))
def test_the_best_split_is_that_of_the_formula(values: list[float]) -> None:
    series = np.array(values)

    strength, index = history._split(series)

    every = {n: energy(series[:n], series[n:]) for n in range(3, len(values) - 2)}
    assert strength == pytest.approx(max(every.values()), abs=1e-9)
    assert every[index] == pytest.approx(strength, abs=1e-9)


def test_one_step_is_found_where_it_is() -> None:
    found = history.change_points(noisy([(10, 0.0), (10, 0.1)], 0.01, seed=1))

    assert list(found) == [10]
    assert found[10] <= 0.01


def test_two_steps_there_and_back() -> None:
    found = history.change_points(noisy([(10, 0.0), (12, 0.1), (10, 0.0)], 0.01, seed=1))

    assert sorted(found) == [10, 22]


def test_noise_alone_seldom_has_steps() -> None:
    alarms = sum(
        bool(history.change_points(noisy([(16, 0.0)], 0.05, seed=seed), seed=seed))
        for seed in range(40)
    )

    # Five per cent of 40 are expected; more than 6 would happen once in two hundred.
    assert alarms <= 6


def test_one_run_that_differs_is_no_step() -> None:
    values = noisy([(8, 0.0), (1, 1.0), (8, 0.0)], 0.01, seed=1)

    assert history.change_points(values) == {}


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0] * 5, [1.0] * 20])
def test_short_and_flat_series_have_no_steps(values: list[float]) -> None:
    assert history.change_points(values) == {}


def test_the_same_seed_gives_the_same_answer() -> None:
    values = noisy([(8, 0.0), (8, 0.02)], 0.02, seed=3)

    assert history.change_points(values, 7) == history.change_points(values, 7)


def test_a_series_is_in_order_of_time_with_its_steps() -> None:
    runs = [
        run(n, time) for n, time in enumerate([10, 10.1, 9.9, 10, 10.1, 12, 12.1, 11.9, 12, 12])
    ]

    (one,) = history.series(list(reversed(runs)), "latency", lambda _: True)

    assert [point.run for point in one.points] == [f"run-{n}" for n in range(10)]
    (step,) = one.steps
    assert (step.index, step.run, step.elsewhere) == (5, "run-5", False)
    assert step.ratio == pytest.approx(1.2)
    assert step.p_value < 0.05


def test_a_step_where_the_machine_changed_says_so() -> None:
    other = Environment(hard={"cpu": "B"})
    runs = [run(n, 10 + n / 100) for n in range(5)]
    runs += [run(n, 20 + n / 100, other) for n in range(5, 10)]

    (one,) = history.series(runs, "latency", lambda _: True)

    assert one.steps[0].elsewhere


def test_only_what_is_wanted_and_measured_is_followed() -> None:
    runs = [run(n, 10) for n in range(2)]

    assert history.series(runs, "latency", lambda _: False) == []
    assert history.series(runs, "cuda_memory", lambda _: True) == []
    with pytest.raises(UnknownName, match="did you mean latency"):
        history.series(runs, "latncy", lambda _: True)


def test_a_metric_that_is_zero_has_no_steps() -> None:
    runs = [run(n, 10) for n in range(10)]

    (one,) = history.series(runs, "error", lambda _: True)

    assert (len(one.points), one.steps) == (10, ())


def test_a_series_does_not_mix_two_kinds_of_time() -> None:
    times = [(0.5, 10.0), (0.0, 10.0), (0.04, 10.0)]
    runs = [replace(run(number, 1), records=(waiting(EAGER, *one),))
            for number, one in enumerate(times)]  # fmt: skip
    # Of two threads, the waiting is not known.
    unknown = [replace(one, records=(replace(one.records[0], id=made.EAGER),)) for one in runs]

    for metric, factor in (("latency", 0.001), ("throughput", None)):
        (awake,) = history.series(runs, metric, lambda _: True)
        (clock,) = history.series(unknown, metric, lambda _: True)

        expected = 10 * factor if factor else 8 / 0.01
        assert [one.seen.point for one in awake.points] == pytest.approx([expected] * 3, rel=1e-4)
        assert [one.seen for one in clock.points] == [one.estimate for one in clock.points]
