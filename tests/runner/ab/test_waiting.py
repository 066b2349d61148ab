"""Threads that wait for cores: when one of them is measured instead, and what is said and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.facts import Check
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.plan import Plan
from cnnbench.record import Run
from cnnbench.runner.ab import paired, waiting
from cnnbench.runner.ab.pair import PairedRun
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.ab.session import PairedSession
from cnnbench.runner.fake import FakeWorker
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Spec
from tests.made import commit, repository
from tests.runner.ab.test_session import FIVE, Ear, Noise, Worker, slower
from tests.runner.conftest import specs

if TYPE_CHECKING:
    from pathlib import Path

(ONE,) = specs("eager", models=("lenet",))
TWO = replace(ONE, threads=2)


class _Listener(Ear):
    def crowded(self, comparison: PairedComparison, share: float) -> None:
        self.confirmed.append(f"{comparison.name}: {share:.2f}")


@dataclass
class Busy(Noise):
    """Two threads wait as much as a test says, pair by pair; one is left alone."""

    waits: Callable[[int], float] = lambda pair: 0.5
    cores: tuple[int, ...] = ()
    pinned: int = 0

    def freest_core(self) -> int | None:
        return 7

    def start(self) -> Worker:
        return _Waiting(self)


class _Waiting(Worker):
    def keep_on(self, core: int) -> None:
        self._owner.cores += (core,)  # type: ignore[attr-defined]

    def ask(self, message: dict[str, Any], timeout: float) -> Any:
        found = super().ask(message, timeout)
        owner = self._owner
        assert isinstance(owner, Busy)
        if message.get("do") == "slice":
            threads = Spec.parse(self._request["spec"]).threads
            share = owner.waits(self._request["round"]) if threads > 1 else 0.0
            last = self._slices[-1]
            assert last.cpu_ns is not None
            delay = round(last.cpu_ns * share / (1 - share))
            self._slices[-1] = replace(last, threads_delay_ns=delay, run_delay_ns=0)
        return found


def measured(
    head: Busy, base: Busy | None = None, *, narrow: bool = True, spec: Spec = TWO, ear: Any = None
) -> PairedOutcome:
    session = PairedSession(
        {"base": base or Busy(), "head": head}, Plan(slices=6, timeout=5), math.inf,
        ear or _Listener(), may_narrow=narrow,
    )  # fmt: skip
    (found,) = session.measure([PairedComparison(spec, spec, FIVE)])
    return found


def test_where_threads_wait_one_of_them_is_measured_on_one_core() -> None:
    base, head, ear = Busy(), Busy(), _Listener()
    found = measured(head, base, ear=ear)

    assert found.verdict == "unchanged"
    assert found.comparison.base == TWO
    assert found.measured_as.base == found.measured_as.head == ONE
    assert found.one_thread is not None
    assert found.one_thread.waiting == pytest.approx(0.5)
    assert found.one_thread.set_aside == 1
    assert [len(runs) for runs in found.runs.values()] == [3, 3]
    assert [Spec.parse(one["spec"]).threads for one in head.asked] == [2, 1, 1, 1]
    assert base.cores == head.cores == (7, 7, 7)
    assert ear.confirmed == [f"{TWO.id}: 0.50"]


@pytest.mark.parametrize(("by", "verdict"), [(0.06, "regression"), (-0.06, "improvement")])
def test_what_one_thread_says_is_the_verdict(by: float, verdict: str) -> None:
    found = measured(Busy(slower(by)))

    assert found.verdict == verdict
    assert found.measured_as.head == ONE


def test_whoever_asks_for_threads_keeps_them() -> None:
    head = Busy()
    found = measured(head, narrow=False)

    assert found.one_thread is None
    assert {Spec.parse(one["spec"]).threads for one in head.asked} == {2}
    assert head.cores == ()


def test_threads_that_hardly_wait_stay() -> None:
    found = measured(Busy(waits=lambda pair: 0.02), Busy(waits=lambda pair: 0.02))

    assert found.one_thread is None


def test_a_first_look_with_several_threads_is_not_confirmed_with_one() -> None:
    # The machine becomes busy after the regression's first look: nothing of it counts.
    busy_later = {"waits": lambda pair: 0.5 if pair >= 3 else 0.0}
    head = Busy(slower(0.06), **busy_later)
    found = measured(head, Busy(**busy_later))

    assert found.verdict == "regression"
    assert found.one_thread is not None
    assert found.one_thread.set_aside == 4
    assert (len(found.pairs), len(found.confirmation)) == (3, 3)


def test_a_gpu_has_no_threads_to_give_up() -> None:
    cuda = Spec.parse(TWO.id.replace("/cpu-t2", "/cuda-t2"))

    assert waiting.crowded(PairedComparison(cuda, cuda, FIVE), run_of([0.9] * 4, [0.9] * 4)) is None


def run_of(base: list[float], head: list[float]) -> PairedRun:
    """A pair whose threads waited for these shares, slice by slice."""
    runs = [
        Run(0, "x", Slices.of(
            Slice(turn, 1, (10**7,), cpu_ns=10**7, threads_delay_ns=round(1e7 * one / (1 - one)))
            for turn, one in enumerate(shares)
        ), (1,), 0, Check("unchecked"))
        for shares in (base, head)
    ]  # fmt: skip
    return PairedRun(*runs, 1.0)


@given(*[st.lists(st.floats(0, 0.9), min_size=1, max_size=8)] * 2)
def test_whose_threads_waited_does_not_matter(base: list[float], head: list[float]) -> None:
    comparison = PairedComparison(TWO, TWO, FIVE)

    assert waiting.crowded(comparison, run_of(base, head)) == waiting.crowded(
        comparison, run_of(head, base)
    )


def test_a_burst_that_few_slices_see_changes_nothing() -> None:
    comparison = PairedComparison(TWO, TWO, FIVE)

    assert waiting.crowded(comparison, run_of([0.0] * 5 + [0.9] * 3, [0.0] * 8)) is None


@pytest.mark.parametrize(
    ("one", "share"),
    [
        (Slice(0, 1, (100,), cpu_ns=150, threads_delay_ns=50, run_delay_ns=0), 0.25),
        # Of older code only the main thread's is known.
        (Slice(0, 1, (100,), cpu_ns=150, run_delay_ns=20), 0.2),
        (Slice(0, 1, (100,), cpu_ns=150), None),
    ],
)
def test_the_share_of_a_slice(one: Slice, share: float | None) -> None:
    assert waiting.waiting(one) == share


def busy_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretended workers whose threads wait, if there are several."""
    calm = FakeWorker._slice

    def crowded(self: FakeWorker, turn: int) -> Slice:
        found = calm(self, turn)
        return replace(found, threads_delay_ns=found.cpu_ns if self._spec.threads > 1 else 0)

    monkeypatch.setattr(FakeWorker, "_slice", crowded)


