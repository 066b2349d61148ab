"""Warm-up and slices, with a device whose clock is made of numbers."""

from __future__ import annotations

import gc

import pytest

from cnnbench.plan import WarmUp
from cnnbench.worker import sampling
from cnnbench.worker.devices import Cpu


class Clock:
    """A nanosecond clock that moves only when work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        self.calls = 0
        monkeypatch.setattr("time.perf_counter_ns", lambda: self.now)

    def work(self, seconds: float):
        def call() -> int:
            self.calls += 1
            self.now += round(seconds * 1e9)
            return self.calls

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (0.001, 250),  # quick: until the time is up
        (0.1, 10),  # middling: until there are enough calls
        (1.0, 6),  # slow: until the limit
        (60.0, 2),  # very slow: never fewer than two
    ],
)
def test_warm_up_ends_when_it_should(clock: Clock, seconds: float, calls: int) -> None:
    taken = sampling.warm_up(clock.work(seconds), Cpu(), WarmUp(10, 0.25, 6.0, 2))

    assert len(taken) == calls
    assert set(taken) == {round(seconds * 1e9)}


def test_a_sample_holds_whole_bursts_and_none_is_ready_before_a_slice(clock: Clock) -> None:
    assert sampling.calls_per_sample(1e-4, 0.06) == 9
    assert sampling.calls_per_sample(1e-4, 0.06, together=4) == 12
    assert sampling.calls_per_sample(1.0, 0.06, together=4) == 4

    sampling.settle(clock.work(1.0), Cpu(), 1.0, least=5)

    assert clock.calls == 5


def test_what_a_timed_call_returns_comes_back(clock: Clock) -> None:
    nanoseconds, result = sampling.timed(clock.work(0.5), Cpu())

    assert (nanoseconds, result) == (500_000_000, 1)


def test_steady_time_ignores_the_first_half() -> None:
    assert sampling.steady([900, 800, 100, 100, 100, 100]) == pytest.approx(100e-9)


@pytest.mark.parametrize(
    ("estimate", "calls"), [(1.0, 1), (0.06, 1), (0.001, 1), (1e-4, 9), (1e-5, 93)]
)
def test_short_calls_share_a_sample(estimate: float, calls: int) -> None:
    assert sampling.calls_per_sample(estimate, 0.06) == calls


@pytest.mark.parametrize(("seconds", "samples"), [(0.01, 6), (0.5, 1)])
def test_a_slice_lasts_as_long_as_asked_but_has_at_least_one_sample(
    clock: Clock, seconds: float, samples: int
) -> None:
    taken = sampling.take_slice(clock.work(seconds), Cpu(), 3, 1, 0.06, seconds)

    assert taken.turn == 3
    assert taken.ns == (round(seconds * 1e9),) * samples


def test_a_sample_holds_all_its_calls(clock: Clock) -> None:
    taken = sampling.take_slice(clock.work(1e-4), Cpu(), 0, 10, 0.004, 1e-4)

    assert taken.iterations == 10
    assert taken.ns == (1_000_000,) * 4
    assert clock.calls == 100 + 40  # ten milliseconds to settle


@pytest.mark.parametrize(("seconds", "calls"), [(1e-3, 10), (4e-3, 2), (0.011, 0), (5.0, 0)])
def test_a_turn_begins_with_calls_that_nobody_times(
    clock: Clock, seconds: float, calls: int
) -> None:
    cold = clock.work(seconds)

    taken = sampling.take_slice(cold, Cpu(), 0, 1, 0.02, seconds)

    assert clock.calls == calls + len(taken.ns)
    assert clock.now == round(seconds * 1e9) * clock.calls


def test_what_settles_is_no_part_of_a_slice(clock: Clock) -> None:
    def call() -> None:
        clock.calls += 1
        clock.now += 3_000_000 if clock.calls <= 2 else 1_000_000

    taken = sampling.take_slice(call, Cpu(), 0, 1, 0.005, 1e-3)

    assert taken.ns == (1_000_000,) * 5


def test_where_every_sample_begins_cold_nothing_settles(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Cpu()
    monkeypatch.setattr(device, "cold", True)

    taken = sampling.take_slice(clock.work(1e-3), device, 0, 1, 0.005, 1e-3)

    assert clock.calls == len(taken.ns) == 5


def test_witnesses_of_a_real_slice_are_plausible() -> None:
    taken = sampling.take_slice(lambda: sum(range(10_000)), Cpu(), 0, 1, 0.02, 1e-4)

    wall = sum(taken.ns)
    assert 0 < taken.cpu_ns
    assert taken.cpu_ns < 4 * wall + 50_000_000
    assert taken.minor_faults is not None
    assert taken.involuntary is not None


def test_the_collector_rests_while_sampling_and_works_again_after() -> None:
    with sampling.collector_off():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0

    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
