"""What a pull request shows of a judgement: what is wrong first, the rest folded."""

from __future__ import annotations

import math
from dataclasses import replace

from cnnbench.facts import Check
from cnnbench.gate import Judgement
from cnnbench.report import pull_request
from tests.gate.test_side_by_side import answering, by_ab_with_outputs, renamed

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
    assert "And 10 more, in the table below." in shown


def test_where_all_is_well_there_is_a_line() -> None:
    few = judgement()
    fine = replace(few, rows=few.rows[:1])

    shown = pull_request.page(fine, "ab").partition("<details>")[0]

    assert shown == "### cnnbench ab: 1 spec: 1 unchanged\n\n"
