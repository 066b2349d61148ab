from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import gate, metrics
from cnnbench.environment import Environment
from cnnbench.facts import Algorithm, Check, Structure
from cnnbench.gate import Judged, Judgement, Side, Threshold, thresholds
from cnnbench.gate.judging import limits
from cnnbench.record import Record
from cnnbench.slices import Slices
from cnnbench.spec import Spec
from tests import made

FIVE = [Threshold("latency", 0.05)]


def judged(old: Record, new: Record, thresholds: list[Threshold], **more: object) -> Judged:
    (row,) = judgement([old], [new], thresholds, **more).rows
    return row


def judgement(
    old: list[Record], new: list[Record], thresholds: list[Threshold], **more: object
) -> Judgement:
    unlike = more.pop("unlike", False)
    where = Environment(hard={"cpu": "Another"}) if unlike else made.ENVIRONMENT
    sides = (
        Side("a", made.ENVIRONMENT, {one.id: one for one in old}),
        Side("b", where, {one.id: one for one in new}),
    )
    return gate.judge(gate.compare(*sides), thresholds, **more)


def timed(milliseconds: list[float], ensemble: str = "e") -> Record:
    return made.record(made.EAGER, [[one] * 3 for one in milliseconds], ensemble=ensemble)


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ([11.0, 11.1, 10.9], "regression"),
        ([9.0, 9.1, 8.9], "improvement"),
        ([10.0, 10.05, 9.95], "unchanged"),
        ([8.0, 12.0, 10.0], "inconclusive"),
    ],
)
def test_paired_times(new: list[float], verdict: str) -> None:
    row = judged(timed([10, 10, 10]), timed(new), FIVE)

    assert row.verdict == verdict
    assert row.findings[0].decision.pairs == 3


def test_flops_are_judged_by_the_interval_of_the_time() -> None:
    wish = [Threshold("effective_flops", 0.05)]
    old = timed([10.0, 10.1, 9.9], "x")

    slower = timed([11.0, 11.1, 10.9])
    assert judged(timed([10, 10, 10]), slower, wish).verdict == "regression"
    # 10 % apart on another day is within the machine's drift.
    assert judged(old, timed([11.0, 11.1, 10.9], "y"), wish).verdict == "inconclusive"


def test_a_time_without_a_better_direction_has_changed_either_way() -> None:
    wish = [Threshold("executed_flops", 0.05)]
    found = Algorithm("direct", 3_400_000, 1000, None, None)

    def one(milliseconds: float) -> Record:
        return replace(timed([milliseconds] * 3), algorithm=found)

    assert {judged(one(10), one(new), wish).verdict for new in (8, 12)} == {"regression"}


def test_descriptions_of_a_measurement_are_judged_only_where_they_are_named() -> None:
    calm, loud = (made.record(made.EAGER, [[10, last]] * 3) for last in (10.1, 14))

    natures = {
        metrics.metric(one.metric).nature
        for one in judged(calm, loud, thresholds.defaults()).findings
        if one.change is not None
    }
    assert natures == {"time", "exact"}
    assert judged(calm, loud, [Threshold("spread", 0.05)]).verdict == "regression"


def test_times_measured_apart_allow_for_drift() -> None:
    old = timed([10.0, 10.1, 9.9], "x")

    verdicts = {
        factor: judged(old, timed([one * factor for one in (10.0, 10.1, 9.9)], "y"), FIVE).verdict
        for factor in (0.5, 0.9, 1.0, 1.15, 2.0)
    }

    assert verdicts == {
        0.5: "improvement", 0.9: "inconclusive", 1.0: "inconclusive", 1.15: "inconclusive",
        2.0: "regression",
    }  # fmt: skip


def test_an_inconclusive_stored_record_says_why_and_what_can_be_told() -> None:
    row = judged(timed([10.0, 10.1], "x"), timed([10.0, 10.1], "y"), FIVE)

    assert row.reason == "measured at different times; use 'cnnbench ab' to measure side by side"
    assert row.findings[0].decision.resolvable > 0.2


def test_a_generous_threshold_can_be_held_by_a_stored_record() -> None:
    old, new = (timed([10.0, 10.1, 9.9, 10.0], name) for name in "xy")

    assert judged(old, new, [Threshold("latency", 1.0)]).verdict == "unchanged"


def test_one_round_is_inconclusive() -> None:
    assert "one round" in judged(timed([10], "x"), timed([99], "y"), FIVE).reason


