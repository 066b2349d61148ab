"""Starters of rounds: how many are begun, who is asked with them, and that none is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnnbench import machine
from cnnbench.errors import WorkerDied
from cnnbench.runner.ab.rounds import Rounds

GIB = 2**30


@dataclass(eq=False)
class Pool:
    who: Who
    begun: bool = False
    ready: bool = False
    slain: bool = False
    compiling: bool = False

    def begin(self, *, compiling: bool = False) -> None:
        self.begun, self.compiling = True, compiling

    def start(self) -> Pool:
        # All are begun before any is waited for, or their imports would follow each other.
        assert all(one.begun for one in self.who.open_ones)
        if self.who.broken:
            raise WorkerDied("no torch")
        if self.slain:
            self.slain = False
            raise WorkerDied("the process that supervises the workers was killed")
        self.ready = True
        return self

    def close(self, *, force: bool = False) -> int | None:
        del force
        return 0


@dataclass
class Who:
    """An executor that notes its pools."""

    guest: bool = False
    broken: bool = False
    open_ones: list[Pool] = field(default_factory=list)
    opened: int = 0
    name: str = "who"
    pretends: bool = True

    @contextmanager
    def open(self, scratch: Path) -> Iterator[Pool]:
        assert scratch.is_dir()
        self.opened += 1
        self.open_ones.append(Pool(self))
        mine = self.open_ones[-1]
        try:
            yield mine
        finally:
            self.open_ones.remove(mine)

    def core_use(self) -> None:
        return None

    def join(self, pool: object) -> object | None:
        return pool if self.guest else None


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "memory_available", lambda: 64 * GIB)


def sides(**how: bool) -> dict[str, Who]:
    return {"base": Who(**how), "head": Who(**how)}


def test_rounds_that_must_come_are_begun_at_once_and_used_once() -> None:
    who = sides()
    with Rounds(who) as rounds:
        rounds.begin(3)
        assert [one.opened for one in who.values()] == [3, 3]
        assert all(pool.ready for one in who.values() for pool in one.open_ones)
        used = []
        for _ in range(3):
            with rounds.next() as found:
                used += found.pools.values()
                assert not found.one_code
        assert len(set(map(id, used))) == 6
        assert [len(one.open_ones) for one in who.values()] == [0, 0]
        with rounds.next():
            assert [one.opened for one in who.values()] == [4, 4]


def test_what_was_begun_in_vain_is_closed() -> None:
    who = sides()
    with Rounds(who) as rounds:
        rounds.begin(3)
        with rounds.next():
            pass
    assert [one.open_ones for one in who.values()] == [[], []]


def _interrupted(who: dict[str, Who]) -> None:
    with Rounds(who) as rounds:
        rounds.begin(2)
        with rounds.next():
            raise KeyboardInterrupt


def test_an_error_leaves_no_starter() -> None:
    who = sides()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(who)
    assert [one.open_ones for one in who.values()] == [[], []]


def test_questions_are_answered_by_the_starter_of_the_first_round(tmp_path: Path) -> None:
    who = sides(guest=True)
    with Rounds(who) as rounds:
        for role in who:
            with rounds.asked(role).open(tmp_path) as pool:
                assert pool is rounds.front(role)
        with rounds.next() as found:
            assert found.one_code
            assert found.pools["base"] is found.pools["head"] is pool
    assert sum(one.opened for one in who.values()) == 1


def test_that_no_worker_can_be_started_is_left_to_whoever_asks_for_one() -> None:
    with Rounds(sides(broken=True)) as rounds:
        rounds.begin(2)
        with pytest.raises(WorkerDied, match="no torch"):
            rounds.front("base").start()


@pytest.mark.parametrize(
    ("cores", "free", "begun"), [(1, 64, 1), (2, 2, 1), (2, None, 1), (4, 8, 2)]
)
def test_where_it_is_no_faster_or_memory_is_short_fewer_are_begun(
    monkeypatch: pytest.MonkeyPatch, cores: int, free: int | None, begun: int
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(machine, "memory_available", lambda: free and free * GIB)
    who = sides()
    with Rounds(who) as rounds:
        rounds.begin(3)
        assert who["base"].opened == begun


def test_however_many_must_come_few_wait_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_available", lambda: 2048 * GIB)
    who = sides()
    with Rounds(who) as rounds:
        rounds.begin(40)
        assert who["base"].opened == 10


def test_a_starter_that_was_killed_while_it_slept_costs_no_comparison() -> None:
    who = sides()
    with Rounds(who) as rounds:
        rounds.begin(2)
        for one in who["head"].open_ones:
            one.slain = True
        for _ in range(2):
            with rounds.next() as found:
                assert found.pools["head"].start() is found.pools["head"]


def test_seconds_of_starting_are_taken_once() -> None:
    with Rounds(sides()) as rounds:
        rounds.begin(1)
        assert rounds.take_waited() > 0
        assert rounds.take_waited() == 0


def test_starters_import_the_compiler_from_the_moment_that_somebody_needs_it() -> None:
    base, head = Who(), Who()
    with Rounds({"base": base, "head": head}) as rounds:
        rounds.begin(2)
        rounds.begin(3, compiling=True)
        rounds.begin(4)

        assert [one.compiling for one in base.open_ones] == [False, False, True, True]
        assert [one.compiling for one in head.open_ones] == [False, False, True, True]
