from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import Unsupported
from cnnbench.prediction import model
from cnnbench.prediction.operators import OperatorTrace
from cnnbench.prediction.table import MeasuredNetwork
from tests.prediction.made import network, timed, traced

TRUE = (1.0, 5e-6, 2e-11, 3e-11)


def _networks(
    count: int, noise: float = 0.0, seed: int = 0, true: tuple[float, ...] = TRUE
) -> list[MeasuredNetwork]:
    """Networks of as many families, which the model is right about but for noise."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        columns = (
            draw.uniform(5e-3, 0.1), draw.randrange(20, 500), draw.randrange(10**6, 3 * 10**8),
            draw.randrange(10**7, 5 * 10**8),
        )  # fmt: skip
        seconds = sum(a * b for a, b in zip(true, columns, strict=True))
        found.append(network(f"n{number}", seconds * math.exp(draw.gauss(0, noise)), *columns))
    return found


@pytest.mark.parametrize("call", [5e-6, 0.0, -3e-6])
def test_coefficients_are_found_again_of_calls_also_a_negative_one(call: float) -> None:
    true = (1.0, call, *TRUE[2:])

    fitted = model.fit(_networks(12, true=true))

    assert fitted.coefficients == pytest.approx(true, rel=1e-5, abs=1e-10)
    assert fitted.half_width == pytest.approx(0, abs=1e-5)


def test_few_networks_do_not_tell_much_about_the_sum_itself() -> None:
    slower = _networks(4, true=(1.3, *TRUE[1:]))

    alone, *_ = model.fit(slower).coefficients

    assert 1 < alone < 1.3


@given(
    st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3), min_size=3, max_size=8),
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
)
def test_no_non_negative_coefficients_are_nearer(
    rows: list[list[float]], other: list[float]
) -> None:
    def left(coefficients: list[float] | tuple[float, ...]) -> float:
        return sum(
            (sum(a * b for a, b in zip(coefficients, row, strict=True)) - 1) ** 2 for row in rows
        )

    found = model.non_negative(rows, [1.0] * len(rows))

    assert min(found) >= 0
    assert left(found) <= left(other) + 1e-6
    for at in range(3):  # nor is any in the neighbourhood
        for step in (1e-3, -1e-3):
            near = [max(0.0, one + step * (at == place)) for place, one in enumerate(found)]
            assert left(found) <= left(near) + 1e-6


def test_the_interval_holds_about_as_many_as_it_says() -> None:
    held = total = 0
    for seed in range(40):
        *known, new = _networks(11, noise=0.05, seed=seed)
        fitted = model.fit(known)
        columns = (new.alone, new.calls, new.held_bytes, new.moved_bytes)
        point = sum(a * b for a, b in zip(fitted.coefficients, columns, strict=True))
        held += abs(math.log(new.seconds / point)) <= fitted.half_width
        total += 1

    assert held / total >= 0.8


def test_fewer_families_give_a_wider_interval_and_too_few_none() -> None:
    noisy = _networks(12, noise=0.05)
    same = model.Model((1.0,) * 4, dict.fromkeys("abcdefghijkl", 0.05), 12)
    few = model.Model((1.0,) * 4, dict.fromkeys("abcd", 0.05), 4)

    assert few.half_width > same.half_width > 0.05
    with pytest.raises(Unsupported, match="networks of 3 families are measured"):
        model.fit(noisy[:3])


def test_a_family_is_left_out_as_a_whole() -> None:
    networks = _networks(6)
    # Two more of one family, both twice as slow as the rest would have them.
    strange = [
        network(f"odd_{size}", 2 * 0.1, 0.1, 100, 10**7, 10**8) for size in ("small", "large")
    ]

    fitted = model.fit([*networks, *strange])

    assert fitted.families == 7
    assert all(fitted.errors[one.spec] > 0.3 for one in strange)


def test_terms_are_sums_over_calls() -> None:
    known = {one.call: one for one in (timed(100, 1e-6), timed(50, 3e-6))}

    found = model.terms(traced(100, 50, light=5), known)

    assert found.alone.point == pytest.approx(8e-6)
    assert (found.alone.low, found.alone.high) == (found.alone.point, found.alone.point)
    assert found.calls == 9
    assert found.moved_bytes == 2 * 2 * 4 * 150
    assert found.untimed == {}


def test_an_operator_that_was_not_timed_widens_the_interval_and_is_named() -> None:
    known = {one.call: one for one in (timed(100, 1e-6), timed(50, 1e-6))}
    fitted = model.fit(_networks(8, noise=0.03))

    whole = model.predict(fitted, model.terms(traced(100, 50), known))
    part = model.predict(fitted, model.terms(traced(100, 75), known))

    assert list(part.untimed) == ["aten::relu of 75"]
    assert 0 < part.untimed["aten::relu of 75"] < 1
    assert part.high / part.low > whole.high / whole.low
    assert whole.low < whole.seconds < whole.high


def test_nothing_is_said_of_what_nothing_is_known_about() -> None:
    known = {one.call: one for one in (timed(100, 1e-6),)}

    with pytest.raises(Unsupported, match="no other aten::gelu"):
        model.terms(traced(100, operator="aten::gelu"), known)
    with pytest.raises(Unsupported, match="mine::op cannot be timed alone"):
        model.terms(OperatorTrace((), 0, ("mine::op",)), known)
    with pytest.raises(Unsupported, match="no operator that takes time"):
        model.terms(OperatorTrace(()), known)