def test_one_round_of_both_side_by_side_is_told_without_a_budget_that_nobody_gave() -> None:
    row = judged(timed([10], "x"), timed([99], "x"), FIVE)

    assert row.verdict == "inconclusive"
    assert row.reason == "one round has no interval; measure more rounds"


def test_a_disturbed_measurement_is_never_a_verdict() -> None:
    old = timed([10.0, 10.1, 9.9], "x")
    new = timed([30.0, 30.1, 29.9], "y")
    runs = tuple(
        replace(run, slices=Slices.of(replace(one, run_delay_ns=10**9) for one in run.slices))
        for run in new.runs
    )

    row = judged(old, replace(new, runs=runs), FIVE)

    assert (row.verdict, row.reason.split()[0]) == ("inconclusive", "disturbed")


@pytest.mark.parametrize(
    ("factor", "limit", "verdict"),
    [
        (1.03, 0.02, "regression"),
        (1.019, 0.02, "unchanged"),
        (0.5, 0.02, "improvement"),
        (1.0, 0.0, "unchanged"),
    ],
)
def test_bytes_are_compared_as_they_are(factor: float, limit: float, verdict: str) -> None:
    old = timed([10])
    new = replace(old, memory=replace(old.memory, cpu_peak_bytes=round((3 << 20) * factor)))

    assert judged(old, new, [Threshold("peak_memory", limit)]).verdict == verdict


@pytest.mark.parametrize("params", [made.COST.params - 1, made.COST.params + 1])
def test_a_count_without_a_better_side_may_not_change_either_way(params: int) -> None:
    old = timed([10])
    new = replace(old, cost=replace(made.COST, params=params))

    assert judged(old, new, [Threshold("params", 0)]).verdict == "regression"
    assert judged(old, new, [Threshold("params", 0.1)]).verdict == "unchanged"


def test_fewer_macs_are_an_improvement() -> None:
    old = timed([10])
    new = replace(old, cost=replace(made.COST, macs=1))

    assert judged(old, new, [Threshold("macs", 0)]).verdict == "improvement"
    assert judged(new, old, [Threshold("macs", 0)]).verdict == "regression"


def test_an_error_out_of_nothing_is_a_regression() -> None:
    old = timed([10])
    new = made.record(made.EAGER, [[10]], check=Check("loose", error=0.01))

    row = judged(old, new, [Threshold("error", 0.5)])

    assert (row.verdict, row.reason) == ("regression", "it was zero before")


def test_what_was_not_measured_is_inconclusive() -> None:
    old = timed([10])

    now = judged(old, replace(old, memory=None), [Threshold("peak_memory", 0)])
    before = judged(replace(old, memory=None), old, [Threshold("peak_memory", 0)])

    assert (now.verdict, now.reason) == ("inconclusive", "not measured now")
    assert before.reason == "not measured before"


def with_kernels(**kernels: int) -> Record:
    return replace(timed([10]), structure=Structure(kernels=kernels, outputs=("float32[1,10]",)))


def test_a_facet_gates_where_a_threshold_says_so() -> None:
    old, new = with_kernels(a=20), with_kernels(b=20)

    assert judged(old, new, [Threshold("kernels", 0)]).verdict == "regression"
    assert judged(old, new, [Threshold("kernels", 1)]).verdict == "unchanged"
    assert judged(old, new, [Threshold("outputs", 0)]).verdict == "unchanged"
    row = judged(old, new, [Threshold("structure", 0)])
    assert row.verdict == "regression"
    assert row.reason == "structure changed: kernels: a 20 -> b 20"


def test_a_facet_that_was_asked_for_and_not_measured_is_inconclusive() -> None:
    bare = timed([10])
    default = Threshold("kernels", 0, asked=False)

    assert judged(bare, bare, [Threshold("kernels", 0)]).reason == "not measured on both sides"
    assert judged(bare, bare, [Threshold("params", 0), default]).verdict == "unchanged"
    assert judged(bare, bare, [Threshold("structure", 0)]).verdict == "unchanged"


def test_an_output_that_became_wrong_fails() -> None:
    new = made.record(made.EAGER, [[1]] * 3, check=Check("wrong", reason="relative error 0.5"))

    row = judged(timed([10, 10, 10]), new, [*FIVE, Threshold("output", 0)])

    assert row.verdict == "regression"
    assert "ok -> wrong" in row.reason


