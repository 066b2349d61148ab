"""Histories with one slower commit: found through the whole runner, with pretended workers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cnnbench.errors import SomeFailed, WorkerDied
from cnnbench.gate.bisected import Bisection, Commit
from cnnbench.gate.bisection import allowed
from cnnbench.gate.rule import SequentialRule
from cnnbench.runner import fake
from cnnbench.runner.ab import explaining, paired, revisions
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.runner.ab.sides import CodeSide
from cnnbench.runner.bisect import question, state
from cnnbench.runner.bisect.question import Question
from cnnbench.runner.bisect.search import Bisecting, SearchListener
from cnnbench.runner.fake import Fake, FakePool, FakeWorker
from cnnbench.slices import Slice
from cnnbench.suite import Grid
from tests.runner.ab.test_session import Ear

LAST = 32
COMMITS = tuple(Commit(f"{number:040x}", f"change {number}") for number in range(LAST + 1))
PLACES = {one.sha: place for place, one in enumerate(COMMITS)}
# The standard deviation of a pair's log-ratio: what small networks showed on a shared machine.
NOISE = 0.01
# What the command line takes if nothing else is said.
RULE = SequentialRule(0.05, most=20)


@dataclass
class History:
    """How fast the code of each place is, what it is made of, and what is wrong with it."""

    slower: Callable[[int], float] = lambda place: 0.0
    layers: Callable[[int], int] = lambda place: 4
    broken: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()
    crashing: frozenset[int] = frozenset()
    noise: float = NOISE
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    measured: list[int] = field(default_factory=list)

    def __call__(self, side: CodeSide) -> Fake:
        return Code(self, PLACES[side.named.commit])


class Code(Fake):
    """The code of one place."""

    def __init__(self, history: History, place: int) -> None:
        super().__init__(str(place), history.slower(place), noise=1e-4)
        self.history = history
        self.place = place

    @contextmanager
    def open(self, scratch: Path) -> Iterator[FakePool]:
        yield Pool(self)

    def join(self, pool: object) -> FakePool:
        return Pool(self)


class Pool(FakePool):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self._code = code

    def start(self) -> FakeWorker:
        return Worker(self._code)


class Worker(FakeWorker):
    """A process whose every slice is as slow as chance has made it."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self._code = code
        # Half of the variance of a pair comes from either side.
        self._factor = math.exp(code.history.chance.gauss(0, code.history.noise / math.sqrt(2)))

    def ask(self, message: Any, timeout: float) -> Any:
        history, place = self._code.history, self._code.place
        if message.get("task") in {"analyze", "measure"} and place in history.broken:
            self.phase = "build"
            raise WorkerDied("no such layer")
        if message.get("task") == "describe" and place in history.dead:
            raise WorkerDied("the interpreter does not start")
        if message.get("task") == "measure":
            history.measured.append(place)
        if message.get("task") in {"memory", "measure"} and place in history.crashing:
            raise WorkerDied("its forward pass crashes")
        answer = super().ask(message, timeout)
        if message.get("do") == "structure":
            answer["operators"] = {"aten::conv2d": history.layers(place)}
        return answer

    def _slice(self, turn: int) -> Slice:
        one = super()._slice(turn)
        ns = tuple(round(self._factor * value) for value in one.ns)
        return replace(one, ns=ns, cpu_ns=sum(ns))


