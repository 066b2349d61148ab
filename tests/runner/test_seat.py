"""What a record says of its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cnnbench.runner.gpus import Gpu, Lane
from cnnbench.runner.seat import Board, GpuSeat, Seat
from tests.runner.gpus import specs

START = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_who_was_there_at_any_moment_is_a_neighbour() -> None:
    board = Board()
    early = board.enter(1, "early", at(0))
    mine = board.enter(0, "mine", at(1))
    board.leave(early, at(2))
    board.leave(board.enter(1, "short", at(3)), at(4))
    board.enter(2, "late", at(5))

    assert board.beside(0, at(1)) == {"1": ("early", "short"), "2": ("late",)}
    assert board.beside(0, at(2)) == {"1": ("short",), "2": ("late",)}
    assert board.beside(0, at(4.5)) == {"2": ("late",)}
    board.leave(mine, at(6))
    assert board.beside(1, at(5.5)) == {"0": ("mine",), "2": ("late",)}


def test_what_nobody_can_ask_for_any_more_is_forgotten() -> None:
    board = Board()
    for second in range(1000):
        board.leave(board.enter(0, f"net{second}", at(second)), at(second + 0.5))

    assert len(board._visits) <= 1


def test_a_session_by_itself_knows_nothing_of_its_place() -> None:
    seat = Seat()

    assert seat.since(seat.now()) is None
    assert seat.titled(specs("lenet")[0]) == "lenet/inference-b1-3x32x32 on cuda:0"


def test_a_seat_says_its_gpu_and_cores() -> None:
    board = Board()
    mine, other = (GpuSeat(board, Lane(Gpu(n, f"u{n}"), (n,))) for n in (3, 5))
    with mine.taken("a"), other.taken("b"):
        began = mine.now()
        found = mine.since(began)

    assert (found.index, found.uuid, found.cores) == (3, "u3", (3,))
    assert found.neighbours == {"5": ("b",)}
    assert datetime.fromisoformat(found.began) == began <= datetime.fromisoformat(found.ended)
