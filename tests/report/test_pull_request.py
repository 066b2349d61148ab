"""What a pull request shows of a judgement: what is wrong first, the rest folded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cnnbench import gate
from cnnbench.facts import Check
from cnnbench.gate import Acceptance, Judgement, Side, thresholds
from cnnbench.record import Record
from cnnbench.report import pull_request
from cnnbench.report.reasons import details
from tests import made
from tests.gate.test_side_by_side import answering, by_ab_with_outputs, renamed
from tests.report.test_times import EAGER, waiting

SLOWER = (math.log(1.1), math.log(1.11), math.log(1.105))
SAME = (0.0, 0.001, -0.001)


def judgement(remedy: Acceptance | None = None) -> Judgement:
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
    # A path may hold the words that join command and explanation.
    command = "cnnbench baseline update 'a, where b.json' RUN --replace"
    remedy = Acceptance(command, "RUN is a new run")

    shown = pull_request.page(judgement(remedy), "check").partition("<details>")[0]

    block = f"```sh\n{command}\n```"
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


@pytest.mark.parametrize("limit", [1500, 2500, 3500])
def test_what_is_cut_says_so_before_the_fold_and_the_fold_is_closed(limit: int) -> None:
    few = judgement(Acceptance("cnnbench baseline update b.json RUN --replace"))
    many = replace(few, rows=few.rows[:1] * 90 + few.rows[1:])

    text = pull_request.page(many, "check", limit)

    assert len(text.encode()) <= limit < len(pull_request.page(many, "check").encode())
    shown, _, folded = text.partition("<details>")
    assert "(cut to the size limit of GitHub" in shown
    assert "```sh\ncnnbench baseline update b.json RUN --replace\n```" in shown
    assert text.count("<details>") == text.count("</details>")
    assert "(cut" not in folded


def test_a_fold_that_is_cut_keeps_whole_rows() -> None:
    few = judgement()
    many = replace(few, rows=few.rows[:1] * 90)

    folded = pull_request.page(many, "check", 4000).partition("<details>")[2]

    rows = [line for line in folded.splitlines() if line.startswith("|")]
    assert 2 < len(rows) < 90
    assert all(line.endswith("|") for line in rows)
    assert folded.endswith("\n</details>\n")
