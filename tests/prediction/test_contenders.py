from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import SchemaError
from cnnbench.prediction import contenders as fates
from cnnbench.prediction.contenders import (
    FATES,
    ChoiceLimits,
    Contender,
    Proof,
    chance,
    decide,
    next_to_measure,
    widening,
)

LIMITS = ChoiceLimits(0.02)


def one(name: str, top1: float = 70.0, milliseconds: float | None = None, **more) -> Contender:
    """A contender; predicted within 10 % of that if a time is given."""
    spec = f"{name}/inference-b1-3x224x224/eager/cpu-t1"
    if milliseconds is not None:
        seconds = milliseconds / 1e3
        more = {"seconds": seconds, "low": seconds / 1.1, "high": seconds * 1.1} | more
    return Contender(spec, top1, **more)


def proven(milliseconds: float, **more) -> Proof:
    return Proof(milliseconds / 1e3, **more)


def test_the_most_accurate_that_was_measured_within_the_limit_is_the_choice() -> None:
    found = [one("slow", 80, 30), one("good", 75, 15), one("quick", 74.5, 5), one("poor", 60, 1)]
    proofs = {found[1].spec: proven(16), found[2].spec: proven(5)}

    state = decide(found, proofs, LIMITS)

    assert (state.best, state.fastest) == (found[1], found[2])
    assert state.is_certain
    assert state.is_complete
    fate = {item.network: state.fates[item.spec] for item in found}
    assert fate == {"slow": fates.SLOW, "good": fates.FITS, "quick": fates.FITS,
                    "poor": fates.BEATEN}  # fmt: skip


def test_what_may_be_more_accurate_within_the_limit_keeps_the_answer_open() -> None:
    found = [one("near", 76, 21), one("good", 75, 15)]

    state = decide(found, {found[1].spec: proven(16)}, LIMITS)

    assert not state.is_certain
    assert state.could == (found[0],)


def test_equals_in_accuracy_are_told_apart_by_time() -> None:
    found = [one("a", 75, 15), one("b", 75, 10), one("c", 75, 19)]

    state = decide(found, {found[0].spec: proven(15)}, LIMITS)

    assert state.could == (found[1],)
    assert state.fates[found[2].spec] == fates.BEATEN


def test_the_smallest_within_a_point_is_looked_for_too() -> None:
    found = [one("good", 75, 15, params=10), one("small", 74.2, 18, params=5),
             one("far", 73.9, 10, params=1)]  # fmt: skip

    state = decide(found, {found[0].spec: proven(15)}, LIMITS)

    assert state.is_certain
    assert not state.is_complete
    assert state.near == (found[1],)
    assert next_to_measure(state, 3) == (found[1],)


def test_the_most_accurate_that_likely_fits_is_measured_first_and_what_is_above_with_it() -> None:
    found = [one("a", 80, 23), one("b", 79, 21.5), one("c", 78, 19), one("d", 77, 10)]

    state = decide(found, {}, replace(LIMITS, seconds=0.0215))

    assert [item.network for item in state.could] == ["b", "c", "d", "a"]
    assert [item.network for item in next_to_measure(state, 2)] == ["b", "a"]


def test_a_surprise_widens_the_other_intervals_and_opens_what_was_ruled_out() -> None:
    found = [one("slow", 80, 23), one("good", 75, 15)]
    expected = {found[1].spec: proven(15)}
    surprise = {found[1].spec: proven(11)}

    assert decide(found, expected, LIMITS).fates[found[0].spec] == fates.SLOW
    assert widening(found, surprise) == pytest.approx(15 / 1.1 / 11)
    assert decide(found, surprise, LIMITS).could == (found[0],)


