from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from cnnbench.gate import Comparison, Judged, Judgement, MetricVerdict, Row
from cnnbench.gate.rule import VERDICTS, Verdict
from cnnbench.report import junit
from tests import made

NASTY = "a <b> & \"c\" \x00\x1b[31m 'd' ]]>"


def judgement(*verdicts: Verdict, reason: str = "why") -> Judgement:
    rows = tuple(
        Judged(
            Row(made.EAGER),
            (MetricVerdict(made.EAGER, "latency", one, 0.05, reason=reason),),
            one,
            reason,
        )
        for one in verdicts
    )
    return Judgement(Comparison("a", "b", tuple(one.row for one in rows)), rows)


def parse(text: str) -> ET.Element:
    return ET.fromstring(text)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_a_case(verdict: Verdict) -> None:
    (case,) = parse(junit.render(judgement(verdict), "check")).iter("testcase")

    kinds = [child.tag for child in case if child.tag != "system-out"]
    expected = {
        "regression": ["failure"], "failed": ["error"], "missing": ["error"],
        "inconclusive": ["skipped"], "incomparable": ["skipped"], "added": ["skipped"],
    }.get(verdict, [])  # fmt: skip
    assert kinds == expected
    assert case.get("classname") == "lenet"
    assert case.get("name") == "inference-b8-3x32x32/eager/cpu-t2"


def test_the_suite_counts_its_cases() -> None:
    suite = parse(
        junit.render(judgement("regression", "failed", "inconclusive", "unchanged"), "ab")
    )[0]

    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    assert suite.get("name") == "cnnbench ab"


def test_any_text_is_well_formed() -> None:
    (case,) = parse(junit.render(judgement("regression", reason=NASTY), "check")).iter("testcase")

    assert 'a <b> & "c"' in case[0].get("message", "")
    assert "\x1b" not in (case[0].text or "")


def test_what_changed_stands_in_a_passing_case_too() -> None:
    found = judgement("unchanged")
    row = replace(found.rows[0].row)

    text = junit.render(replace(found, rows=(replace(found.rows[0], row=row),)), "check")

    assert "latency: unchanged" in text
