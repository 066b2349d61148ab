"""One choice of a mode: when a gain is clear, what is fit, and that all who speak of it agree."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import choice, flaws, metrics, units
from cnnbench.advice import Evidence, advise
from cnnbench.facts import Check
from cnnbench.report import answers
from cnnbench.report.conclusions import conclusions
from cnnbench.report.page import modes as page
from tests import made
from tests.report.conftest import of

if TYPE_CHECKING:
    from cnnbench.record import Record

MODES = ("eager", "channels_last", "amp=bf16", "compile", "compile+channels_last")


def in_mode(mode: str, *milliseconds: float, status: str = "ok", ensemble: str = "e") -> Record:
    """A round per time; what compiles did so in the first of them."""
    return made.record(
        f"{made.WORKLOAD}/{mode}/cpu-t2",
        [[one] * 3 for one in milliseconds],
        check=Check(status, 0.1, 0.1, 0.5, "" if status == "ok" else "made up"),
        ensemble=ensemble,
        compile_cache="cold" if mode.startswith("compile") else None,
    )


# One mode beside another.


@pytest.mark.parametrize(
    ("times", "tried", "expected"),
    [
        ((5, 5.1, 4.9), 1, "faster"),
        ((20, 20.1, 19.9), 1, "slower"),
        ((9, 10, 11), 1, "unclear"),
        ((10, 10.01, 10), 1, "level"),
        ((5,), 1, "once"),
        ((8.0, 8.5, 9.0), 1, "faster"),
        # Two rounds, sixty ways: one degree of freedom at an error of 0.05/60.
        ((10, 1.5), 60, "unclear"),
        # The same, as the best of four: the error of each is a quarter.
        ((8.0, 8.5, 9.0), 4, "unclear"),
        ((5, 5.1, 4.9), 4, "faster"),
    ],
)
def test_a_gain_is_clear_for_one_of_so_many(times: Any, tried: int, expected: str) -> None:
    assert choice.standing(in_mode("compile", *times), in_mode("eager", 10, 10, 10), tried) == (
        expected
    )


def test_what_never_ran_beside_it_stands_apart() -> None:
    elsewhere = in_mode("compile", 5, 5, 5, ensemble="other")

    assert choice.standing(elsewhere, in_mode("eager", 10, 10, 10)) == "apart"
    assert choice.standing(elsewhere, None) == "apart"


@pytest.mark.parametrize(
    ("status", "fit"), [("ok", True), ("unchecked", True), ("loose", False), ("wrong", False)]
)
def test_an_output_is_fit_to_be_recommended(status: str, fit: bool) -> None:
    assert flaws.fit(in_mode("compile", 5, status=status)) is fit
    assert not flaws.fit(made.failed(made.BF16))


# All modes of a workload.


@pytest.mark.parametrize(
    ("others", "verdict", "best"),
    [
        ((), "alone", "eager"),
        ((("compile", (5, 5, 5), "wrong"),), "unfit", "eager"),
        ((("compile", (5, 5, 5), "loose"),), "unfit", "eager"),
        ((("compile", (5,), "ok"),), "once", "eager"),
        ((("compile", (20, 20, 20), "ok"),), "slower", "eager"),
        ((("compile", (9, 10, 11), "ok"), ("amp=bf16", (20, 20, 20), "ok")), "unclear", "eager"),
        ((("compile", (5, 5, 5), "ok"), ("amp=bf16", (20, 20, 20), "ok")), "faster", "compile"),
        # As fast within their intervals: the one without a compiler.
        ((("compile", (4.9, 5, 5.1), "ok"), ("amp=bf16", (5.1, 5, 5), "ok")), "faster", "amp=bf16"),
    ],
)
def test_a_verdict_says_why_the_best_is_best(others: Any, verdict: str, best: str) -> None:
    records = [in_mode(mode, *times, status=status) for mode, times, status in others]

    found = choice.choose([in_mode("eager", 10, 10, 10), *records])

    assert found is not None
    assert (found.verdict, found.best.spec.mode.text) == (verdict, best)
    assert (found.gain is None) == (best == "eager")


def test_a_mode_that_looks_faster_than_the_best_but_is_not_decided_is_named() -> None:
    records = [
        in_mode("eager", 10, 10.1, 9.9), in_mode("channels_last", 5, 5.1, 4.9),
        in_mode("amp=bf16", 2, 9, 1), in_mode("compile", 9, 11, 8),
    ]  # fmt: skip

    found = choice.choose(records)
    assert found is not None
    assert (found.best.spec.mode.text, [one.spec.mode.text for one in found.hopeful]) == (
        "channels_last", ["amp=bf16"]
    )  # fmt: skip
    told = " ".join(one.text for one in conclusions(of(*records)))
    assert "channels_last is the best of those of 4 modes whose gain is certain" in told
    assert "amp=bf16 looks faster: more --rounds may decide it" in told
    use = next(one.text for one in advise(Evidence(tuple(records))) if one.name == "use")
    assert use.endswith("amp=bf16 looks faster, but not certainly so: more --rounds may decide it")
    assert choice.choose(records[:2]).hopeful == ()  # type: ignore[union-attr]


def test_a_simpler_mode_that_looks_slower_by_more_than_is_worth_a_mode_is_not_chosen() -> None:
    eager = in_mode("eager", 10, 10, 10)
    fastest = in_mode("compile", 5.0, 5.5, 4.6)
    near, far = in_mode("channels_last", 5.2, 5.0, 5.3), in_mode("amp=bf16", 5.8, 5.5, 5.7)

    found = [choice.choose([eager, fastest, one]) for one in (near, far)]

    # Neither differs clearly from the fastest, and both are simpler.
    assert [one and one.best.spec.mode.text for one in found] == ["channels_last", "compile"]


def test_what_may_still_be_faster_by_more_than_is_worth_a_mode_is_a_rival() -> None:
    eager = in_mode("eager", 10, 10.01, 10)
    chosen = in_mode("channels_last", 5, 5.01, 5)
    close = in_mode("fp16", 4.99, 5.0, 5.01)
    wide = in_mode("compile", 4.5, 5.5, 5.0)
    slow = in_mode("amp=bf16", 8, 8.01, 8)
    wrong = in_mode("compile+channels_last", 1, 1.01, 1, status="wrong")

    found = choice.choose([eager, chosen, close, wide, slow, wrong])

    assert found is not None
    assert (found.best, found.rivals) == (chosen, (wide,))


def test_modes_that_never_ran_side_by_side_are_compared_by_their_gains_over_eager() -> None:
    eager = made.record(
        f"{made.WORKLOAD}/eager/cpu-t2", [[10.0] * 3, [10.01] * 3] * 4, ensemble="e"
    )
    slow = in_mode("channels_last", 6.0, 6.01, 6.0, 6.01)
    fast = made.record(f"{made.WORKLOAD}/compile/cpu-t2", [[2.0] * 3, [2.01] * 3] * 2, ensemble="e")
    # The second half of eager's rounds.
    fast = replace(fast, runs=tuple(
        replace(run, ensemble=other.ensemble)
        for run, other in zip(fast.runs, eager.runs[4:], strict=True)
    ))  # fmt: skip
    assert metrics.speedup(slow, fast) is None

    found = choice.choose([eager, slow, fast])

    assert found is not None
    assert (found.best, found.rivals) == (fast, ())
    assert choice.leaders([(slow, eager), (fast, eager)]) == (fast,)
    assert choice.faster_by(fast, slow, eager) == pytest.approx(3, rel=0.01)


def test_eager_itself_may_have_rivals() -> None:
    eager, wide = in_mode("eager", 10, 10, 10), in_mode("compile", 8, 12, 10)

    found = choice.choose([eager, wide])

    assert found is not None
    assert (found.best, found.rivals) == (eager, (wide,))


def test_a_loose_mode_is_named_where_it_would_be_faster_than_the_best() -> None:
    records = [
        in_mode("eager", 10, 10, 10), in_mode("compile", 5, 5, 5),
        in_mode("amp=bf16", 2, 2, 2, status="loose"),
        in_mode("channels_last", 8, 8, 8, status="loose"),
    ]  # fmt: skip

    found = choice.choose(records)

    assert found is not None
    assert found.best is records[1]
    assert found.loose == (records[2],)
    assert loose_by_advice(records) == loose_by_sentences(records) == ["amp=bf16"]
    (other,) = (one for one in advise(Evidence(tuple(records))) if one.mode == "channels_last")
    assert other.name == "unfit"
    assert other.text.startswith("channels_last: 1.25x as fast as eager [1.25x, 1.25x]; its out")


def loose_by_advice(records: list[Record]) -> list[str]:
    """The modes that the advice says would be faster but for their output."""
    return [one.mode for one in advise(Evidence(tuple(records))) if one.name == "loose"]


def loose_by_sentences(records: list[Record]) -> list[str]:
    """The same by the page's sentences."""
    text = " ".join(one.text for one in conclusions(of(*records)))
    return re.findall(r"(\S+) would be faster, but its output is loose", text)