@pytest.mark.parametrize(
    ("contender", "proof", "fate"),
    [
        (one("x", params=10, out=fates.WEIGHTS), None, fates.WEIGHTS),
        (one("x", out=fates.UNBUILT, why="no such model"), None, fates.UNBUILT),
        (one("x", floor=0.03), None, fates.WORK),
        (one("x", 70, 30), None, fates.SLOW),
        (one("x"), proven(30), fates.TOO_SLOW),
        (one("x"), proven(10, memory=2e9), fates.TOO_LARGE),
        (one("x"), proven(10), fates.FAILED),  # memory is asked for and not known
        (one("x"), Proof(None, why="died"), fates.FAILED),
        (one("x"), proven(10, memory=1e8), fates.FITS),
        (one("x", why="mode compile is not predicted"), None, fates.OPEN),
    ],
)
def test_everybody_has_a_fate(contender: Contender, proof: Proof | None, fate: str) -> None:
    proofs = {} if proof is None else {contender.spec: proof}

    state = decide([contender], proofs, ChoiceLimits(0.02, 1e9))

    assert state.fates == {contender.spec: fate}
    assert fate in FATES


def test_without_a_fit_the_nearest_is_named() -> None:
    found = [one("a", 80, 50), one("b", 70, 30), one("c", 75, 40)]

    assert decide(found, {}, LIMITS).nearest == found[1]
    assert decide(found, {found[2].spec: proven(41)}, LIMITS).nearest == found[2]
    assert decide([], {}, LIMITS).nearest is None


def test_what_is_not_predicted_is_predicted_in_the_order_of_its_promise() -> None:
    found = [one("large", 85, rough=0.2), one("larger", 86, rough=0.3), one("a", 70, rough=0.01),
             one("b", 75, rough=0.01)]  # fmt: skip

    state = decide(found, {}, LIMITS)

    assert [item.network for item in state.unseen] == ["b", "a", "large", "larger"]
    assert not state.could


def test_chances_grow_with_the_limit_and_shrink_towards_a_half_with_the_interval() -> None:
    slow = one("x", 70, 25)

    assert chance(slow, 0.02) < chance(slow, 0.02, wider=2) < 0.5 < chance(slow, 0.03)
    assert chance(one("x"), 0.02) == 0.5
    assert chance(one("x", rough=0.1), 0.02) < 0.5


@pytest.mark.parametrize(
    "more",
    [
        {"top1": 0.0}, {"top1": 101.0}, {"top1": math.nan}, {"seconds": 1.0},
        {"seconds": 2.0, "low": 1.0, "high": 1.5}, {"floor": math.nan}, {"params": -1},
        {"rough": math.inf}, {"out": "because"}, {"seconds": 0.0, "low": 0.0, "high": 0.0},
    ],
)  # fmt: skip
def test_impossible_contenders_are_refused(more: dict) -> None:
    with pytest.raises(SchemaError):
        Contender(**{"spec": "x/inference-b1-3x8x8/eager/cpu-t1", "top1": 70.0} | more)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_is_a_positive_number(seconds: float) -> None:
    with pytest.raises(SchemaError, match="no limit"):
        ChoiceLimits(seconds)


@st.composite
def fields(draw: st.DrawFn) -> tuple[list[Contender], dict[str, float]]:
    """Contenders with whole intervals, and times that lie within them."""
    found, truth = [], {}
    for number in range(draw(st.integers(1, 12))):
        point = draw(st.floats(1.0, 60.0))
        contender = one(
            f"n{number}", draw(st.sampled_from([60.0, 70.0, 70.5, 71.0, 75.0, 80.0])), point,
            params=draw(st.none() | st.integers(1, 100)), floor=draw(st.sampled_from([0.0, 1e-4])),
        )  # fmt: skip
        if draw(st.booleans()):
            contender = replace(contender, seconds=None, low=None, high=None)
        found.append(contender)
        truth[contender.spec] = point * draw(st.floats(0.92, 1.08)) / 1e3
    return found, truth