def test_times_of_unlike_environments_are_advisory() -> None:
    old, new = timed([10.0, 10.1, 9.9], "x"), timed([30.0, 30.1, 29.9], "y")

    row = judged(old, new, FIVE, unlike=True)

    assert (row.verdict, row.reason) == ("incomparable", "measured in different environments")
    assert judged(old, new, FIVE, unlike=True, force=True).verdict == "regression"


def test_structure_is_judged_wherever_it_was_measured_but_kernels_are_the_machines() -> None:
    old, new = with_kernels(a=20), with_kernels(b=20)
    wider = replace(new, structure=replace(new.structure, outputs=("float32[1,11]",)))

    assert judged(old, new, [Threshold("kernels", 0)], unlike=True).verdict == "incomparable"
    assert judged(old, wider, [Threshold("outputs", 0)], unlike=True).verdict == "regression"


def test_bytes_of_unlike_environments_are_advisory_and_counts_are_not() -> None:
    old = timed([10])
    more = replace(old, memory=replace(old.memory, cpu_peak_bytes=9 << 20))
    other = replace(old, cost=replace(made.COST, params=1))

    assert judged(old, more, [Threshold("peak_memory", 0)], unlike=True).verdict == "incomparable"
    assert judged(old, old, [Threshold("peak_memory", 0)], unlike=True).verdict == "unchanged"
    assert judged(old, other, [Threshold("params", 0)], unlike=True).verdict == "regression"


def test_pairs_are_judged_whatever_the_baselines_machine_was() -> None:
    row = judged(timed([10, 10, 10]), timed([11.0, 11.1, 10.9]), FIVE, unlike=True)

    assert row.verdict == "regression"


def test_without_timing_only_counts_bytes_and_facets_are_judged() -> None:
    old = timed([10.0, 10.1, 9.9], "x")
    new = timed([30.0, 30.1, 29.9], "y")
    memory, default = Threshold("peak_memory", 0), Threshold("peak_memory", 0, asked=False)

    def metrics_of(head: Record, *more: Threshold) -> list[str]:
        row = judged(old, head, [*FIVE, *more, Threshold("params", 0)], timing=False)
        return [f"{one.metric} {one.verdict}" for one in row.findings]

    assert metrics_of(new, memory) == ["peak_memory unchanged", "params unchanged"]
    assert metrics_of(replace(new, memory=None), default) == ["params unchanged"]
    assert metrics_of(replace(new, memory=None), memory)[0] == "peak_memory inconclusive"


def test_rows_on_one_side_keep_their_state(eager, same, failed) -> None:
    found = judgement(
        [eager, same, made.record(made.BF16, [[1]])], [eager, failed], [Threshold("params", 0)]
    )

    assert [row.verdict for row in found.rows] == ["unchanged", "missing", "failed"]
    assert found.count("failed") == 1


def test_a_row_that_nothing_judges_is_not_called_unchanged() -> None:
    assert judged(timed([10]), timed([10]), []).verdict == "inconclusive"


def test_the_last_threshold_that_covers_counts() -> None:
    spec = Spec.parse(made.CHANNELS_LAST)
    rules = [
        Threshold("latency", 0.05),
        Threshold("latency", 0.03, model="len*"),
        Threshold("latency", 0.08, model="len*", mode="compile*"),
        Threshold("latency", 0.01, model="resnet*"),
        Threshold("params", 0.0),
        Threshold("params", None, mode="channels_last"),
    ]

    assert {name: one.limit for name, one in limits(spec, rules).items()} == {"latency": 0.03}


def test_among_very_many_tests_a_weak_regression_does_not_stand() -> None:
    # One of 60 passes its own look by a hair; 59 are calm.
    def specs(times: list[float]) -> list[Record]:
        names = [f"lenet/inference-b{n}-3x32x32/eager/cpu-t2" for n in range(1, 61)]
        return [
            made.record(name, [[one] for one in (times if n == 0 else [10.0, 10.01, 9.99])])
            for n, name in enumerate(names)
        ]

    hair = [11.15, 11.0, 10.85]
    old, new = specs([10.0, 10.0, 10.0]), specs(hair)

    many = judgement(old, new, FIVE)
    few = judgement(old[:10], new[:10], FIVE)

    assert few.rows[0].verdict == "regression"
    assert (many.rows[0].verdict, many.count("regression")) == ("inconclusive", 0)
    assert "one of 60 comparisons" in many.rows[0].reason
