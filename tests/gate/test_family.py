"""How often a whole judgement may be wrong, decided once for every command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.gate import family
from cnnbench.gate.family import holm
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome, together
from cnnbench.gate.rule import Decision, SequentialRule
from cnnbench.record import Failure
from tests.runner.conftest import specs

FIVE = SequentialRule(0.05)
CLEAR, DOUBTFUL, CALM = (0.1, 0.101, 0.102), (0.03, 0.06, 0.08), (0.0, 0.001, -0.001)


def test_holm_steps_down() -> None:
    # Holm's own procedure: 0.01 <= 0.05/4, 0.013 <= 0.05/3, 0.03 > 0.05/2 ends it.
    values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.013}

    assert holm(values, 0.05) == {"a", "d"}
    assert holm({}, 0.05) == frozenset()


@given(st.dictionaries(st.text(), st.floats(0, 1), max_size=20))
def test_holm_lies_between_bonferroni_and_no_correction(values: dict[str, float]) -> None:
    kept = holm(values, 0.05)

    assert {n for n, p in values.items() if p <= 0.05 / max(1, len(values))} <= kept
    assert kept <= {n for n, p in values.items() if p <= 0.05}


def family_of(count: int) -> dict[str, tuple[tuple[float, ...], SequentialRule]]:
    calm = {f"n{index}": (CALM, FIVE) for index in range(count - 2)}
    return {"clear": (CLEAR * 2, FIVE), "doubtful": (DOUBTFUL, FIVE), **calm}


@pytest.mark.parametrize(("count", "stands"), [(family.MANY, True), (family.MANY + 1, False)])
def test_above_fifty_a_regression_must_stand_beside_the_others(count: int, stands: bool) -> None:
    doubtful = family.unproven(family_of(count))

    assert ("doubtful" not in doubtful) == stands
    assert "clear" not in doubtful


def test_a_single_pair_is_no_test() -> None:
    single = {f"s{index}": ((0.2,), FIVE) for index in range(60)}

    assert family.unproven(family_of(50) | single) == frozenset()


def outcome(model: str, verdict: str, pairs: tuple[float, ...], **more: object) -> PairedOutcome:
    (spec,) = specs("eager", models=(model,))
    comparison = PairedComparison(spec, spec, FIVE)
    return PairedOutcome(comparison, Decision(verdict), pairs, **more)  # type: ignore[arg-type]


def test_among_many_outcomes_only_what_is_clear_stands() -> None:
    clear = outcome("clear", "regression", CLEAR, confirmation=CLEAR)
    doubtful = outcome("doubtful", "regression", DOUBTFUL, confirmation=DOUBTFUL)
    rest = [outcome(f"n{i}", "unchanged", CALM, confirmation=CALM) for i in range(58)]
    broken = outcome("broken", "failed", CALM, failure=Failure("build", "died", "killed"))

    found = together([clear, doubtful, *rest, broken])

    verdicts = {one.comparison.base.workload.architecture: one.verdict for one in found}
    assert verdicts["clear"] == "regression"
    assert verdicts["doubtful"] == "inconclusive"
    assert verdicts["n0"] == "unchanged"
    assert verdicts["broken"] == "failed"
    assert "one of 60 comparisons" in found[1].decision.reason
