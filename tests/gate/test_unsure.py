"""Why there is no answer, and what is most likely to help."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.gate import family, unsure
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.gate.rule import Decision, SequentialRule, decide
from cnnbench.spec import Spec
from tests import made

RULE = SequentialRule(0.05)
ONE = replace(Spec.parse(made.EAGER), threads=1)
TWO = replace(ONE, threads=2)
CONTRARY = (0.1, -0.08, 0.06, -0.09, 0.11)
CLOSE = (0.024, 0.026, 0.025, 0.0245)
NOISY = (0.03, -0.03, 0.04, -0.02, 0.03, -0.04, 0.02, 0.03, -0.03, 0.02)


def outcome(pairs: tuple[float, ...], spec: Spec = ONE, **more: object) -> PairedOutcome:
    found = decide(pairs, RULE, spent=True)
    given_ = {"seconds": 5.0 * len(pairs), "off_cpu": 0.0} | more
    return PairedOutcome(PairedComparison(spec, spec, RULE), found, pairs, **given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "cause", "said", "first"),
    [
        (outcome(NOISY, TWO, waiting=0.4), "waiting",
         "its 2 threads waited for cores for 40.0 % of the time", {"--threads": "1"}),
        (outcome(CLOSE, spent=True), "budget", "the budget was used up after 4 pairs",
         {"--budget": "70s"}),
        # As many such pairs as the rule has would not tell either.
        (outcome(NOISY[:4], spent=True), "budget", "the budget was used up after 4 pairs",
         {"--pairs": "3..17", "--budget": "120s"}),
        (outcome(CONTRARY[:4], spent=True), "budget", "the budget was used up after 4 pairs",
         {"--wait": "10m"}),
        (outcome((0.0,), spent=True), "too few pairs", "too few pairs within the budget",
         {"--budget": "70s"}),
        (outcome(NOISY), "noise", "pairs differ by 3.1 %",
         {"--pairs": "3..15", "--budget": "100s"}),
        (outcome(CONTRARY), "noise", "pairs differ by 9.8 %", {"--threshold": "20%"}),
        (outcome(CONTRARY, off_cpu=0.3), "noise",
         "beside others that use its core, for 30.0 % of the time", {"--wait": "10m"}),
        (outcome(NOISY, disagreeing=6), "disagreement",
         "the turns of 6 of 10 pairs do not agree with each other", {"--pairs": "3..15"}),
    ],
)  # fmt: skip
def test_why_and_what_helps(
    found: PairedOutcome, cause: str, said: str, first: dict[str, str]
) -> None:
    why = unsure.of(found)

    assert why is not None
    assert why.cause == cause
    assert said in why.reason
    assert first.items() <= why.helps[0].items()


def test_two_looks_that_contradict_each_other_need_more_pairs_before_the_first() -> None:
    reason = "+10.0 % in a first look, not confirmed by a second"
    found = outcome((0.1, 0.1, 0.1), confirmation=(0.0, 0.01, -0.01))
    decided = decide(found.confirmation, RULE)
    why = unsure.of(
        replace(found, decision=replace(decided, verdict="inconclusive", reason=reason))
    )

    assert why is not None
    assert (why.cause, why.reason) == ("disagreement", reason)
    assert why.helps[0]["--pairs"] == "6..15"


def test_a_regression_that_is_one_of_too_many_needs_more_pairs() -> None:
    found = outcome((0.1, 0.11, 0.1), confirmation=(0.1, 0.12, 0.09))
    doubted = decide(found.confirmation, RULE)
    why = unsure.of(replace(found, decision=replace(
        doubted, verdict="inconclusive", reason=family.reason(60))))  # fmt: skip

    assert why is not None
    assert why.cause == "too few pairs"
    assert why.reason == "not significant as one of 60 comparisons; measure more pairs"
    assert "--pairs" in why.helps[0]


def test_a_process_that_waits_for_something_else_needs_a_quiet_machine() -> None:
    reason = "wall clock and CPU time disagree: the process waits, or another process interferes"
    found = replace(outcome(NOISY), decision=Decision("inconclusive", 0.1, reason=reason))
    why = unsure.of(found)

    assert why is not None
    assert (why.cause, why.helps[0]) == ("waiting", {"--wait": "10m"})


def test_an_answer_needs_no_reason() -> None:
    assert unsure.of(outcome((0.0, 0.001, -0.001))) is None
    failed = replace(outcome(()), decision=Decision("failed"))
    assert unsure.of(failed) is None


@given(
    st.lists(st.floats(-0.5, 0.5), max_size=10).map(tuple), st.floats(0, 1), st.integers(0, 10),
    st.booleans(), st.sampled_from([ONE, TWO]),
)  # fmt: skip
def test_every_inconclusive_verdict_has_a_cause_a_reason_and_a_remedy(
    pairs: tuple[float, ...], off_cpu: float, disagreeing: int, spent: bool, spec: Spec
) -> None:
    found = outcome(
        pairs, spec, off_cpu=off_cpu, waiting=off_cpu, disagreeing=disagreeing, spent=spent
    )
    why = unsure.of(found)

    assert (why is not None) == (found.verdict == "inconclusive")
    if why is not None:
        assert why.cause in unsure.CAUSES
        assert why.reason
        assert why.helps
        # ``check`` has these two, so one of them is always offered that it can take.
        assert any(one.keys() <= {"--wait", "--budget", "--threshold"} for one in why.helps)


def test_a_threshold_that_is_advised_would_have_been_decided() -> None:
    found = outcome(CONTRARY)
    why = unsure.of(found)
    assert why is not None
    (percent,) = [one["--threshold"] for one in why.helps if "--threshold" in one]
    larger = replace(RULE, threshold=float(percent.rstrip("%")) / 100)

    # As many pairs as the rule allows, with this noise and no change.
    centred = [one - sum(CONTRARY) / len(CONTRARY) for one in CONTRARY] * 2
    assert decide(centred, larger, spent=True).verdict == "unchanged"
    assert math.isclose(larger.threshold, math.ceil(100 * (found.decision.resolvable or 0)) / 100)
