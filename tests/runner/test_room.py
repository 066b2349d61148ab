"""How many workers share a device's memory, and what becomes of one that finds none left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench import machine, metrics
from cnnbench.environment import Environment
from cnnbench.errors import WorkerRaised
from cnnbench.facts import Room
from cnnbench.plan import Plan
from cnnbench.record import Memory
from cnnbench.runner import fake, room
from cnnbench.runner.session import Session
from cnnbench.runner.subject import Group, Subject
from cnnbench.spec import Device, Spec
from tests import made
from tests.runner.conftest import Ear, Heard, Trouble, specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.record import Record

GIB = 1 << 30
FULL = WorkerRaised("OutOfMemoryError: CUDA out of memory", "out_of_memory")


def on_cuda(*modes: str) -> list[Spec]:
    return [Spec.parse(f"lenet/inference-b1-3x32x32/{mode}/cuda:0-t1") for mode in modes]


def offer(monkeypatch: pytest.MonkeyPatch, found: Room | Exception) -> None:
    def answer(_request: Any) -> Room:
        if isinstance(found, Exception):
            raise found
        return found

    table = {**fake.ANSWERS, room.AskRoom: answer}
    monkeypatch.setattr(fake, "ANSWERS", table)


def measure(trouble: Trouble, *modes: str, rounds: int = 2) -> dict[str, Record]:
    """Records by mode."""
    plan = Plan(rounds=rounds, slices=3)
    session = Session(trouble, plan, Environment({"fake": True}), Ear())
    found = {one.spec.mode.text: one for some in session.run([on_cuda(*modes)]) for one in some}
    return {mode: found[mode] for mode in modes}


def together(records: dict[str, Record], number: int = 0) -> list[set[str]]:
    """Modes that shared an ensemble in a round."""
    found: dict[str, set[str]] = {}
    for mode, record in records.items():
        for run in record.runs:
            if run.round == number:
                found.setdefault(run.ensemble, set()).add(mode)
    return list(found.values())


def limits(who: Any, device: Device, plan: Plan | None = None) -> room.Limits:
    group = Group("a", [replace(one, device=device) for one in specs("eager")])
    with who.open(None) as pool:
        return room.limits(group, pool, plan or Plan())


def test_on_a_device_its_free_memory_is_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Room(10 * GIB, GIB))

    found = limits(fake.Fake(), Device("cuda", 0))

    assert (found.room, found.process) == (8 * GIB, GIB)


def test_on_the_host_there_is_a_limit_where_workers_have_one(monkeypatch) -> None:
    monkeypatch.setattr(machine, "memory_available", lambda: 10 * GIB)

    assert limits(fake.Fake(), Device(), Plan(memory_limit=GIB)).room == 8 * GIB
    assert limits(fake.Fake(), Device()).room is None


def test_a_device_that_does_not_answer_has_no_known_room(monkeypatch) -> None:
    offer(monkeypatch, WorkerRaised("RuntimeError: no driver"))

    records = measure(Trouble(), "eager", "tf32")

    assert together(records) == [{"eager", "tf32"}]
    assert "free memory of cuda:0 not known: RuntimeError: no driver" in records["tf32"].notes


@pytest.mark.parametrize(
    ("memory", "bytes_of"),
    [
        # A context, and one and a half times the tensors that analysis predicts.
        (None, 100 + 1500),
        (Memory(cpu_peak_bytes=5), 100 + 1500),
        (Memory(cuda_reserved_bytes=3000), 100 + 3000),
        (Memory(cuda_reserved_bytes=3000, cuda_process_bytes=4000), 4000),
    ],
)
def test_a_worker_needs_what_was_measured_or_else_predicted(memory, bytes_of: int) -> None:
    subject = Subject(on_cuda("eager")[0])
    subject.memory = memory
    cost = replace(made.COST, memory_peak_bytes=1000)

    assert room.needed(subject, cost, room.Limits(9000, 100, 1.5)) == bytes_of


def test_modes_that_do_not_fit_beside_each_other_take_turns_in_parts(monkeypatch) -> None:
    # The executor that pretends predicts 96 to 97 MB for lenet.
    offer(monkeypatch, Room(round(2.5 * 1.6 * GIB / 0.8), GIB))
    need = GIB + round(1.5 * fake._size(on_cuda("eager")[0]))
    assert 2 * need < 2.5 * 1.6 * GIB < 4 * need

    records = measure(Trouble(), "eager", "tf32", "channels_last", "bf16")

    assert len(together(records)) > 1
    assert all("eager" in ensemble for ensemble in together(records))


def crowd(most: int) -> Callable[[Heard], Exception | None]:
    """``tf32`` finds no memory beside more than so many others."""
    alive: list[str] = []

    def raises(heard: Heard) -> Exception | None:
        if heard.what == "measure":
            alive.append(heard.mode)
        if heard.what in {"finish", "memory", "reference"}:
            alive.clear()
        if heard.mode == "tf32" and heard.what == "slice" and len(set(alive) - {"tf32"}) > most:
            return FULL
        return None

    return raises


@pytest.mark.parametrize(("most", "with_eager"), [(1, True), (0, False)])
def test_what_finds_no_memory_beside_the_others_is_tried_with_more_room(
    monkeypatch, most: int, with_eager: bool
) -> None:
    offer(monkeypatch, Room(1 << 50))

    records = measure(Trouble(crowd(most)), "eager", "channels_last", "tf32")

    tf32 = records["tf32"]
    assert tf32.failure is None
    assert tf32.rounds == 2
    assert records["eager"].failure is None
    (note,) = [one for one in tf32.notes if "memory" in one]
    assert note.endswith("beside nothing but eager" if with_eager else "alone, without a speed-up")
    assert (metrics.speedup(tf32, records["eager"]) is not None) is with_eager


def test_what_does_not_fit_alone_is_a_row_that_says_so(monkeypatch) -> None:
    offer(monkeypatch, Room(1 << 50))
    full = Trouble(lambda heard: FULL if (heard.mode, heard.what) == ("tf32", "measure") else None)

    records = measure(full, "eager", "channels_last", "tf32")

    assert records["tf32"].failure.kind == "out_of_memory"
    assert [one.failure for mode, one in records.items() if mode != "tf32"] == [None, None]


def test_on_the_host_a_worker_has_a_limit_of_its_own_and_no_second_try() -> None:
    full = Trouble(lambda heard: FULL if (heard.mode, heard.what) == ("bf16", "measure") else None)
    session = Session(full, Plan(rounds=1, slices=3), Environment({"fake": True}), Ear())

    list(session.run([specs("eager", "bf16")]))

    assert sum((one.mode, one.what) == ("bf16", "measure") for one in full.heard) == 1


def test_a_device_for_one_process_at_a_time_has_no_two(monkeypatch) -> None:
    offer(monkeypatch, Room(1 << 50, one_process=True))

    records = measure(Trouble(), "eager", "tf32")

    assert together(records) == [{"eager"}, {"tf32"}]
    assert all(room.ONE_PROCESS in record.notes for record in records.values())
    assert records["tf32"].notes.count(room.ONE_PROCESS) == 1
