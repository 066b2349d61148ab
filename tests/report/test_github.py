from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench.gate import Comparison, Judged, Judgement, Row
from cnnbench.gate.rule import Verdict
from cnnbench.report import github
from tests import made


def judgement(*verdicts: Verdict, reason: str = "100% slower,\nreally: yes") -> Judgement:
    rows = tuple(Judged(Row(made.EAGER), (), one, reason) for one in verdicts)
    return Judgement(Comparison("a", "b", tuple(one.row for one in rows)), rows)


def test_what_is_fine_has_no_annotation() -> None:
    assert github.annotate(judgement("unchanged", "improvement", "added")) == []


def test_an_annotation_is_escaped_as_the_runner_expects() -> None:
    (line,) = github.annotate(judgement("regression"))

    assert line == (
        "::error title=regression%3A lenet/inference-b8-3x32x32/eager/cpu-t2"
        "::100%25 slower,%0Areally: yes"
    )


def test_there_are_ten_at_most_and_the_worst_come_first() -> None:
    lines = github.annotate(judgement(*["inconclusive"] * 20, *["regression"] * 3))

    assert len(lines) == 10
    assert [line.startswith("::error") for line in lines] == [True] * 3 + [False] * 7
    assert lines[-1].endswith("and 14 more; see the table")


def test_ten_are_not_cut() -> None:
    assert all("more" not in line for line in github.annotate(judgement(*["failed"] * 10)))


@pytest.mark.parametrize(
    ("make", "limit"),
    [(github.step_summary, github.SUMMARY_BYTES), (github.comment, github.COMMENT_CHARACTERS)],
)
def test_a_page_keeps_within_its_limit_and_says_that_it_was_cut(make, limit: int) -> None:
    found = judgement("failed", reason="ü" * 100)
    long = replace(found, rows=tuple(
        replace(found.rows[0], row=Row(f"{made.EAGER}{n}", "failed")) for n in range(9000)
    ))  # fmt: skip

    text = make(long, "check")

    assert limit - 1000 < len(text.encode()) <= limit
    assert text.startswith("<!-- cnnbench check -->\n### cnnbench check: 9000 specs")
    assert "(cut to the size limit of GitHub" in text
    assert "(cut" not in make(found, "ab")
