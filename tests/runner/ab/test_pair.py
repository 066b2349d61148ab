"""One pair: what it yields from slices, and what becomes of a side that fails."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import UsageError, WorkerDied, WorkerError, WorkerRaised, WorkerTimeout
from cnnbench.facts import Check
from cnnbench.gate import agreement
from cnnbench.messages import Request
from cnnbench.plan import Plan
from cnnbench.record import Run
from cnnbench.requests import MeasureLatency, TakeSlice
from cnnbench.runner.ab import pair
from cnnbench.runner.ab.pair import BrokenPair, PairedRun, pinned
from cnnbench.slices import Slice, Slices
from tests.runner.conftest import Heard, Trouble, specs

(SPEC,) = specs("eager")


def run(milliseconds: list[float], cpu: list[float] | None = None, delay: int | None = 0) -> Run:
    slices = Slices.of(
        Slice(
            turn,
            1,
            (round(1e6 * one),) * 3,
            cpu_ns=None if cpu is None else round(3e6 * cpu[turn]),
            run_delay_ns=delay,
        )
        for turn, one in enumerate(milliseconds)
    )
    return Run(0, "e", slices, (1, 1), 1, Check("unchecked"))


def request() -> MeasureLatency:
    return MeasureLatency.planned(SPEC, Plan(), round=0, ensemble="e")


def measured(base: Trouble, head: Trouble, plan: Plan | None = None) -> PairedRun | BrokenPair:
    with base.open(None) as one, head.open(None) as other:  # type: ignore[arg-type]
        pools = {"base": one, "head": other}
        requests = {"base": request(), "head": request()}
        return pair.measure(pools, requests, plan or Plan(slices=8), "order")


LOGS = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@given(LOGS, st.floats(-0.5, 0.5))
def test_what_happens_to_both_sides_cancels(moments: list[float], effect: float) -> None:
    base = run([10 * math.exp(one) for one in moments])
    head = run([10 * math.exp(one + effect) for one in moments])

    assert PairedRun(base, head, 1.0).ratio == pytest.approx(effect, abs=1e-5)


def test_the_ratio_is_a_median_that_one_bad_slice_cannot_move() -> None:
    pair_run = PairedRun(run([10.0] * 9), run([*[10.5] * 8, 90.0]), 1.0)

    assert pair_run.ratio == pytest.approx(math.log(1.05))


def test_slices_are_paired_by_turn() -> None:
    base = run([10.0, 20.0, 40.0])
    head = Run(0, "e", run([11.0, 22.0, 44.0]).slices[::-1], (1, 1), 1, Check("unchecked"))

    assert PairedRun(base, head, 1.0).ratio == pytest.approx(math.log(1.1))


def test_cpu_time_is_a_second_estimate_where_it_was_measured() -> None:
    base, head = run([10.0] * 3, cpu=[9.0] * 3), run([20.0] * 3, cpu=[9.9] * 3)

    assert PairedRun(base, head, 1.0).cpu_ratio == pytest.approx(math.log(1.1))
    assert PairedRun(run([10.0] * 3), head, 1.0).cpu_ratio is None


def test_a_side_that_still_warms_up_is_seen_and_noise_is_not() -> None:
    settling = [1.3, 1.25, 1.2, 1.15, 1.1, 1.05, 1.01, 1.0, 1.0, 1.0, 1.0, 1.0]
    warm = PairedRun(run([10.0] * 12), run([10 * one for one in settling]), 1.0)
    restless = [1.0, 1.2, 0.9, 1.3, 1.0, 1.1, 0.8, 1.2, 0.9, 1.0, 1.1, 0.9]
    noisy = PairedRun(run([10.0] * 12), run([10 * one for one in restless]), 1.0)

    change, error = agreement.drift(warm.turns())
    assert change == pytest.approx(math.log(1.0 / 1.225), abs=0.01)
    assert abs(change) > 2 * error
    moved, noise = agreement.drift(noisy.turns())
    assert abs(moved) < 2 * noise


def test_few_slices_show_no_drift() -> None:
    assert agreement.drift([0.0] * 5) == (0.0, math.inf)


def test_the_share_without_a_core_is_over_both_sides() -> None:
    base, head = run([10.0] * 2, delay=6_000_000), run([10.0] * 2, delay=0)

    assert PairedRun(base, head, 1.0).off_cpu == pytest.approx(0.1)
    assert PairedRun(base, run([10.0], delay=None), 1.0).off_cpu is None


def test_a_neighbour_on_the_core_is_taken_out_and_what_the_code_waits_for_is_not() -> None:
    # 30 ms of samples each: the base computes for 24 and is kept from its core for 6; the head
    # computes for 18 and sleeps for 12.
    base = run([10.0] * 5, cpu=[8.0] * 5, delay=6_000_000)
    head = run([10.0] * 5, cpu=[6.0] * 5, delay=0)

    assert PairedRun(base, head, 1.0).ratio == 0
    assert PairedRun(base, head, 1.0).awake == pytest.approx(math.log(30 / 24))
    assert PairedRun(base, head, 1.0).cpu_ratio == pytest.approx(math.log(18 / 24))
    assert PairedRun(base, run([10.0] * 5, delay=None), 1.0).awake is None


def test_more_waiting_than_time_leaves_the_share_that_was_computed() -> None:
    # The kernel's count is read around the samples and may be longer than they are: of 5.5 ms, it
    # was 4 ms of waiting and 1.5 of computing, so the same share of the samples is computing.
    base, head = run([1.0], cpu=[0.5], delay=4_000_000), run([1.0], cpu=[1.0])

    assert PairedRun(base, head, 1.0).awake == pytest.approx(math.log(5.5 / 1.5))


def test_both_sides_take_every_turn_in_random_order() -> None:
    order: list[tuple[str, int | None]] = []

    def listener(role: str) -> Trouble:
        def hear(heard: Heard) -> None:
            if heard.what == "slice":
                order.append((role, heard.turn))

        return Trouble(hear)  # type: ignore[arg-type]

    found = measured(listener("base"), listener("head"), Plan(slices=12))

    assert isinstance(found, PairedRun)
    turns = [{role for role, turn in order if turn == number} for number in range(12)]
    assert turns == [{"base", "head"}] * 12
    assert [turn for _, turn in order] == sorted(turn for _, turn in order)  # type: ignore[type-var]
    assert {role for role, _ in order[::2]} == {"base", "head"}


def test_tensors_of_both_sides_move_in_the_same_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[int, bool]] = []
    tell = pair.tell

    def heard(worker: Any, request: Request[Any], timeout: float) -> Any:
        if isinstance(request, TakeSlice):
            moves.append((request.turn, request.move))
        return tell(worker, request, timeout)

    monkeypatch.setattr(pair, "tell", heard)
    measured(Trouble(lambda _: None), Trouble(lambda _: None), Plan(slices=6))

    assert moves == [(turn, turn in {0, 2, 4}) for turn in range(6) for _ in ("base", "head")]


@pytest.mark.parametrize("role", ["base", "head"])
@pytest.mark.parametrize("what", ["measure", "slice", "finish"])
@pytest.mark.parametrize(
    "error",
    [WorkerRaised("ValueError: x"), WorkerDied("killed by SIGKILL"), WorkerTimeout("no answer")],
)
def test_a_side_that_fails_is_named_with_what_it_was_doing(
    role: str, what: str, error: WorkerError
) -> None:
    bad = Trouble(lambda heard: error if heard.what == what else None)
    sides = {"base": Trouble(), "head": Trouble()} | {role: bad}

    found = measured(sides["base"], sides["head"])

    assert isinstance(found, BrokenPair)
    assert (found.role, found.failure.phase) == (role, what)
    assert found.failure.message == str(error)


def test_a_side_that_cannot_start_is_named() -> None:
    bad = Trouble(on_start=lambda pool: WorkerDied("no worker process can be started: x"))

    found = measured(Trouble(), bad)

    assert isinstance(found, BrokenPair)
    assert found.role == "head"


def test_pinning_is_for_the_while_and_refuses_a_core_that_is_not_ours() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)

    with pinned(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
    with pytest.raises(UsageError, match="may only run on"), pinned(4096):
        pass
    with pinned(None):
        assert os.sched_getaffinity(0) == before
