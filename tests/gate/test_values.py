from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import gate
from cnnbench.environment import Environment
from cnnbench.errors import SchemaError
from cnnbench.facts import Sketch, Values
from cnnbench.gate import Side, thresholds, values
from cnnbench.record import Record, from_json, to_json
from tests import made

NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=1, max_size=12)


def sketch(*numbers: float, **more: Any) -> Sketch:
    norm = math.sqrt(sum(one * one for one in numbers))
    return Sketch("", len(numbers), norm, numbers, **more)


def record(*outputs: Sketch, **more: Any) -> Record:
    fields = {"weights": "calibrated", "batch": 2, "precision": "float64"}
    return made.record(made.EAGER, [[10]], values=Values(outputs, **(fields | more)))


BASE = record(sketch(1.0, 2.0, -2.0))


@given(NUMBERS)
def test_the_same_is_the_same(numbers: list[float]) -> None:
    assert values.changed(record(sketch(*numbers)), record(sketch(*numbers))) == []


@given(NUMBERS, st.floats(-1, 1))
def test_within_the_limit_nothing_has_changed(numbers: list[float], share: float) -> None:
    moved = [one * (1 + share * 9e-6) for one in numbers]

    assert values.changed(record(sketch(*numbers)), record(sketch(*moved))) == []


@given(NUMBERS, st.floats(2e-5, 1e3))
def test_a_scale_is_a_change(numbers: list[float], share: float) -> None:
    scaled = [one * (1 + share) for one in numbers]

    found = values.changed(record(sketch(*numbers)), record(sketch(*scaled)))

    assert bool(found) == any(numbers)


@given(NUMBERS)
def test_a_sign_is_a_change(numbers: list[float]) -> None:
    flipped = record(sketch(*(-one for one in numbers)))

    assert bool(values.changed(record(sketch(*numbers)), flipped)) == any(numbers)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (sketch(2.0, 1.0, -2.0), "output changed by 4.7e-01 of the norm, limit 1.0e-05"),
        (sketch(-1.0, -2.0, 2.0), "(it is -1 times what it was)"),
        (sketch(1.001, 2.002, -2.002), "(it is 1.001 times what it was)"),
        (sketch(1.0, 2.0), "output has 2 numbers, 3 before"),
        (sketch(1.0, 2.0, 0.0, nonfinite=1), "has 1 numbers that are not finite, 0 before"),
        (Sketch("", 3, 0.0, digest="ab"), "has another kind of type"),
        (sketch(2.0, 1.0, -2.0, moved=0.9), "output changed by 4.7e-01"),
    ],
)
def test_a_line_says_what_has_changed(new: Sketch, said: str) -> None:
    (line,) = values.changed(BASE, record(new)) or []

    assert said in line


def test_whole_numbers_are_compared_exactly() -> None:
    old, new = (record(Sketch("", 5, 0.0, digest=one)) for one in ("a", "b"))

    assert values.changed(old, old) == []
    assert values.changed(old, new) == ["values: output has other whole numbers"]


def test_outputs_are_found_by_their_names() -> None:
    parts = [replace(sketch(float(n), 1.0), name=name) for n, name in enumerate("ab")]

    assert values.changed(record(*parts), record(*parts[::-1])) == []
    assert values.changed(record(*parts), record(parts[0])) == ["values: 2 outputs -> 1"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (record(sketch(1.0, moved=0.5)), record(sketch(3.0, moved=0.5)), "differ by 50"),
        (record(random=True, reason="random"), record(random=True, reason="random"), "random"),
        (BASE, record(reason="refuses"), "refuses"),
        (BASE, record(sketch(1.0), weights="random"), "float64 precision -> random weights, 2"),
        (BASE, record(sketch(1.0), precision="own"), "float64 precision -> calibrated weights, 2"),
        (BASE, replace(BASE, values=None), ""),
    ],
)
def test_what_cannot_be_judged_is_no_change(old: Record, new: Record, why: str) -> None:
    assert values.changed(old, new) is None
    assert why in values.unjudged(old, new)


def test_an_output_that_becomes_random_has_changed() -> None:
    drawn = record(random=True, reason="the pass draws random numbers")

    assert values.changed(BASE, drawn) == ["values: outputs are random now, they were not before"]
    assert values.changed(drawn, BASE) == ["values: outputs are not random now, they were before"]


def test_initial_weights_count_where_calibration_levels_them_out() -> None:
    old, new = (replace(sketch(1.0, scale), name="initial weights") for scale in (1.0, 2.0))

    found = values.changed(record(sketch(1.0), initial=old), record(sketch(1.0), initial=new))

    assert found == ["values: initial weights changed by 7.1e-01 of their norms"]


def judged(new: Record, torch: str = "2.14.1+cpu") -> gate.Judgement:
    places = [Environment({"torch": {"version": one}}, {}) for one in ("2.14.1+cu130", torch)]
    sides = [
        Side(name, place, {one.id: one})
        for name, place, one in zip("ab", places, (BASE, new), strict=True)
    ]
    limits = [*thresholds.defaults(), thresholds.parse("latency=off")]
    return gate.judge(gate.compare(*sides), limits)


def test_a_change_is_a_regression_on_every_machine() -> None:
    changed = record(sketch(2.0, 1.0, -2.0))

    assert judged(changed).rows[0].verdict == "regression"
    assert judged(BASE).count("regression") == 0


def test_with_another_torch_it_is_not_judged() -> None:
    changed = record(sketch(2.0, 1.0, -2.0))

    (row,) = judged(changed, "2.15.0").rows

    assert row.verdict == "incomparable"
    assert "so does torch" in row.reason


@pytest.mark.parametrize(
    "numbers",
    [
        {"norm": math.nan}, {"norm": -1.0}, {"sums": [math.inf]}, {"count": -1},
        {"nonfinite": -1},
    ],
)  # fmt: skip
def test_what_is_no_sketch_is_refused(numbers: dict[str, Any]) -> None:
    data = to_json(BASE)
    data["values"]["outputs"][0] |= numbers

    with pytest.raises(SchemaError):
        from_json(data)


def test_a_file_may_hold_another_number_of_sums() -> None:
    other = replace(sketch(1.0, 2.0, -2.0), sums=(1.0, 2.0))

    assert values.changed(record(other), BASE) == [
        "values: output changed by inf of the norm, limit 1.0e-05"
    ]
