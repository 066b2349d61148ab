from __future__ import annotations

import torch

from cnnbench.worker import memory, oracles, selftest
from cnnbench.worker.devices import Cpu


def test_the_clock_moves_and_takes_time_to_read() -> None:
    found = selftest.clock()

    assert 0 < found["resolution_ns"]
    assert 0 <= found["reading_ns"]


def test_a_sample_says_something_and_costs_something(monkeypatch) -> None:
    monkeypatch.setattr(selftest, "_SECONDS", 0.002)

    found = selftest.loop(Cpu())

    assert 0 < found["empty_ns"]
    assert 0 < found["sample_ns"]


def test_twins_are_the_same_network() -> None:
    torch.manual_seed(0)
    one = oracles.repeated(3, channels=2)
    torch.manual_seed(0)
    other = oracles.repeated(3, channels=2, twin="b")
    given = torch.ones(1, 2, 4, 4)

    assert torch.equal(one(given), other(given))


def test_a_repeated_network_calls_its_body_so_often() -> None:
    module, calls = oracles.repeated(22, channels=2), []
    module.conv.register_forward_hook(lambda *_: calls.append(1))

    module(torch.ones(1, 2, 4, 4))

    assert len(calls) == 22


def test_what_is_held_is_what_the_allocator_says() -> None:
    given = torch.ones(1, 1)

    peak = memory.allocator_peak(lambda: oracles.holds(8, 0)(given))

    assert abs(peak - (8 << 20)) <= 1024


def test_the_planted_answer_is_wrong_in_one_layout_only() -> None:
    module, given = oracles.wrong(channels=2).eval(), torch.ones(1, 2, 4, 4)

    right = module(given)
    other = module(given.contiguous(memory_format=torch.channels_last))

    assert torch.allclose(other, 1.1 * right)