def test_what_is_kept_is_of_the_spec_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy_fake(monkeypatch)
    repo = repository(tmp_path / "repo", {"net.py": "1\n"}, tag="baseline")
    commit(repo, {"net.py": "2\n"})

    (found,) = paired.remeasure(
        [TWO.id], ("baseline", "."), repo, lambda spec: FIVE, PairedPlan(may_narrow=True),
        _Listener(), tmp_path / "out", "fake",
    )  # fmt: skip

    assert found.comparison.base.id == TWO.id
    for role in ("base", "head"):
        kept = store.read(tmp_path / "out" / role)
        assert kept.manifest.specs == (ONE.id,)
        (record,) = kept.records
        assert record.id == ONE.id
        assert "one thread in place of 2, which waited for cores for 50.0 % of the time" in (
            record.notes
        )
        assert kept.missing == ()
    (verdict,) = json.loads((tmp_path / "out" / "verdicts.json").read_text())["verdicts"]
    assert (verdict["base"], verdict["asked"]["base"]) == (ONE.id, TWO.id)
    assert verdict["threads"] == {"base": 1, "head": 1}
    assert (verdict["waiting_of_threads_asked"], verdict["pairs_set_aside"]) == (0.5, 1)


def test_of_two_comparisons_that_one_thread_makes_one_all_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy_fake(monkeypatch)
    repo = repository(tmp_path / "repo", {"net.py": "1\n"}, tag="baseline")
    commit(repo, {"net.py": "2\n"})

    found = paired.remeasure(
        [TWO.id, ONE.id], ("baseline", "."), repo, lambda spec: FIVE, PairedPlan(may_narrow=True),
        _Listener(), tmp_path / "out", "fake",
    )  # fmt: skip

    for role in ("base", "head"):
        kept = store.read(tmp_path / "out" / role)
        assert kept.manifest.specs == (ONE.id,)
        (record,) = kept.records
        assert len(record.runs) == sum(len(one.runs[role]) for one in found)
        assert [one.round for one in record.runs] == [*range(len(record.runs))]
        assert kept.missing == ()