@pytest.fixture(autouse=True)
def _no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commits are numbers, a checkout is an empty folder, and no disk is waited for."""
    monkeypatch.setattr("os.fsync", lambda _: None)

    @contextmanager
    def checked_out(repo: Path, revision: str) -> Iterator[Path]:
        del repo, revision
        yield tmp_path

    monkeypatch.setattr(revisions, "checked_out", checked_out)
    monkeypatch.setattr(revisions, "commit", lambda repo, name: name if name in PLACES else None)


@pytest.fixture
def bisect(tmp_path: Path) -> Callable[..., Bisection]:
    """A bisection of a history, kept under a number."""

    def call(
        history: History, number: int = 0, timed: bool = True, goes_on: bool = False, **more: Any
    ) -> Bisection:
        asked = Question(tmp_path, ("good", "bad"), COMMITS)
        folder = tmp_path / str(number)
        if goes_on:
            begun = question.resumed(folder, asked, history, ("*",))
        else:
            grid = Grid(("lenet",), threads=(1,), **more)
            begun = question.prepare(asked, grid, PairedPlan(RULE), history, timed=timed)
        listener = SearchListener(lambda _: None, Ear())
        return Bisecting(asked, begun, folder, listener, history).run()

    return call


def slower_from(culprit: int, by: float) -> Callable[[int], float]:
    return lambda place: by if place >= culprit else 0.0


def test_twenty_histories_with_one_slower_commit_and_ten_without(bisect) -> None:
    chance = random.Random(20)
    truths, named, without = [], [], []
    for number in range(20):
        culprit, by = chance.randint(1, LAST), chance.uniform(0.05, 0.10)
        history = History(slower_from(culprit, by), chance=random.Random(number))
        found = bisect(history, number)
        truths.append(COMMITS[culprit])
        named.append(found.culprit)
        assert len(found.steps) <= allowed(LAST)
    for number in range(20, 30):
        without.append(bisect(History(chance=random.Random(number)), number).culprit)

    assert named == truths
    assert without == [None] * 10


@pytest.mark.parametrize("noise", [0.03, 0.1])
def test_noise_that_hides_the_culprit_costs_the_answer_and_never_names_another(
    bisect, noise: float
) -> None:
    for number in range(5):
        history = History(slower_from(11, 0.07), noise=noise, chance=random.Random(number))
        found = bisect(history, number)

        assert found.culprit in {None, COMMITS[11]}
        if found.search is not None:
            assert found.search.good < 11 <= found.search.bad


def test_the_structure_leads_to_the_commit_and_explains_it(bisect) -> None:
    history = History(slower_from(23, 0.08), layers=lambda place: 5 if place >= 23 else 4)
    found = bisect(history)

    assert found.culprit == COMMITS[23]
    (change,) = found.changes
    assert (change.after, change.upto) == (22, 23)
    (told,) = change.differences.values()
    assert [one.text for one in told] == ["operators: aten::conv2d 4 -> 5"]
    # The ends, either side of the suspect, and the confirmation.
    assert [(one.place, one.against) for one in found.steps] == [(32, 0), (22, 0), (23, 0),
                                                                 (23, 22)]  # fmt: skip


def test_a_bisection_that_goes_on_still_says_which_modules(bisect, tmp_path: Path) -> None:
    history = History(slower_from(23, 0.08))
    told = bisect(history).explanation

    again = bisect(history, goes_on=True).explanation
    (tmp_path / "0" / explaining.NAME).write_text("{")
    anew = bisect(history, goes_on=True).explanation

    assert told is not None
    assert again == told
    assert anew is not None
    assert anew.pairs
    assert anew.spec == told.spec


def test_a_change_of_structure_that_costs_nothing_is_not_taken_for_the_culprit(bisect) -> None:
    history = History(slower_from(9, 0.08), layers=lambda place: 5 if place >= 23 else 4)
    found = bisect(history)

    assert found.culprit == COMMITS[9]
    assert [one.upto for one in found.changes] == [23]


def test_without_a_clock_every_change_of_structure_is_found_and_nothing_is_timed(bisect) -> None:
    history = History(
        slower_from(9, 0.5), layers=lambda place: 4 + (place >= 7) + (place >= 23), noise=1.0
    )
    found = bisect(history, timed=False)

    assert [(one.after, one.upto) for one in found.changes] == [(6, 7), (22, 23)]
    assert (found.steps, history.measured) == ((), [])


def test_commits_that_do_not_build_are_skipped_and_end_in_a_range_beside_the_culprit(
    bisect,
) -> None:
    aside = bisect(History(slower_from(20, 0.1), broken=frozenset({8, 16})), 1)
    beside = bisect(History(slower_from(20, 0.1), broken=frozenset({18, 19, 20})), 2)

    assert aside.culprit == COMMITS[20]
    assert aside.skipped[16] == "build: no such layer"
    assert beside.culprit is None
    assert beside.between == (17, 21)
    assert set(beside.skipped) == {18, 19, 20}


def test_a_commit_whose_workers_do_not_start_is_skipped_too(bisect) -> None:
    timed = bisect(History(slower_from(20, 0.1), dead=frozenset({16})), 1)
    looked = bisect(History(layers=lambda place: 4 + (place >= 20), dead=frozenset({16})), 2, False)

    assert (timed.culprit, looked.culprit) == (COMMITS[20], None)
    assert "the interpreter does not start" in timed.skipped[16]
    assert looked.skipped == {16: "the interpreter does not start"}
    assert [(one.after, one.upto) for one in looked.changes] == [(19, 20)]


def test_a_structure_that_cannot_be_had_is_not_taken_for_the_same(bisect) -> None:
    levels = lambda place: 4 + (place >= 20)  # noqa: E731
    found = bisect(History(layers=levels, crashing=frozenset({16, 19, 20})), 1, False)

    assert [(one.after, one.upto) for one in found.changes] == [(18, 21)]
    assert found.skipped[16] == "memory not measured: its forward pass crashes"
    with pytest.raises(SomeFailed, match=r"^bad .*: memory not measured: its forward pass"):
        bisect(History(crashing=frozenset({LAST})), 2)


def test_what_it_is_compared_with_cannot_fail_any_more(bisect) -> None:
    def dies(place: int) -> float:
        # GOOD could be measured before.
        if place == 0 and LAST in history.measured and 16 in history.measured:
            history.broken = frozenset({0})
        return 0.1 * (place >= 9)

    history = History(dies)
    with pytest.raises(SomeFailed, match=r"^good \(000000000\): build: no such layer"):
        bisect(history)


@pytest.mark.parametrize(("place", "name"), [(0, "good"), (LAST, "bad")])
def test_an_end_that_does_not_build_is_said_and_nothing_is_timed(
    bisect, place: int, name: str
) -> None:
    history = History(broken=frozenset({place}))

    with pytest.raises(SomeFailed, match=rf"^{name} \(0000.*\): build: no such layer"):
        bisect(history)
    assert history.measured == []


def test_two_slower_commits_lead_to_the_first(bisect) -> None:
    found = bisect(History(lambda place: 0.08 * (place >= 5) + 0.12 * (place >= 25), noise=0.004))

    assert found.culprit == COMMITS[5]


def test_a_bisection_goes_on_where_it_was_interrupted(bisect, monkeypatch, tmp_path) -> None:
    history = History(slower_from(13, 0.08))
    real = Bisecting._keep

    def interrupts(self: Bisecting) -> None:
        real(self)
        if len(self._state.steps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bisecting, "_keep", interrupts)
    with pytest.raises(KeyboardInterrupt):
        bisect(history)
    monkeypatch.setattr(Bisecting, "_keep", real)
    before = state.read(tmp_path / "0").steps
    history.measured.clear()
    found = bisect(history, goes_on=True)

    assert found.culprit == COMMITS[13]
    assert found.steps[:3] == before
    assert LAST not in history.measured
    assert bisect(history, goes_on=True) == found


def test_doubts_that_ended_it_are_measured_again_when_it_goes_on(bisect) -> None:
    # In between, everything is at the border of being slower.
    border = History(lambda place: 0.1 if place == LAST else 0.024 * (place > 0))
    first = bisect(border)
    again = bisect(History(slower_from(13, 0.08)), goes_on=True)

    assert (first.culprit, first.open_because) == (None, "4 commits in a row could not be judged")
    assert again.culprit == COMMITS[13]
    # What was in doubt stays on record, decides nothing, and costs the next attempt certainty.
    doubtful = [one for one in first.steps if one.verdict == "inconclusive"]
    aside = [one for one in again.steps if one.set_aside]
    assert len(doubtful) >= 4
    assert [replace(one, set_aside=False) for one in aside] == doubtful
    assert again.steps[: len(first.steps)] == tuple(
        replace(one, set_aside=one in doubtful) for one in first.steps
    )


def test_every_attempt_is_held_to_half_the_error_and_is_counted(
    bisect, tmp_path, monkeypatch
) -> None:
    border = History(lambda place: 0.1 if place == LAST else 0.024 * (place > 0))
    seen: list[float] = []
    real = paired.remeasure

    def remeasure(*words: Any) -> Any:
        seen.append(words[4].rule.alpha)
        return real(*words)

    monkeypatch.setattr(paired, "remeasure", remeasure)
    counts = []
    for attempt in range(3):
        seen.clear()
        bisect(border, goes_on=attempt > 0)
        kept = state.read(tmp_path / "0")
        counts.append(len(kept.steps))
        assert kept.attempts == attempt + 1
        assert set(seen) == {0.05 / allowed(LAST) / 2**attempt}
    assert counts == sorted(set(counts))


@pytest.mark.parametrize("first", ["border", "broken"])
def test_ends_that_could_not_be_judged_are_measured_once_more(bisect, first: str) -> None:
    before = {
        "border": History(lambda place: 0.024 * (place == LAST)),
        "broken": History(slower_from(13, 0.08), crashing=frozenset({0})),
    }[first]
    if first == "broken":
        with pytest.raises(SomeFailed):
            bisect(before)
    else:
        assert bisect(before).ends[0].verdict == "inconclusive"
    found = bisect(History(slower_from(13, 0.08)), goes_on=True)

    assert found.culprit == COMMITS[13]
    assert [one.verdict for one in found.steps if one.set_aside] == ["inconclusive"] * (
        first == "border"
    )


def test_where_the_environment_is_another_it_does_not_go_on(bisect, monkeypatch) -> None:
    from cnnbench.environment import Environment
    from cnnbench.errors import Incomparable
    from cnnbench.requests import Describe

    bisect(History(slower_from(13, 0.08)))
    answers: Mapping[Any, Any] = {
        **fake.ANSWERS, Describe: lambda _: Environment({"fake": True, "cpu": "another"})
    }  # fmt: skip
    monkeypatch.setattr(fake, "ANSWERS", answers)

    with pytest.raises(Incomparable, match="another environment; begin a new bisection"):
        bisect(History(), goes_on=True)
