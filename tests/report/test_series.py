"""Series over runs, drawn: levels, steps, units."""

from __future__ import annotations

import pytest

from cnnbench.gate.history import Point, Series, StepChange
from cnnbench.report.page import over_runs, series
from cnnbench.stats import Estimate
from tests import made
from tests.report.conftest import HOSTILE


def made_series(values: list[float], *steps: int, metric: str = "latency", run: str = "") -> Series:
    points = tuple(
        Point(f"{run or 'night'}-{number}", "2026-01-01", "e", *[Estimate(value, value, value)] * 2)
        for number, value in enumerate(values)
    )
    ratio = Estimate(1.5, 1.4, 1.6)
    found = tuple(
        StepChange(index - 1, index, points[index].run, ratio, len(points) - index)
        for index in steps
    )
    return Series(made.EAGER, metric, points, found)


def test_a_level_is_a_flat_line_from_step_to_step() -> None:
    (line,) = series.plot(made_series([1.0, 2.0, 3.0, 9.0, 9.0], 3)).lines

    assert line.xs == (0.5, 3.5, 3.5, 5.5)
    assert line.ys == (2.0, 2.0, 9.0, 9.0)


@pytest.mark.parametrize(
    ("metric", "title", "scale"),
    [("latency", "latency, ms", 1e3), ("peak_memory", "peak_memory, MiB", 1 / 2**20),
     ("params", "params", 1.0)],
)  # fmt: skip
def test_an_axis_has_its_unit(metric: str, title: str, scale: float) -> None:
    drawn = series.plot(made_series([1.0, 2.0], metric=metric))

    assert (drawn.y.title, drawn.y.scale) == (title, scale)


def test_series_with_steps_are_drawn_first_and_what_is_left_out_is_said() -> None:
    flat, stepped = made_series([1.0] * 9), made_series([1.0] * 4 + [2.0] * 5, 4)
    text = over_runs([flat] * 40 + [stepped])

    assert "1 series without a plot stand in the table above" in text
    assert text.count("step of +50.0 %") == 1
    assert over_runs([flat]).count("No step in 1 series.") == 1


def test_names_are_inert() -> None:
    text = over_runs([made_series([1.0, 2.0], run=HOSTILE)])

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