def test_without_a_time_of_eager_nothing_is_chosen() -> None:
    assert choice.choose([made.failed(made.EAGER), in_mode("compile", 5, 5)]) is None
    assert choice.choose([]) is None


# Everyone who speaks of it.

TIMES = st.floats(5, 20)
STATUSES = st.sampled_from(["ok", "ok", "unchecked", "loose", "wrong", "failed"])


@st.composite
def workloads(draw: st.DrawFn) -> list[Record]:
    """Plain eager and some modes in one to four rounds, in the same ensembles or not."""
    rounds = draw(st.integers(1, 4))
    noise = draw(st.sampled_from([0.0, 0.01, 0.3]))
    records = []
    for mode in ("eager", *draw(st.lists(st.sampled_from(MODES[1:]), unique=True))):
        status = "ok" if mode == "eager" else draw(STATUSES)
        if status == "failed":
            records.append(made.failed(f"{made.WORKLOAD}/{mode}/cpu-t2"))
            continue
        shifts = draw(st.lists(st.floats(-noise, noise), min_size=rounds, max_size=rounds))
        middle, count = draw(TIMES), rounds if draw(st.booleans()) else 1
        times = [middle * (1 + shift) for shift in shifts][: rounds if mode == "eager" else count]
        apart = mode != "eager" and draw(st.integers(0, 9)) == 0
        records.append(in_mode(mode, *times, status=status, ensemble="other" if apart else "e"))
    return records


