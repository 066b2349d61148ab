from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import metrics, roofline
from cnnbench.facts import Algorithm, Ceilings
from cnnbench.roofline import Work
from tests import made

# 100 GFLOP/s in float32, 400 in bfloat16; 100 GB/s up to 1 MiB, 10 GB/s from 64 MiB; 2 us a call.
MACHINE = Ceilings(
    {"float32 matmul": 9e10, "float32 conv": 1e11, "bfloat16 matmul": 4e11},
    {str(1 << 20): 1e11, str(1 << 26): 1e10},
    dispatch_ns=2000,
    threads=1,
)


def roof(work: Work, seconds: float, *ceilings: Ceilings, precision: str = "fp32", threads=1):
    return roofline.roof(work, seconds, ceilings or (MACHINE,), precision, threads)


def test_much_arithmetic_on_few_bytes_is_bound_by_compute() -> None:
    # 1 GFLOP at 100 GFLOP/s takes 10 ms; 1 MB at 100 GB/s 10 us.
    found = roof(Work(10**9, moved_bytes=10**6), 0.02)

    assert (found.binds, found.seconds, found.share) == ("compute", 0.01, 0.5)


def test_a_narrower_type_has_a_higher_ceiling() -> None:
    found = roof(Work(10**9, moved_bytes=10**6), 0.02, precision="amp=bf16")

    assert (found.binds, found.share) == ("compute", pytest.approx(0.125))


def test_many_bytes_are_bound_by_memory_at_the_bandwidth_of_their_size() -> None:
    # 100 MB lie beyond the curve: 10 GB/s.
    found = roof(Work(10**8, moved_bytes=10**8), 0.04)

    assert (found.binds, found.share) == ("memory", pytest.approx(0.25))


def test_next_to_nothing_is_bound_by_the_call() -> None:
    found = roof(Work(100, moved_bytes=100), 4e-6)

    assert (found.binds, found.share) == ("dispatch", pytest.approx(0.5))


def test_what_an_algorithm_executes_counts_and_not_what_it_stands_for() -> None:
    # Winograd at 150 % of the peak by its definition, with 4/9 of the multiplications.
    winograd = Work(9 * 10**8, executed_flops=4 * 10**8, moved_bytes=10**6)

    found = roof(winograd, 0.006)

    assert found.share == pytest.approx(2 / 3)
    assert winograd.intensity == 400


def test_between_two_sizes_bandwidth_lies_on_a_straight_line_over_logarithms() -> None:
    # 8 MiB is half way from 1 to 64 MiB in powers of two.
    assert roofline.bandwidth([MACHINE], 8 << 20) == pytest.approx((1e11 * 1e10) ** 0.5)
    assert roofline.bandwidth([MACHINE], 5) == 1e11
    assert roofline.bandwidth([MACHINE], 1 << 40) == 1e10


@given(st.floats(1, 1e12))
def test_bandwidth_is_never_outside_the_curve(size: float) -> None:
    assert 1e10 * 0.999 <= roofline.bandwidth([MACHINE], size) <= 1e11 * 1.001


def test_the_higher_of_two_probes_counts_and_their_difference_is_known() -> None:
    slower = replace(MACHINE, flops_per_s={"float32 conv": 8e10}, dispatch_ns=3000)

    found = roof(Work(10**9, moved_bytes=10**6), 0.02, slower, MACHINE)

    assert found.share == pytest.approx(0.5)
    assert roofline.drift([slower, MACHINE]) == pytest.approx(0.25)
    assert roofline.drift([MACHINE]) is None


@pytest.mark.parametrize(
    ("ceilings", "threads", "precision"),
    [
        ((), 1, "fp32"),
        ((MACHINE,), 2, "fp32"),
        ((MACHINE,), 1, "fp16"),
        ((MACHINE,), 1, "fp64"),
        ((replace(MACHINE, bytes_per_s={}),), 1, "fp32"),
        ((replace(MACHINE, threads=2, run_delay_share=0.5),), 2, "fp32"),
    ],
    ids=["none", "other threads", "dtype not probed", "fp64", "no curve", "disturbed"],
)
def test_without_a_ceiling_that_fits_there_is_no_roof(ceilings, threads, precision) -> None:
    work = Work(10**9, moved_bytes=10**6)

    assert roofline.roof(work, 0.02, ceilings, precision, threads) is None


