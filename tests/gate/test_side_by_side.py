"""What was measured side by side just now, judged beside stored records and alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import gate
from cnnbench.environment import Environment
from cnnbench.errors import CnnbenchError
from cnnbench.facts import Check
from cnnbench.gate import Comparison, Judgement, Side, side_by_side, thresholds
from cnnbench.gate.outcomes import OneThread, PairedComparison, PairedOutcome, together
from cnnbench.gate.rule import Decision, SequentialRule, decide
from cnnbench.record import Failure, Record
from cnnbench.report import reasons
from cnnbench.spec import Mode, Spec
from tests import made

RULE = SequentialRule(0.05)
SPEC = Spec.parse(made.EAGER)
CALM = (math.log(1.001), math.log(1.0), math.log(0.999))
SLOWER = tuple(math.log(1 + change) for change in (0.1, 0.101, 0.099))


def outcome(
    pairs: tuple[float, ...], decision: Decision | None = None, **more: object
) -> PairedOutcome:
    found = decision or decide(pairs, RULE, spent=True)
    runs = {
        role: tuple(made.run(number, [10.0, 10.0]) for number, _ in enumerate(pairs))
        for role in ("base", "head")
    }
    comparison = PairedComparison(SPEC, SPEC, RULE)
    return PairedOutcome(comparison, found, pairs, **({"runs": runs} | more))  # type: ignore[arg-type]


BROKEN = outcome(
    (), Decision("failed", reason="head: build: killed"),
    failure=Failure("build", "died", "killed"), failed="head",
)  # fmt: skip


def stored(new: Record | None = None) -> Comparison:
    """A baseline against a head of another hour, or one whose time was not measured."""
    old = made.record(made.EAGER, [[10]] * 3, ensemble="x")
    head = new or made.record(made.EAGER, [])
    return gate.compare(
        *(Side(n, made.ENVIRONMENT, {made.EAGER: one}) for n, one in (("a", old), ("b", head)))
    )


def by_check(*outcomes: PairedOutcome) -> Judgement:
    return gate.judge(side_by_side.with_outcomes(stored(), outcomes), thresholds.defaults())


def by_ab(*outcomes: PairedOutcome, head: Environment = made.ENVIRONMENT) -> Judgement:
    found = side_by_side.comparison(("a", "b"), (made.ENVIRONMENT, head), outcomes)
    return gate.judge(found, [gate.Threshold("latency", RULE.threshold)])


def latency(judgement: Judgement) -> object:
    """Everything that is said of the time of the one row."""
    (row,) = judgement.rows
    (finding,) = (one for one in row.findings if one.metric == "latency")
    assert finding.change is not None
    return row.verdict, finding.verdict, finding.reason, finding.decision, finding.change.ratio


def exit_code(judgement: Judgement) -> int:
    try:
        gate.conclude(judgement, strict=True)
    except CnnbenchError as error:
        return error.exit_code
    return 0


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=10).map(tuple))
def test_the_same_pairs_get_the_same_answer_from_ab_and_from_check(
    pairs: tuple[float, ...],
) -> None:
    found = outcome(pairs)

    assert latency(by_ab(found)) == latency(by_check(found))
    assert exit_code(by_ab(found)) == exit_code(by_check(found))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (outcome(SLOWER), 1),
        (BROKEN, 3),
        (outcome(SLOWER, Decision("inconclusive", 0.1, 0.09, 0.11, 3, reason="not confirmed")), 4),
        (outcome(CALM), 0),
    ],
)
def test_and_the_same_exit_code(found: PairedOutcome, code: int) -> None:
    assert latency(by_ab(found)) == latency(by_check(found))
    assert exit_code(by_ab(found)) == exit_code(by_check(found)) == code


def test_the_interval_that_is_shown_is_the_one_that_decided() -> None:
    found = outcome((0.03, 0.05, 0.04), confirmation=SLOWER)
    found = PairedOutcome(found.comparison, decide(SLOWER, RULE), found.pairs, SLOWER)

    _, _, _, decision, ratio = latency(by_ab(found))  # type: ignore[misc]

    ends = (decision.estimate, decision.low, decision.high)
    assert (ratio.point - 1, ratio.low - 1, ratio.high - 1) == pytest.approx(ends)


def test_pairs_that_were_measured_now_replace_what_the_record_says() -> None:
    before = stored(made.record(made.EAGER, [[30]] * 3, ensemble="y"))

    after = side_by_side.with_outcomes(before, [outcome(CALM)])

    assert gate.judge(before, thresholds.defaults()).rows[0].verdict == "regression"
    assert gate.judge(after, thresholds.defaults()).rows[0].verdict == "unchanged"
    assert after.rows[0].change("params") == before.rows[0].change("params")
    assert side_by_side.with_outcomes(before, []) == before


def test_a_session_knows_more_than_its_pairs() -> None:
    decision = Decision("inconclusive", 0.1, 0.09, 0.11, 3, reason="not confirmed")

    (row,) = by_check(outcome(SLOWER, decision)).rows

    assert (row.verdict, row.reason) == ("inconclusive", "not confirmed")


@pytest.mark.parametrize(
    ("head", "verdict", "reason"),
    [
        (None, "inconclusive", "the old revision could not be measured beside it: base: build: x"),
        ([[30]] * 3, "regression", ""),
    ],
)
def test_a_base_that_no_longer_runs_leaves_the_answer_to_the_record(head, verdict, reason) -> None:
    broken = replace(BROKEN, decision=Decision("failed", reason="base: build: x"), failed="base")
    new = made.record(made.EAGER, head or [], ensemble="y")

    found = gate.judge(side_by_side.with_outcomes(stored(new), [broken]), thresholds.defaults())

    assert latency(found)[:3] == (verdict, verdict, reason)  # type: ignore[index]


@pytest.mark.parametrize("count", [30, 60])
def test_a_threshold_on_throughput_takes_nothing_from_latency(count: int) -> None:
    barely = (0.03, 0.05, 0.07)
    pairs = [barely, *[CALM] * (count - 1)]
    outcomes = [renamed(outcome(one, confirmation=one), f"n{i}") for i, one in enumerate(pairs)]
    outcomes = [replace(outcomes[0], decision=Decision("regression")), *outcomes[1:]]
    session = together(outcomes)[0].verdict
    latency = gate.Threshold("latency", 0.05)
    found = side_by_side.comparison(("a", "b"), (made.ENVIRONMENT,) * 2, together(outcomes))

    alone = gate.judge(found, [latency]).rows[0].findings
    both = gate.judge(found, [latency, gate.Threshold("throughput", 0.05)]).rows[0].findings

    assert alone[0] in both
    assert alone[0].verdict == session == ("regression" if count == 30 else "inconclusive")


def renamed(found: PairedOutcome, model: str) -> PairedOutcome:
    spec = Spec.parse(made.EAGER.replace("lenet", model))
    return replace(found, comparison=PairedComparison(spec, spec, RULE))


def test_a_structure_that_regressed_says_more_than_a_time_that_failed() -> None:
    larger = made.record(made.EAGER, [], cost=replace(made.COST, params=made.COST.params + 1))

    found = side_by_side.with_outcomes(stored(larger), [BROKEN])

    (row,) = gate.judge(found, thresholds.defaults()).rows
    assert row.verdict == "regression"
    assert {one.metric: one.verdict for one in row.findings}["latency"] == "failed"


def test_other_environments_are_named_but_do_not_hinder_what_was_measured_side_by_side() -> None:
    elsewhere = Environment(hard=dict(made.ENVIRONMENT.hard) | {"torch": {"version": "3.0"}})

    found = by_ab(outcome(SLOWER), head=elsewhere)

    assert found.comparison.unlike == ("torch.version: 2.0 -> 3.0",)
    assert found.rows[0].verdict == "regression"


def test_two_specs_are_one_row_with_both_names() -> None:
    other = Spec.parse(made.EAGER.replace("lenet", "alexnet"))
    found = PairedOutcome(PairedComparison(SPEC, other, RULE), decide(CALM, RULE), CALM)

    (row,) = by_ab(found).rows

    assert row.row.name == f"{SPEC.id} -> {other.id}"
    assert row.findings[0].spec == row.row.name


FASTER = tuple(-one for one in SLOWER)


def answering(base: Check, head: Check, pairs: tuple[float, ...] = FASTER) -> PairedOutcome:
    """eager against channels_last, whose processes found these outputs."""
    comparison = PairedComparison(
        SPEC, replace(SPEC, mode=Mode.parse("channels_last", "cpu")), RULE
    )
    runs = {
        role: (made.run(0, [10.0, 10.0], check=check), made.run(1, [10.0, 10.0]))
        for role, check in (("base", base), ("head", head))
    }
    return replace(outcome(pairs, runs=runs), comparison=comparison)


def by_ab_with_outputs(*outcomes: PairedOutcome) -> Judgement:
    found = side_by_side.comparison(("a", "b"), (made.ENVIRONMENT, made.ENVIRONMENT), outcomes)
    limits = [gate.Threshold("latency", RULE.threshold), gate.Threshold("output", 0, asked=False)]
    return gate.judge(found, limits)


def test_a_fast_wrong_answer_is_no_improvement() -> None:
    fast = by_ab_with_outputs(answering(Check("ok"), Check("ok")))
    wrong = by_ab_with_outputs(answering(Check("ok"), Check("wrong", 0.4, reason="off by 0.4")))

    assert [row.verdict for row in fast.rows] == ["improvement"]
    (row,) = wrong.rows
    assert row.verdict == "regression"
    assert row.reason == "structure changed: output: ok -> wrong (off by 0.4)"
    assert exit_code(wrong) == 1


def test_a_fast_wrong_answer_is_not_in_the_mean() -> None:
    slow = renamed(answering(Check("ok"), Check("ok"), (math.log(2),) * 3), "resnet18")
    fast = answering(Check("ok"), Check("wrong", 0.4, reason="off by 0.4"))

    both = by_ab_with_outputs(slow, fast)

    assert both.comparison.geometric_mean("latency").point == pytest.approx(2)
    (line,) = [one for one in reasons.captions(both) if "geometric mean" in one]
    assert "without 1 row whose output changed: +100 %" in line


@pytest.mark.parametrize(
    ("base", "head"),
    [
        (Check("ok"), Check("loose", 0.1, reason="somewhat off")),
        (Check("ok"), Check("unchecked", reason="nothing was compared")),
        (Check("wrong", 0.3, reason="way off"), Check("wrong", 0.4, reason="way off")),
    ],
)
def test_other_doubts_about_outputs_are_said_and_fail_nothing(base: Check, head: Check) -> None:
    judgement = by_ab_with_outputs(answering(base, head))

    assert [row.verdict for row in judgement.rows] == ["improvement"]
    said = [line for line in judgement.comparison.remarks if line.startswith("output of head")]
    assert said == [f"output of head, {made.EAGER.replace('eager', 'channels_last')}: {head.status}"
                    f" ({head.reason})"]  # fmt: skip


def test_a_head_that_turned_wrong_beside_the_stored_revision_is_a_regression() -> None:
    turned = replace(outcome(CALM), runs={
        "base": (made.run(0, [10.0]),),
        "head": (made.run(0, [10.0], check=Check("wrong", 0.4, reason="off")),),
    })  # fmt: skip

    (row,) = by_check(turned).rows

    assert row.verdict == "regression"
    assert "output: ok -> wrong (off)" in row.reason


NARROW = OneThread(
    PairedComparison(replace(SPEC, threads=1), replace(SPEC, threads=1), RULE), 0.4, 1
)


def test_a_benchmark_of_two_threads_keeps_its_row_where_one_was_measured() -> None:
    asked = replace(SPEC, threads=2)
    found = replace(
        outcome(SLOWER), comparison=PairedComparison(asked, asked, RULE), one_thread=NARROW
    )
    old = made.record(asked.id, [[10]] * 3, ensemble="x")
    head = made.record(asked.id, [])
    kept = gate.compare(
        *(Side(n, made.ENVIRONMENT, {asked.id: one}) for n, one in (("a", old), ("b", head)))
    )

    judgement = gate.judge(side_by_side.with_outcomes(kept, [found]), thresholds.defaults())

    (row,) = judgement.rows
    assert (row.row.name, row.verdict) == (asked.id, "regression")
    assert any(
        "its 2 threads waited for cores for 40.0 % of the time, so one thread was measured on one"
        " core; the answer is for one thread" in line
        for line in reasons.notes(judgement)
    )


def test_pairs_that_were_measured_again_are_said() -> None:
    told = reasons.notes(by_ab(outcome(CALM, repeated=2)))

    assert any("2 pairs measured again, because turns did not agree" in line for line in told)
