"""Cores that are halves of one."""

from __future__ import annotations

import os
import subprocess

import pytest

from cnnbench.doctor import Beside
from cnnbench.runner import sharing

cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two usable cores",
)


class Pair:
    """Two cores of which one slows the other down."""

    def __init__(self, slowdown: float) -> None:
        self.slowdown = slowdown
        self.on = False
        self.switched: list[bool] = []

    def busy(self, on: bool) -> None:
        self.on = on
        self.switched.append(on)

    def piece(self) -> float:
        return 0.01 * (self.slowdown if self.on else 1.0)


@pytest.mark.parametrize(("slowdown", "shared"), [(1.0, False), (1.1, False), (1.5, True)])
def test_a_core_that_slows_another_down_is_half_of_it(slowdown: float, shared: bool) -> None:
    pair = Pair(slowdown)

    found = Beside(0, 1, sharing.speed(pair.piece, pair.busy))

    assert found.speed == pytest.approx(1 / slowdown)
    assert found.shared is shared


def test_both_states_take_turns_so_that_a_passing_neighbour_does_not_decide() -> None:
    pair = Pair(1.0)
    pieces = iter([0.01] * 5 + [0.05] * 4 + [0.01] * 50)

    found = sharing.speed(lambda: next(pieces), pair.busy)

    assert pair.switched[:4] == [True, False, True, False]
    assert found == 1.0


@cores
def test_two_real_cores_are_left_as_they_were_found() -> None:
    before = os.sched_getaffinity(0)
    first, second, *_ = sorted(before)

    found = sharing.beside(first, second)

    assert (found.core, found.other) == (first, second)
    assert 0.05 < found.speed < 20
    assert os.sched_getaffinity(0) == before


@cores
def test_whoever_spins_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    usual = subprocess.Popen

    def popen(*given: object, **named: object) -> subprocess.Popen[bytes]:
        started.append(usual(*given, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(sharing, "_piece", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        sharing.beside(*sorted(os.sched_getaffinity(0))[:2])

    assert [one.returncode is not None for one in started] == [True]


def test_a_single_core_has_nobody_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)

    assert sharing.slowest() is None


def test_the_core_that_hurts_most_is_the_one_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    speeds = {1: 0.97, 2: 0.61, 3: 0.99}
    monkeypatch.setattr(sharing, "beside", lambda a, b: Beside(a, b, speeds[b]))

    assert sharing.slowest() == Beside(0, 2, 0.61)
