from __future__ import annotations

import itertools

import pytest
import torch

from cnnbench.plan import Plan
from cnnbench.requests import ProbeCeilings
from cnnbench.runner import inquiry
from cnnbench.runner.process import Processes
from cnnbench.spec import Device
from cnnbench.worker import ceilings
from cnnbench.worker.ceilings import Effort, Probe


class Clock:
    """A device on which calls take what a test says."""

    def __init__(self, *nanoseconds: int) -> None:
        self._taken = itertools.cycle(nanoseconds)
        self.asked: list[tuple[int, float]] = []

    def synchronize(self) -> None:
        pass

    def samples(self, call, iterations: int, seconds: float, estimate: float) -> list[int]:
        self.asked.append((iterations, seconds))
        return [next(self._taken) * iterations]


def never() -> None:
    pass


SHORT = Effort(rounds=2, most=4, burst=1e-4, longest=1e-3, sizes=(1 << 16, 1 << 20))


def test_a_probe_keeps_its_shortest_call() -> None:
    one, clock = Probe(never, 3000), Clock(4000, 1000, 2000)

    assert one.rate == 0
    for _ in range(3):
        one.burst(clock, 1e-4)

    assert one.seconds == pytest.approx(1e-6)
    assert one.rate == pytest.approx(3e9)


def test_sizes_grow_until_a_call_is_too_long() -> None:
    small, middle, large = (Probe(never, 10**n) for n in (3, 4, 5))

    ceilings._climb([small, middle, large], Clock(500_000, 2_000_000), SHORT)

    assert (small.seconds, middle.seconds) == pytest.approx((5e-4, 2e-3))
    assert large.rate == 0


@pytest.mark.parametrize(
    ("times", "turns"), [([5, 5, 5, 5], 2), ([9, 8, 7, 7], 4), ([9, 5, 5, 5], 3), ([9, 7, 5, 3], 4)]
)
def test_probes_have_turns_until_none_becomes_faster(times: list[float], turns: int) -> None:
    one, done = Probe(never, 1), []

    def turn() -> None:
        one.seconds = times[len(done)]
        done.append(one)

    ceilings._until_steady(turn, [one], SHORT)

    assert len(done) == turns


def test_bandwidth_is_without_the_cost_of_the_call_and_of_the_faster_move() -> None:
    moves = {
        ("copy", 0): Probe(never, 0, 1e-6), ("triad", 0): Probe(never, 0, 2e-6),
        ("copy", 1 << 20): Probe(never, 1 << 20, 1e-6 + 2**-10),
        ("triad", 1 << 20): Probe(never, 1 << 20, 2e-6 + 2**-11),
    }  # fmt: skip

    assert dict(ceilings._curve(moves, (1 << 20,))) == {"1048576": pytest.approx(2**31)}


def test_what_the_call_itself_hides_is_not_in_the_curve() -> None:
    moves = {
        ("copy", 0): Probe(never, 0, 1e-6), ("triad", 0): Probe(never, 0, 1e-6),
        ("copy", 64): Probe(never, 64, 1.2e-6), ("triad", 64): Probe(never, 64, 1.1e-6),
    }  # fmt: skip

    assert dict(ceilings._curve(moves, (64,))) == {}


@pytest.mark.parametrize("name", sorted(ceilings.MOVES))
def test_a_move_moves_what_it_is_said_to_move(name: str) -> None:
    probes = ceilings._moves("cpu", (1 << 12,))
    empty, full = probes[name, 0], probes[name, 1 << 12]
    count = ceilings.MOVES[name][1]

    assert empty.amount == 4 * count
    assert 0 <= (1 << 12) - full.amount < 4 * count
    assert full.call().numel() * 4 * count == full.amount


@pytest.mark.parametrize("name", sorted(ceilings.COMPUTE))
def test_work_of_a_compute_probe_is_what_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for one in ceilings.COMPUTE[name](torch.float32, "cpu")[:2]:
        with FlopCounterMode(display=False) as counter:
            one.call()
        assert counter.get_total_flops() == one.amount


@pytest.mark.parametrize("count", [5, 1 << 20, (1 << 20) + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_probes_multiply_numbers_like_those_of_networks(count: int, dtype: torch.dtype) -> None:
    # A device that is limited by its power is faster on constants.
    made = ceilings._random(count, dtype, "cpu")

    assert (made.numel(), made.dtype) == (count, dtype)
    assert len(made[:1000].unique()) > min(count, 1000) / 2
    assert not (made == 0).all()


def test_a_quick_look_has_fewer_and_shorter_probes() -> None:
    for device in (Device(), Device("cuda")):
        quick, thorough = (ceilings.effort(device, quick=quick) for quick in (True, False))

        assert set(quick.sizes) < set(thorough.sizes)
        assert (quick.rounds, quick.burst) < (thorough.rounds, thorough.burst)


def test_a_worker_answers_with_the_ceilings_of_this_machine() -> None:
    with inquiry.asking(Processes()) as pool:
        found = inquiry.ask(pool, ProbeCeilings(device="cpu", threads=1), Plan().timeout)

    assert set(found.flops_per_s) == {
        "float32 matmul", "float32 conv", "bfloat16 matmul", "bfloat16 conv"
    }  # fmt: skip
    # Any processor of this century does 100 MFLOP/s and moves 100 MB/s; none does 1 PFLOP/s.
    assert all(1e8 < rate < 1e15 for rate in found.flops_per_s.values())
    assert all(1e8 < rate < 1e14 for rate in found.bytes_per_s.values())
    assert max(map(int, found.bytes_per_s)) >= 128 << 20
    assert found.dispatch_ns > 0
    assert found.threads == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ceilings_of_a_cuda_device_know_its_precisions() -> None:
    with inquiry.asking(Processes()) as pool:
        found = inquiry.ask(pool, ProbeCeilings(device="cuda:0", threads=1), Plan().timeout)

    assert {name.split()[0] for name in found.flops_per_s} == {
        "float32", "tf32", "bfloat16", "float16"
    }  # fmt: skip
    assert found.flops_per_s["tf32 matmul"] > found.flops_per_s["float32 matmul"]
