"""What a pull request shows of a judgement: what is wrong first, the rest folded."""

from __future__ import annotations

import math
from dataclasses import replace

from cnnbench import gate
from cnnbench.facts import Check
from cnnbench.gate import Judgement, Side, thresholds
from cnnbench.record import Record
from cnnbench.report import pull_request
from cnnbench.report.reasons import details
from tests import made
from tests.gate.test_side_by_side import answering, by_ab_with_outputs, renamed
from tests.report.test_times import EAGER, waiting

SLOWER = (math.log(1.1), math.log(1.11), math.log(1.105))
SAME = (0.0, 0.001, -0.001)


def judgement(remedy: str = "") -> Judgement:
    good, wrong = Check("ok"), Check("wrong", 0.4, reason="off by 0.4")
    found = by_ab_with_outputs(
        renamed(answering(good, good, SAME), "alexnet"),
        renamed(answering(good, good, SLOWER), "resnet18"),
        answering(good, wrong),
    )
    return replace(found, comparison=replace(found.comparison, remedy=remedy))


def test_what_is_wrong_has_a_table_of_its_own_and_the_rest_is_folded() -> None:
    shown, folded = pull_request.page(judgement(), "check").split("<details>")

    assert shown.startswith("### cnnbench check: 3 specs: 2 regressions, 1 unchanged\n")
    assert "**regression: resnet18/" in shown
    assert "| metric | verdict | before | after | change | limit |" in shown
    assert "| latency | regression | 10.0 ms | 10.0 ms | +10.5 % [" in shown
    assert "- structure changed: output: ok -&gt; wrong (off by 0.4) (regression)" in shown
    assert "alexnet" not in shown
    assert "alexnet" in folded
    assert "If this was meant" not in shown + folded


def test_two_times_are_shown_in_their_order() -> None:
    judged = apart(made.record(EAGER, [[10]] * 3), made.record(EAGER, [[20]] * 3))

    assert "| latency | regression | 10.0 ms | 20.0 ms | +100 % [" in pull_request.page(
        judged, "ab"
    )


def test_beside_a_ratio_of_awake_latencies_stand_the_awake_latencies() -> None:
    judged = apart(waiting(EAGER, 0.0), waiting(EAGER, 0.5, milliseconds=15))

    shown = pull_request.page(judged, "check").partition("<details>")[0]

    assert "| latency | regression | 10.0 ms\\* | 15.0 ms\\* | +50.0 % [" in shown
    (said,) = (line for line in details(judged.rows[0]) if line.startswith("latency:"))
    assert "10.0 ms* -> 15.0 ms*, +50.0 % [" in said


def apart(old: Record, new: Record) -> Judgement:
    """The judgement on two records of different sittings."""
    runs = tuple(replace(run, ensemble=f"y{run.round}") for run in new.runs)
    before = Side("a", made.ENVIRONMENT, {old.id: old})
    after = Side("b", made.ENVIRONMENT, {new.id: replace(new, runs=runs)})
    return gate.judge(gate.compare(before, after), thresholds.defaults())


def test_what_to_do_if_it_was_meant_can_be_copied() -> None:
    remedy = "cnnbench baseline update 'a b.json' RUN --replace, where RUN is a new run"

    shown = pull_request.page(judgement(remedy), "check").partition("<details>")[0]

    block = "```sh\ncnnbench baseline update 'a b.json' RUN --replace\n```"
    assert f"If this was meant:\n\n{block}\n\n(where RUN is a new run)" in shown


def test_of_very_many_the_worst_are_shown_and_the_others_counted() -> None:
    few = judgement()
    many = replace(few, rows=few.rows * 15)

    shown = pull_request.page(many, "ab").partition("<details>")[0]

    assert shown.count("**regression: ") == 20
    assert "And 10 specs more, in the table below." in shown


def test_where_all_is_well_there_is_a_line() -> None:
    few = judgement()
    fine = replace(few, rows=few.rows[:1])

    shown = pull_request.page(fine, "ab").partition("<details>")[0]

    assert shown == "### cnnbench ab: 1 spec: 1 unchanged\n\n"