@given(fields(), st.integers(1, 4))
def test_measuring_who_is_next_ends_with_the_answer_of_measuring_everybody(
    given_field: tuple[list[Contender], dict[str, float]], most: int
) -> None:
    found, truth = given_field
    proofs: dict[str, Proof] = {}
    for _ in range(4 * len(found)):
        state = decide(found, proofs, LIMITS)
        assert state.fates.keys() == truth.keys()
        if state.is_complete:
            break
        if state.unseen:
            seen = {item.spec for item in state.unseen[:2]}
            found = [
                replace(item, seconds=truth[item.spec], low=truth[item.spec] / 1.1,
                        high=1.1 * truth[item.spec]) if item.spec in seen else item
                for item in found
            ]  # fmt: skip
            continue
        some = next_to_measure(state, most)
        assert some
        assert not any(item.spec in proofs for item in some)
        proofs |= {item.spec: Proof(truth[item.spec]) for item in some}

    assert state.is_complete
    fitting = [item for item in found if truth[item.spec] <= LIMITS.seconds]
    best = min(fitting, key=lambda item: (-item.top1, truth[item.spec]), default=None)
    assert (best is None) == (state.best is None)
    if best is not None and state.best is not None:
        assert (state.best.top1, truth[state.best.spec]) == (best.top1, truth[best.spec])
        near = [item for item in fitting if item.top1 >= best.top1 - fates.WITHIN]
        assert state.fastest is not None
        assert truth[state.fastest.spec] == min(truth[item.spec] for item in near)


@given(fields())
def test_what_is_certain_stays_the_answer_whatever_else_is_measured(
    given_field: tuple[list[Contender], dict[str, float]],
) -> None:
    found, truth = given_field
    proofs: dict[str, Proof] = {}
    certain = None
    for item in found:
        state = decide(found, proofs, LIMITS)
        if certain is not None:
            assert state.best is not None
            assert state.best.top1 == certain.top1
        elif state.is_certain:
            certain = state.best
        proofs[item.spec] = Proof(truth[item.spec])


def test_a_measurement_that_reaches_over_the_limit_is_measured_again_before_it_decides() -> None:
    found = [one("over", 80, 21), one("under", 75, 19), one("clear", 74, 10)]
    over, under, clear = (item.spec for item in found)
    proofs = {
        over: proven(20.5, low=0.0199, high=0.0215, rounds=3),
        under: proven(19.5, low=0.0190, high=0.0201, rounds=3),
        clear: proven(10, low=0.0099, high=0.0201, rounds=3),
    }

    state = decide(found, proofs, LIMITS)

    assert state.best == found[1]
    assert state.is_decided
    assert not state.is_certain
    # What is less accurate than the choice does not matter.
    assert state.close == state.again == (found[0], found[1])
    assert next_to_measure(state, 3) == (found[0],)

    many = {name: replace(proof, rounds=fates.MOST_ROUNDS) for name, proof in proofs.items()}
    told = decide(found, many, LIMITS)
    assert told.close == (found[0], found[1])
    assert told.again == ()
    assert told.is_complete
    assert not told.is_certain


@given(
    st.floats(0.001, 0.1), st.floats(1, 3), st.floats(1, 3), st.floats(0.001, 0.1)
)  # fmt: skip
def test_an_interval_is_close_exactly_if_the_limit_is_in_it(
    seconds: float, below: float, above: float, limit: float
) -> None:
    proof = Proof(seconds, seconds / below, seconds * above)

    assert proof.is_close(limit) == (seconds / below <= limit < seconds * above)
    assert not Proof(seconds).is_close(limit)


def test_the_nearest_misses_the_limits_by_least_not_the_time_alone() -> None:
    found = [one("slow", 76, 21), one("large", 70, 4)]
    proofs = {found[0].spec: proven(21, memory=1e8), found[1].spec: proven(4, memory=9e9)}

    assert decide(found, proofs, ChoiceLimits(0.02, 5e8)).nearest == found[0]
