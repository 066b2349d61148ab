"""What earlier comparisons teach of the noise, and what is made of it."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.errors import SchemaError
from cnnbench.gate import noise
from cnnbench.gate.noise import Learnt, PastPairs
from cnnbench.gate.rule import SequentialRule, decide
from tests import made

RULE = SequentialRule(0.05)


def past(deviation: float, runs: int = 12, **more: float) -> list[PastPairs]:
    """Comparisons with made-up pairs, of ``pairs`` each; at run ``at`` the code gets slower."""
    chance = random.Random(more.get("seed", 1))
    first, pairs = int(more.get("first", 0)), int(more.get("pairs", 10))
    found = []
    for number in range(first, first + runs):
        shift = more.get("by", 0.0) * (number >= more.get("at", 0))
        shift += chance.gauss(0, more.get("between", 0.0))
        values = [chance.gauss(shift, deviation) for _ in range(pairs)]
        found.append(
            PastPairs(f"run-{number}", f"2026-01-{number + 1:02}", "here", pairs,
                      statistics.stdev(values), statistics.fmean(values))
        )  # fmt: skip
    return found


def elsewhere(some: list[PastPairs]) -> list[PastPairs]:
    return [replace(one, run=f"{one.run}-there", environment="there") for one in some]


def learnt(some: list[PastPairs]) -> Learnt:
    found = noise.learnt(some, "here")
    assert found is not None
    return found


@pytest.mark.parametrize("deviation", [0.005, 0.019, 0.05])
@pytest.mark.parametrize("pairs", [3, 10])
def test_the_deviation_of_pairs_is_learnt(deviation: float, pairs: int) -> None:
    found = [learnt(past(deviation, pairs=pairs, seed=seed)).deviation for seed in range(40)]

    assert statistics.fmean(found) == pytest.approx(deviation, rel=0.12)


def test_it_speaks_from_the_fifth_run_on_and_of_this_machine_only() -> None:
    other = elsewhere(past(0.05))

    assert noise.learnt(past(0.01, 4), "here") is None
    assert noise.learnt([*past(0.01, 4), *other], "here") is None
    assert learnt([*past(0.01, 5), *other]) == learnt(past(0.01, 5))
    assert learnt(past(0.01, 5)).runs == 5


def test_an_accepted_regression_and_a_busy_hour_do_not_make_it_noisy() -> None:
    quiet, stepped = learnt(past(0.01)), learnt(past(0.01, at=6, by=0.30))
    disturbed = learnt([*past(0.01)[:10], *past(0.2, 2, first=10)])

    assert stepped.deviation == pytest.approx(quiet.deviation)
    assert stepped.finest(RULE) <= 1.25 * quiet.finest(RULE)
    assert disturbed.finest(RULE) <= 1.35 * quiet.finest(RULE)


def test_what_pairs_do_not_explain_counts_too() -> None:
    found = learnt(past(0.005, between=0.03, seed=3))

    assert found.between == pytest.approx(0.03, rel=0.5)
    assert found.finest(RULE) > 0.05


def test_a_machine_that_became_quieter_is_known_as_such_after_seven_runs() -> None:
    loud, quiet = past(0.04), past(0.005, first=12)
    after = [
        learnt(list(noise.joined(loud, quiet[:count]))).deviation for count in (0, 3, 7, 12)
    ]  # fmt: skip

    assert min(after[:2]) > 0.025
    assert max(after[2:]) < 0.012
    assert len(noise.joined(loud, quiet)) == noise.NEWEST
    assert len(noise.joined(elsewhere(loud), quiet)) == 2 * noise.NEWEST
    assert noise.joined(quiet, quiet) == tuple(quiet)


@pytest.mark.parametrize("deviation", [0.008, 0.015, 0.025])
def test_the_finest_threshold_is_decided_in_nine_of_ten_comparisons(deviation: float) -> None:
    def decided(threshold: float) -> float:
        rule, chance, ends = SequentialRule(threshold), random.Random(2), 0
        for _ in range(150):
            pairs: list[float] = []
            while decide(pairs, rule).verdict is None:
                pairs.append(chance.gauss(0, deviation))
            ends += decide(pairs, rule).verdict == "unchanged"
        return ends / 150

    finest = Learnt(deviation, 0.0, 12).finest(RULE)
    assert decided(finest) >= 0.85
    assert decided(finest / 2) <= 0.6


def test_a_threshold_below_the_noise_is_said_with_one_that_is_not() -> None:
    known = [replace(one, deviation=0.019, change=0.0) for one in past(0.019)]
    text = noise.said("resnet18/eager", 0.03, known, "here", RULE)

    assert text == (
        "resnet18/eager: pairs differ by 2.0 % here (12 runs), so 3.0 % cannot be decided in 10"
        " pairs; --threshold 'resnet18/eager:latency=6%' can"
    )
    assert "is often not decided" in noise.said("resnet18/eager", 0.05, known, "here", RULE)
    assert noise.said("resnet18/eager", 0.06, known, "here", RULE) == ""
    assert noise.said("resnet18/eager", 0.03, known, "there", RULE) == ""
    assert noise.said("resnet18/eager", 0.03, known[:4], "here", RULE) == ""


@pytest.mark.parametrize(
    ("known", "limit", "said"),
    [
        (past(0.01, 2), 0.05, "auto: 5.0 %, 2 runs here so far, 5 teach its noise"),
        (past(0.001), 0.02, "auto: 2.0 %, pairs differ by 0.1 % here (12 runs), never less"),
        (past(0.1), 0.10, "here (12 runs), which needs "),
    ],
)
def test_auto_follows_the_noise_between_a_floor_and_a_cap(
    known: list[PastPairs], limit: float, said: str
) -> None:
    found = noise.automatic(known, "here", RULE)

    assert found.limit == limit
    assert said in found.why
    between = noise.automatic(past(0.01), "here", RULE).limit
    assert between == noise.rounded(learnt(past(0.01)).finest(RULE))
    assert noise.FLOOR < between < noise.USUAL


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 20))
def test_auto_never_leaves_its_bounds(deviation: float, change: float, runs: int) -> None:
    known = [
        PastPairs(f"{n}", f"{n:03}", "e", 10, deviation, change * (n % 3)) for n in range(runs)
    ]
    limit = noise.automatic(known, "e", RULE).limit

    assert noise.FLOOR <= limit <= noise.CAP
    assert runs >= noise.FEWEST or limit == noise.USUAL


@given(st.floats(0, 10))
def test_rounding_never_goes_below(share: float) -> None:
    assert share - 1e-8 <= noise.rounded(share) < share + 0.005 + 1e-8


def test_two_runs_that_took_turns_teach_and_others_do_not(tmp_path: Path) -> None:
    def run(name: str, factor: float, ensemble: str) -> store.StoredRun:
        times = [[factor * one] for one in (10.0, 10.2, 9.9)]
        record = made.record(made.EAGER, times, ensemble=ensemble)
        return store.read(made.directory(tmp_path / name, [record]))

    base, head = run("base", 1.0, "e"), run("head", 1.1, "e")
    (one,) = noise.of_runs(base, head).values()
    assert (one.run, one.pairs) == ("head", 3)
    assert (one.deviation, one.change) == pytest.approx((0, math.log(1.1)), abs=1e-4)
    assert noise.of_runs(base, run("apart", 1.0, "later")) == {}
    there = replace(head, environment=replace(head.environment, hard={"cpu": "another"}))
    assert noise.of_runs(base, there) == {}


@pytest.mark.parametrize(
    ("pairs", "deviation", "change"),
    [(1, 0.1, 0.0), (3, -0.1, 0.0), (3, math.nan, 0.0), (3, 0.1, math.inf), (10**9, 0.1, 0.0)],
)
def test_what_no_pairs_can_show_is_refused(pairs: int, deviation: float, change: float) -> None:
    with pytest.raises(SchemaError, match="past pairs of x"):
        PastPairs("x", "", "", pairs, deviation, change)


def test_a_session_that_stays_slower_does_not_make_all_of_them_noisy() -> None:
    chance = random.Random(4)
    steady = [chance.gauss(0, 0.02) for _ in range(10)]
    stepped = [one + 0.3 * (number >= 5) for number, one in enumerate(steady)]
    alone, both = noise.between_sessions(steady), noise.between_sessions(stepped)

    assert noise.between_sessions([0.0, 0.1]) is None
    assert noise.between_sessions([0.0, 0.1, 0.2]) == pytest.approx(0.1)
    assert alone == pytest.approx(0.02, rel=0.6)
    assert both == pytest.approx(alone, rel=0.5)
