"""A bisection as people and programs read it."""

from __future__ import annotations

from typing import Any

import pytest

from bench import bisect_evidence
from cnnbench.gate.bisected import Bisection, Commit, StructureChange
from cnnbench.gate.bisection import PATIENCE, BisectionStep, of_steps
from cnnbench.gate.facets import Difference
from cnnbench.report import FORMATS, bisection, render

SPEC = "mypkg.nets:tiny/inference-b1-3x64x64/eager/cpu-t1"
COMMITS = tuple(
    Commit(f"{place}{place:039x}", f"Make the stem of the network wider, part {place}")
    for place in range(7)
)
COST = Difference("cost", "parameters: 61706 -> 71706 (+10000)")


def step(place: int, verdict: Any, against: int = 0, change: float | None = 0.1) -> BisectionStep:
    ends = (None, None) if change is None else (change - 0.02, change + 0.02)
    return BisectionStep(place, against, SPEC, verdict, change, *ends, 6, 30.0)


def found(*steps: BisectionStep, **more: Any) -> Bisection:
    fields = {"spec": SPEC, "steps": steps, "search": of_steps(6, steps)} | more
    return Bisection(COMMITS, ("v1.0", "main"), 0.05, **fields)


NAMED = (step(6, "regression"), step(3, "regression"), step(2, "unchanged", change=0.0),
         step(3, "regression", 2))  # fmt: skip


def shown(of: Bisection) -> str:
    text = render(bisection.table(of), "table", 80)
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


def test_what_changed_in_the_structure_is_said_with_its_commit() -> None:
    many = tuple(Difference("operators", f"operators: aten::op{n} 1 -> 2") for n in range(20))
    text = shown(found(*NAMED, changes=(
        StructureChange(2, 3, {SPEC: (COST,)}),
        StructureChange(3, 5, {SPEC: many, "other": (COST,)}),
    )))  # fmt: skip

    assert "structure changed in 300000000 (Make the stem of the network wider, part 3): " in text
    assert "parameters: 61706 -> 71706 (+10000) structure changed in 400000000 to 500000000" in text
    assert f"{SPEC}: operators: aten::op0 1 -> 2" in text
    assert "… and 9 more lines (--json has all)" in text
    assert "as before" not in text


def test_a_commit_whose_structure_is_as_before_says_so() -> None:
    text = shown(found(*NAMED, changes=(StructureChange(4, 5, {SPEC: (COST,)}),)))

    assert "structure of 300000000: as before; the same operators take longer" in text
    assert "structure changed in 500000000" in text


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (found(*NAMED[:3], step(2, "failed")),
         "one of 3 commits, 100000000 to 300000000, made it slower; which is open: the commits in"
         " between could not be judged"),
        (found(*NAMED[:3], step(3, "inconclusive", 2)),
         "300000000 may have made it slower: it is slower than GOOD, but not clearly slower than"
         " the commit before it"),
        (found(NAMED[0], *(step(place, "inconclusive", change=None) for place in range(1, 5))),
         f"one of 6 commits, 100000000 to 600000000, made it slower; which is open: {PATIENCE}"
         " commits in a row could not be judged"),
        (found(NAMED[0], *(*NAMED[1:3], step(3, "unchanged", 2)) * 2),
         "which is open: measurements contradict each other"),
        (found(step(6, "unchanged", change=0.0), spec="", search=None),
         "main is not slower than v1.0, as far as can be told"),
        (found(step(6, "inconclusive", change=None), spec="", search=None),
         "whether main is slower than v1.0 cannot be decided"),
        (found(step(6, "failed", change=None), spec="", search=None),
         "main could not be measured beside v1.0"),
    ],
)  # fmt: skip
def test_what_is_open_is_said_with_its_reason(of: Bisection, said: str) -> None:
    assert said in shown(of)
    assert bisection.data(of)["culprit"] is None


def test_skipped_commits_and_pretended_numbers_are_said() -> None:
    text = shown(found(*NAMED, skipped={4: "build: ModuleNotFoundError"}, made_up=True))

    assert text.startswith("FAKE EXECUTOR")
    assert "400000000 was skipped: build: ModuleNotFoundError" in text


def test_without_a_clock_there_is_no_table_and_nothing_is_said_of_time() -> None:
    change = StructureChange(2, 3, {SPEC: (COST,)})
    text = shown(found(spec="", search=None, timed=False, changes=(change,)))

    assert "slower" not in text
    assert "against GOOD" not in text
    assert "structure changed in 300000000" in text


def test_data_has_everything() -> None:
    change = StructureChange(1, 3, {SPEC: (COST,)})
    data = bisection.data(found(*NAMED, changes=(change,), skipped={2: "x"}))

    assert data["culprit"] == {"commit": COMMITS[3].sha, "subject": COMMITS[3].subject, "place": 3}
    (told,) = data["structure"]
    assert [one["place"] for one in told["commits"]] == [2, 3]
    assert told["differences"][SPEC] == [{"facet": "cost", "text": COST.text}]
    assert data["skipped"][0]["reason"] == "x"
    assert data["steps"][-1]["against"] == COMMITS[2].sha


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_renders_it(kind: str) -> None:
    assert "300000000" in render(bisection.table(found(*NAMED)), kind)


def test_the_evidence_reads_the_answer_that_is_printed() -> None:
    of = found(step(4, "regression"), step(2, "unchanged"), step(3, "regression"),
               step(3, "regression", against=2))  # fmt: skip
    shas = [one.sha for one in of.commits]

    told = bisect_evidence.answer(bisection.data(of), shas)

    assert (told["named"], told["range"]) == (3, [3])
    assert told["steps"][-1] == [3, 2, "regression", 6]
    assert bisect_evidence.outcome({"culprit": 3, **told}) == "right"
    assert bisect_evidence.outcome({"culprit": 2, **told}) == "wrong"
    assert bisect_evidence.answer({}, shas) == {"named": None, "range": [], "steps": []}
