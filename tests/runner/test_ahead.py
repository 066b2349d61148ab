"""Pools that are begun before they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnnbench import machine
from cnnbench.conv.layers import ConvLayer
from cnnbench.errors import WorkerDied
from cnnbench.runner import lab
from cnnbench.runner.ahead import Ahead
from cnnbench.runner.fake import Fake
from cnnbench.spec import Device
from cnnbench.suite import Grid

GIB = 2**30


@dataclass(eq=False)
class Pool:
    who: Who
    begun: bool = False
    ready: bool = False
    compiling: bool = False

    def begin(self, *, compiling: bool = False) -> None:
        self.begun, self.compiling = True, compiling

    def start(self) -> Pool:
        if self.who.broken:
            raise WorkerDied("no torch")
        self.ready = True
        return self

    def close(self, *, force: bool = False) -> int | None:
        return 0


@dataclass
class Who:
    broken: bool = False
    opened: list[Pool] = field(default_factory=list)
    alive: list[Pool] = field(default_factory=list)
    most: int = 99
    name: str = "who"
    pretends: bool = True

    @contextmanager
    def open(self, scratch: Path) -> Iterator[Pool]:
        assert scratch.is_dir()
        if len(self.opened) == self.most:
            raise OSError("no more processes")
        pool = Pool(self)
        self.opened.append(pool)
        self.alive.append(pool)
        try:
            yield pool
        finally:
            self.alive.remove(pool)


@pytest.fixture(autouse=True)
def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "memory_available", lambda: 64 * GIB)


def test_all_are_begun_at_once_and_ready_before_the_first_is_used(tmp_path: Path) -> None:
    who = Who()
    with Ahead(who, 3) as ahead:
        assert [one.begun for one in who.opened] == [True] * 3
        assert not any(one.ready for one in who.opened)
        for place in range(3):
            with ahead.open(tmp_path) as pool:
                assert pool is who.opened[place]
                assert all(one.ready for one in who.opened)
            assert pool not in who.alive
        with ahead.open(tmp_path) as late:
            assert late is who.opened[3]
            assert not late.begun
    assert not who.alive


def test_questions_are_put_to_the_pool_of_the_first_round_which_stays(tmp_path: Path) -> None:
    who = Who()
    with Ahead(who, 2) as ahead:
        with ahead.asked.open(tmp_path) as asked:
            # An answer need not wait until the others have imported.
            assert not who.opened[1].ready
        with ahead.open(tmp_path) as first:
            assert first is asked
            assert len(who.alive) == 2
    assert not who.alive
    assert len(who.opened) == 2


def test_pools_that_nobody_used_are_gone_too() -> None:
    who = Who()
    with pytest.raises(KeyboardInterrupt), Ahead(who, 3):
        raise KeyboardInterrupt
    assert not who.alive


def test_if_one_cannot_be_begun_those_before_it_are_gone() -> None:
    who = Who(most=2)
    with pytest.raises(OSError, match="no more processes"), Ahead(who, 3):
        pass
    assert len(who.opened) == 2
    assert not who.alive


def test_the_lab_is_begun_when_nothing_is_being_imported_any_more(monkeypatch) -> None:
    who, prepare = Who(), lab.prepare
    monkeypatch.setattr(lab, "executor", lambda _: who)
    monkeypatch.setattr(lab, "prepare", lambda order, plan, _: prepare(order, plan, Fake()))
    grid = Grid((), lab.MODES, (), device=Device(), threads=(1,))
    order = lab.LabOrder(grid, (ConvLayer("conv:k8-3x3-p1", (8, 16, 16)),))
    with lab.begun(order) as found:
        assert len(who.opened) == lab.PLAN.rounds
        assert all(one.ready for one in who.opened)
        assert found.job.executor.name == "who"
    assert not who.alive


@pytest.mark.parametrize(
    ("cores", "free", "begun"), [(1, 64, 1), (2, 2, 1), (2, 4, 2), (2, None, 1)]
)
def test_no_more_are_begun_than_is_any_faster_or_fits(
    monkeypatch: pytest.MonkeyPatch, cores: int, free: int | None, begun: int
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(machine, "memory_available", lambda: free and free * GIB)
    who = Who()
    with Ahead(who, 5):
        assert len(who.opened) == begun


def test_where_no_worker_can_start_the_first_who_needs_one_is_told(tmp_path: Path) -> None:
    with (
        Ahead(Who(broken=True), 2) as ahead,
        ahead.open(tmp_path) as pool,
        pytest.raises(WorkerDied),
    ):
        pool.start()


def test_the_compiler_is_imported_in_the_rounds_that_need_it() -> None:
    who = Who()
    with Ahead(who, 3, {1}):
        assert [one.compiling for one in who.opened] == [False, True, False]
