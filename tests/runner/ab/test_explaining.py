"""Measuring why: pairs, budget, and what takes part in them, with made-up processes."""

from __future__ import annotations

from typing import Any

import pytest

from cnnbench.errors import StoreError
from cnnbench.gate import explaining as rule
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.gate.rule import Decision, SequentialRule
from cnnbench.plan import Plan
from cnnbench.record import Failure
from cnnbench.runner.ab import explaining
from cnnbench.runner.ab.explaining import Clocking
from cnnbench.runner.fake import Fake, FakePool, FakeWorker
from cnnbench.spec import Spec

SPEC = Spec.parse("lenet/inference-b1-3x32x32/eager/cpu-t1")
SAME = PairedComparison(SPEC, SPEC, SequentialRule(0.05))


def clocking(slowdown: float = 0.0, budget: float = 60.0, **executors: Any) -> Clocking:
    both = {"base": Fake("base"), "head": Fake("head", slowdown)} | executors
    return Clocking(both, Plan(), budget, lambda _: None)


class Own(Fake):
    """Has starters of its own, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0

    def open(self, scratch):
        self.opened += 1
        return super().open(scratch)

    def join(self, pool: object) -> FakePool:
        return None  # type: ignore[return-value]


def test_the_slower_module_is_named_after_the_fewest_pairs() -> None:
    found = clocking(0.2).explain(SAME)

    assert [one.name for one in found.named] == ["conv"]
    assert found.pairs == explaining.LEAST


def test_identical_code_is_looked_at_as_long_as_may_be_and_nothing_is_named() -> None:
    found = clocking().explain(SAME)

    assert (found.named, found.pairs) == ((), rule.MOST)


def test_a_budget_that_is_spent_ends_it_after_the_fewest_of_all() -> None:
    assert clocking(0.2, budget=0.0).explain(SAME).pairs == rule.FEWEST


def test_one_starter_serves_all_pairs_where_both_run_the_same_code_and_none_where_not() -> None:
    base, head = Own(), Own()
    clocking(base=base, head=head).explain(SAME)

    assert base.opened == head.opened == rule.MOST


def test_beside_others_it_begins_again_by_cpu_time(monkeypatch) -> None:
    asked = []
    ask = FakeWorker.ask

    def waits(self, message, timeout):
        if message.get("task") == "clock_modules":
            asked.append(message["cpu_time"])
        answer = ask(self, message, timeout)
        if message.get("do") == "clocks":
            answer["waiting"] = 0.2
        return answer

    monkeypatch.setattr(FakeWorker, "ask", waits)
    found = clocking(0.2).explain(SAME)

    assert asked[:4] == [False, False, True, True]
    assert asked.count(True) == 2 * found.pairs
    assert any("by CPU time" in note for note in found.notes)


def test_several_threads_have_no_cpu_time_of_their_own() -> None:
    spec = Spec.parse("lenet/inference-b1-3x32x32/eager/cpu-t2")
    found = clocking(0.2).explain(PairedComparison(spec, spec, SAME.rule), busy=True)

    assert found.notes == ()


@pytest.mark.parametrize(
    ("verdict", "asked", "wanted"),
    [("regression", None, True), ("regression", False, False), ("unchanged", None, False),
     ("unchanged", True, True), ("improvement", None, False)],
)  # fmt: skip
def test_which_outcomes_are_explained(verdict, asked, wanted) -> None:
    assert explaining.wanted(PairedOutcome(SAME, Decision(verdict)), asked) is wanted


def test_what_failed_is_never_explained() -> None:
    failed = PairedOutcome(SAME, Decision("failed"), failure=Failure("build", "raised", "no"))

    assert not explaining.wanted(failed, True)


def test_what_is_kept_is_read_again(tmp_path) -> None:
    outcome = PairedOutcome(SAME, Decision("regression"))
    both = {"base": Fake(), "head": Fake("head", 0.2)}
    told = explaining.of_outcomes([outcome], both, Plan(), 60.0, lambda _: None, tmp_path)

    (found,) = explaining.read(tmp_path)
    assert found == told[SAME.name]
    assert found.where == str(tmp_path)
    with pytest.raises(StoreError, match=r"'cnnbench ab --explain' writes it"):
        explaining.read(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "null", "[1]", "{}", '{"explanations": []}', "\\",
        '{"schema": 9, "explanations": []}', '{"schema": 1, "explanations": [1]}',
        '{"schema": 1, "explanations": [{"spec": "s", "total": {"ns": NaN}}]}',
        '{"schema": 1, "explanations": [{"spec": "s", "total": {"ns": 1, "low": 2, "high": 1}}]}',
        '{"schema": 1, "explanations": [{"spec": "s", "total": {"ns": 1}, "seconds": Infinity}]}',
        '{"schema": 1, "explanations": [{"spec": "s", "total": {"ns": 1}, "pairs": -1}]}',
    ],
)  # fmt: skip
def test_what_is_no_explanation_is_refused_in_a_line(tmp_path, text: str) -> None:
    (tmp_path / explaining.NAME).write_text(text)

    with pytest.raises(StoreError, match=rf"{explaining.NAME}[^\n]*: [^\n]+$"):
        explaining.read(tmp_path)