def test_one_thread_alone_is_not_disturbed_by_waiting() -> None:
    waiting = replace(MACHINE, run_delay_share=0.5)

    assert roof(Work(10**9, moved_bytes=10**6), 0.02, waiting) is not None


def test_unknown_bytes_have_no_intensity_and_no_roof() -> None:
    assert Work(10**9).intensity is None
    assert roof(Work(10**9), 0.02) is None


def convolution(milliseconds: float, **more):
    done = Algorithm("winograd", 2 * 10**8, 10**6, 0, 0)
    fields = {"cost": replace(made.COST, macs=45 * 10**7), "algorithm": done}
    name = "conv:k64-3x3-p1/inference-b1-64x56x56/impl=winograd/cpu-t1"
    return made.record(name, [[milliseconds] * 3] * 3, **(fields | {"ceilings": (MACHINE,)} | more))


def test_a_record_states_its_rates_intensity_and_share_of_the_roof() -> None:
    names = ["effective_flops", "executed_flops", "intensity", "roof_share"]

    values = [metrics.metric(name).of(convolution(8)).point for name in names]

    assert values == pytest.approx([9e8 / 8e-3, 4e8 / 8e-3, 400, 0.5])
    assert metrics.binding(convolution(8)) == "compute"


def test_the_rate_has_the_latencys_interval_turned_round() -> None:
    one = convolution(8)
    one = replace(one, runs=made.record(one.id, [[7] * 3, [8] * 3, [9] * 3]).runs)

    rate, time = metrics.metric("effective_flops").of(one), metrics.latency(one)

    assert (rate.low, rate.high) == pytest.approx((9e8 / time.high, 9e8 / time.low))


def test_a_library_that_does_not_tell_executes_what_the_definition_says() -> None:
    one = convolution(18, algorithm=Algorithm("library", None, 10**6, None, None))

    assert metrics.metric("executed_flops").of(one) is None
    assert metrics.metric("roof_share").of(one).point == pytest.approx(0.5)


def test_a_step_faster_than_possible_blames_the_ceilings() -> None:
    assert metrics.binding(convolution(3)) == "faster than the compute ceiling as probed"


def test_a_whole_network_has_a_rate_but_no_roof() -> None:
    network = made.record(made.EAGER, [[10] * 3] * 3, ceilings=(MACHINE,))

    assert metrics.metric("effective_flops").of(network).point == pytest.approx(6.8e8)
    assert metrics.metric("intensity").of(network) is None
    assert metrics.binding(network) is None


def test_training_counts_its_backward_pass() -> None:
    name = made.EAGER.replace("inference", "training")
    cost = replace(made.COST, training_macs=10_000_000)

    one = made.record(name, [[10] * 3] * 3, cost=cost)

    assert metrics.metric("effective_flops").of(one).point == pytest.approx(2e9)


def test_a_part_of_several_operators_has_a_floor_by_each_ceiling() -> None:
    # 100 MB in 100 operators: each has a working set of 1 MB, at 100 GB/s.
    part = roofline.RooflinePart(10**9, float32_bytes=10**8, operators=100)

    found = roofline.floors(part, (MACHINE,), "fp32", 1)

    assert found == pytest.approx({"compute": 0.01, "memory": 0.001, "dispatch": 0.0002})


def test_in_16_bits_half_of_the_bytes_move() -> None:
    part = roofline.RooflinePart(10**9, float32_bytes=10**8, operators=1)

    wide, narrow = (roofline.floors(part, (MACHINE,), name, 1) for name in ("fp32", "bf16"))

    assert narrow["memory"] < wide["memory"]
    assert narrow["compute"] == wide["compute"] / 4


@pytest.mark.parametrize(
    ("part", "threads"), [(roofline.RooflinePart(0, 0, 0), 1), (roofline.RooflinePart(1, 1, 1), 2)]
)
def test_nothing_and_other_threads_have_no_floor(part: roofline.RooflinePart, threads: int) -> None:
    assert roofline.floors(part, (MACHINE,), "fp32", threads) is None