@given(workloads())
def test_advise_the_page_and_its_sentences_recommend_the_same_mode_and_gain(
    records: list[Record],
) -> None:
    found = of(*records)
    evidence = Evidence(tuple(records))
    (use, *_) = advise(evidence)
    rows = page.best(found)
    sentences = [one.text for one in conclusions(found) if one.text.startswith("lenet (")]
    assert evidence.choice is not None

    if evidence.choice.verdict == "alone":
        assert (answers.best_modes(found), rows, sentences) == ([], None, [])
        return
    (best,), (sentence,) = answers.best_modes(found), sentences
    assert rows is not None
    (row,) = rows.table.rows
    assert f"an error of {100 * metrics.ERROR:g} % shared" in rows.reading
    assert best.entry.record is evidence.recommended
    assert use.mode == row[1] == best.entry.record.spec.mode.text
    if use.name == "use":
        gain = best.entry.speedup
        assert gain is not None
        assert gain == evidence.choice.gain == row[2]
        assert row[3] == choice.STANDINGS["faster"].text
        low, high = gain.low or 0.0, gain.high or 0.0
        ends = units.interval(units.ratio, gain.point, low, high, gain.rounds)
        said = f"{units.ratio(gain.point)} as fast as eager"
        assert f"{said} [{ends}]" in use.text
        assert f"{said} ({ends.replace(', ', ' to ')})" in sentence
    else:
        assert (use.mode, row[3]) != ("eager", choice.STANDINGS["faster"].text)
        assert choice.NO_GAIN[evidence.choice.verdict] in use.text
        assert choice.NO_GAIN[evidence.choice.verdict] in sentence
        words = {how: one.text for how, one in choice.STANDINGS.items()}
        assert row[3] == words.get(use.name, row[3])


@given(workloads())
def test_advise_and_the_page_name_the_same_loose_modes(records: list[Record]) -> None:
    found = choice.choose(records)

    assert found is not None
    expected = [one.spec.mode.text for one in found.loose]
    assert loose_by_advice(records) == expected
    assert loose_by_sentences(records) == expected
    for one in found.loose:
        assert metrics.speedup(one, found.best).low > 1  # type: ignore[union-attr, operator]


@given(workloads())
def test_nothing_unfit_or_unclear_is_recommended(records: list[Record]) -> None:
    found = choice.choose(records)

    assert found is not None
    if found.best is not found.baseline:
        assert found.best.status in {"ok", "unchecked"}
        assert metrics.speedup(found.best, found.baseline).low > 1  # type: ignore[union-attr, operator]


@given(workloads())
def test_the_calls_until_a_compiler_pays_are_those_of_the_column(records: list[Record]) -> None:
    column = {one.record.spec.mode.text: one.break_even for one in of(*records)}

    for finding in advise(Evidence(tuple(records))):
        if finding.name == "compile":
            calls = column[finding.mode]
            assert calls is not None
            assert f"pays off after {units.count(math.ceil(calls.point))} calls" in finding.text
