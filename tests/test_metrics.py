from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench import metrics
from cnnbench.errors import UnknownName
from cnnbench.facts import Check, Structure
from cnnbench.metrics import METRICS
from cnnbench.record import Memory, Part, Record
from cnnbench.slices import Slice, Slices
from tests import made

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_a_slice_counts_the_median_sample_over_its_iterations() -> None:
    assert metrics.slice_seconds(Slice(0, 10, (10_000, 20_000, 900_000))) == pytest.approx(2e-6)


def test_latency_is_the_median_over_rounds_of_the_median_over_slices() -> None:
    one = made.record(made.EAGER, [[10, 11, 99], [20, 20, 20], [12, 12, 12]])

    assert metrics.latency(one).point == pytest.approx(0.012)
    assert metrics.latency(one).rounds == 3


def test_the_latency_interval_is_over_rounds_and_not_over_samples() -> None:
    calm = made.record(made.EAGER, [[10, 20, 30]] * 3)

    estimate = metrics.latency(calm)

    assert estimate.low == pytest.approx(estimate.high)


def test_one_round_has_a_latency_without_an_interval() -> None:
    estimate = metrics.latency(made.record(made.EAGER, [[10]]))

    assert (estimate.low, estimate.high) == (None, None)


def test_throughput_is_the_batch_over_the_latency_with_the_interval_inverted(noisy) -> None:
    time, rate = metrics.latency(noisy), metrics.throughput(noisy)

    assert rate.point == pytest.approx(8 / 0.005)
    assert rate.low == pytest.approx(8 / time.high)
    assert rate.high == pytest.approx(8 / time.low)
    assert rate.low < rate.point < rate.high


def test_throughput_of_one_round_has_no_interval() -> None:
    assert metrics.throughput(made.record(made.EAGER, [[10]])).low is None


def test_speedup_is_how_many_times_faster(eager, twice_as_fast, same) -> None:
    assert metrics.speedup(twice_as_fast, eager).point == pytest.approx(2)
    assert metrics.speedup(eager, twice_as_fast).point == pytest.approx(0.5)
    assert metrics.speedup(same, eager).point == pytest.approx(1)


def test_drift_that_both_share_does_not_touch_the_speedup() -> None:
    drift = [[1.0, 7.0, 30.0], [2.0, 3.0, 100.0], [9.0, 1.0, 4.0]]
    base = made.record(made.EAGER, drift)
    fast = made.record(made.CHANNELS_LAST, [[one / 2 for one in times] for times in drift])

    estimate = metrics.speedup(fast, base)

    assert estimate.point == pytest.approx(2)
    assert math.log(estimate.high / estimate.low) < 1e-6


def test_turns_are_paired_by_their_number_not_by_their_place() -> None:
    base = made.record(made.EAGER, [[10, 20, 40]] * 2)
    fast = made.record(made.CHANNELS_LAST, [[5, 10, 20]] * 2)
    backwards = replace(
        fast, runs=tuple(replace(run, slices=run.slices[::-1]) for run in fast.runs)
    )

    assert metrics.speedup(backwards, base).point == pytest.approx(2)


def test_turns_that_only_one_has_are_left_out() -> None:
    base = made.record(made.EAGER, [[10, 10, 10]] * 2)
    fast = made.record(made.CHANNELS_LAST, [[5]] * 2)

    assert metrics.speedup(fast, base).point == pytest.approx(2)
    assert metrics.speedup(base, fast).point == pytest.approx(0.5)


def test_a_noisy_speedup_has_a_wide_interval(eager, noisy) -> None:
    estimate = metrics.speedup(noisy, eager)

    assert estimate.point == pytest.approx(2)
    assert estimate.low < 1 < estimate.high


def test_no_speedup_without_a_common_ensemble(eager, elsewhere) -> None:
    assert metrics.speedup(elsewhere, eager) is None


def test_rounds_without_the_other_do_not_count(eager, twice_as_fast) -> None:
    lonely = replace(twice_as_fast.runs[0], ensemble="again")
    mixed = replace(twice_as_fast, runs=(lonely, *twice_as_fast.runs[1:]))

    assert metrics.speedup(mixed, eager).rounds == 2


def test_no_speedup_with_a_failed_record(eager, failed) -> None:
    assert metrics.speedup(failed, eager) is None
    assert metrics.speedup(eager, failed) is None
    assert metrics.speedup(eager, None) is None


@pytest.mark.parametrize("name", ["latency", "throughput", "spread", "compile_cold"])
def test_a_failed_record_has_no_timing_even_if_some_rounds_were_good(failed, name: str) -> None:
    partly = replace(failed, runs=made.record(made.BF16, [[1]], compile_cache=True).runs)

    assert metrics.metric(name).of(partly) is None


def test_nothing_measured_is_no_number_for_every_metric() -> None:
    empty = Record(made.EAGER, "", "")

    assert {metric.name: metric.of(empty) for metric in METRICS} == {
        metric.name: None for metric in METRICS
    }


def test_spread_is_that_of_the_widest_round() -> None:
    calm, wild = made.run(0, [10] * 4), made.run(1, [8, 10, 10, 20])
    one = Record(made.EAGER, "", "", runs=(calm, wild))

    # The samples of the wild round are 3 x 8, 6 x 10 and 3 x 20: quartiles 9.5, 10 and 12.5.
    assert metrics.spread(one).point == pytest.approx(0.3)


def test_first_calls_are_told_apart_by_the_compilers_cache() -> None:
    one = made.record(made.EAGER, [[10]] * 3, compile_cache=True)
    runs = (replace(one.runs[0], warmup_ns=(5_000_000_000, 1)), *one.runs[1:])
    one = replace(one, runs=runs)

    assert metrics.metric("compile_cold").of(one).point == pytest.approx(5)
    assert metrics.metric("compile_warm").of(one).point == pytest.approx(0.09)


def test_a_mode_that_does_not_compile_has_no_compile_time(eager) -> None:
    assert metrics.metric("compile_cold").of(eager) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("params", 61_706), ("macs", 3_400_000), ("flops", 6_800_000), ("peak_memory", 3 << 20),
     ("error", 0.0), ("top1_agreement", 1.0)],
)  # fmt: skip
def test_exact_metrics_are_read_off_the_record(eager, name: str, value: float) -> None:
    estimate = metrics.metric(name).of(eager)

    assert (estimate.point, estimate.low, estimate.high) == (value, value, value)


def of_images(rounds: Sequence[Check]) -> Record:
    """A record of a network that was given the user's pictures."""
    name = made.EAGER.replace("/eager", "-images=%2Fpictures/eager")
    runs = [made.run(number, [1], check=check) for number, check in enumerate(rounds)]
    return Record(name, "", "", runs=tuple(runs))


ALL = Check("ok", top1_agreement=0.9, top1_pictures=10, accuracy_top1=0.8, accuracy_top5=1.0)
FEW = Check("loose", top1_agreement=1.0, top1_pictures=32)


@pytest.mark.parametrize("rounds", [(ALL, FEW), (ALL, FEW, FEW)])
def test_agreement_and_accuracy_are_of_the_round_that_saw_every_picture(rounds) -> None:
    one = of_images(rounds)

    found = {name: metrics.metric(name).of(one) for name in
             ("top1_agreement", "top1_pictures", "accuracy_top1", "accuracy_top5")}  # fmt: skip

    assert [estimate.point for estimate in found.values()] == [0.9, 10, 0.8, 1.0]
    # Newcombe's method 3 for eight of ten.
    assert (found["accuracy_top1"].low, found["accuracy_top1"].high) == pytest.approx(
        (0.4902, 0.9433), abs=5e-5
    )
    assert one.status == "loose"


def test_without_pictures_of_the_users_the_worst_check_counts() -> None:
    runs = (made.run(0, [1], check=replace(ALL, accuracy_top1=None)), made.run(1, [1], check=FEW))
    one = Record(made.EAGER, "", "", runs=runs)

    assert metrics.metric("top1_agreement").of(one).point == 1.0
    assert metrics.metric("top1_pictures").of(one).point == 32
    assert metrics.metric("accuracy_top1").of(one) is None


def test_memory_is_told_apart_by_who_says_so() -> None:
    fields = {"cpu_peak_bytes": 1, "cpu_high_water_bytes": 2, "cuda_allocated_bytes": 3,
              "cuda_requested_bytes": 4, "cuda_reserved_bytes": 5}  # fmt: skip
    one = Record(made.EAGER, "", "", memory=Memory(**fields))
    names = ["peak_memory", "high_water", "cuda_memory", "cuda_requested", "cuda_reserved"]

    assert [metrics.metric(name).of(one).point for name in names] == [1, 2, 3, 4, 5]


def test_process_memory_is_the_largest_of_all_rounds() -> None:
    runs = tuple(made.run(i, [1], process_peak_bytes=peak) for i, peak in enumerate([5, 9, None]))

    assert metrics.metric("process_memory").of(Record("", "", "", runs=runs)).point == 9


def test_the_error_is_that_of_the_worst_run() -> None:
    checks = (Check("ok", 1e-7), Check("wrong", 0.5), Check("loose", 1e-3))
    runs = tuple(made.run(number, [1], check=check) for number, check in enumerate(checks))

    assert metrics.metric("error").of(Record("", "", "", runs=runs)).point == 0.5


def test_an_unknown_metric_comes_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="unknown metric 'latencies'; did you mean latency"):
        metrics.metric("latencies")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_says_its_unit_and_direction(metric) -> None:
    ending = {"seconds": "_s", "bytes": "_bytes", "rate": "_per_s"}.get(metric.kind, "")

    assert metric.better in {"lower", "higher", "none"}
    assert metric.column.endswith(ending)
    assert metric.meaning


def test_two_runs_of_one_round_are_one_round(eager: Record) -> None:
    twice = replace(eager, runs=(*eager.runs, *eager.runs))

    assert metrics.latency(twice) == metrics.latency(eager)


def with_slices(record: Record, **fields: Any) -> Record:
    """A record whose every slice has further fields."""
    runs = [
        replace(run, slices=Slices.of(replace(one, **fields) for one in run.slices))
        for run in record.runs
    ]
    return replace(record, runs=tuple(runs))


def test_a_stolen_machine_is_a_disturbed_measurement() -> None:
    record = made.record(made.EAGER, [[10.0] * 3] * 3)
    # Three samples of two calls of 10 ms each are 60 ms.
    stolen = with_slices(record, steal_ns=3_000_000)

    assert metrics.steal(stolen).point == pytest.approx(0.05)
    assert metrics.quality(stolen) == "disturbed (the hypervisor took 5 % of the machine)"
    assert metrics.quality(with_slices(record, steal_ns=0)) == "clean"


def test_a_machine_that_changes_its_speed_is_noisy_even_if_the_network_is_not() -> None:
    record = made.record(made.EAGER, [[10.0] * 3] * 3)
    probes = [{"matmul": 100, "python": 50}, {"matmul": 130, "python": 50}, {"matmul": 110}]
    runs = [
        replace(run, slices=Slices.of(replace(one, canaries_ns=kept) for one in run.slices))
        for run, kept in zip(record.runs, probes, strict=True)
    ]
    changed = replace(record, runs=tuple(runs))

    assert metrics.machine_drift(changed) == pytest.approx(0.3)
    assert "speed changed by 30 %" in metrics.quality(changed)


def on_gpu(*rounds: Sequence[dict[str, Any]]) -> Record:
    """10 ms in every slice, beside which the driver said something."""
    record = made.record(
        "lenet/inference-b8-3x32x32/eager/cuda:0-t2", [[10.0] * len(rounds[0])] * len(rounds)
    )
    runs = [
        replace(run, slices=Slices.of(
            replace(one, device=state) for one, state in zip(run.slices, states, strict=True)
        ))
        for run, states in zip(record.runs, rounds, strict=True)
    ]  # fmt: skip
    return replace(record, runs=tuple(runs))


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([{"sm_mhz": 1980, "throttle": []}] * 4, "clean"),
        # At its power limit a GPU may be wherever the network runs.
        ([{"sm_mhz": 1980, "throttle": ["power_cap", "idle"]}] * 4, "clean"),
        ([{"throttle": ["thermal_software"]}, *[{"throttle": []}] * 3],
         "disturbed (the GPU was slowed down by heat in 25 % of the slices)"),
        ([{"throttle": ["thermal_hardware", "power_brake"]}] * 4,
         "disturbed (the GPU was slowed down by heat and its power supply in 100 % of the slices)"),
        ([{"others_busy": 0.4}, {"others_busy": 0.2}, {}, {}],
         "disturbed (other processes kept the GPU busy 30 % of the time)"),
        ([{"others_busy": 0.01}] * 4, "clean"),
        ([{}] * 4, "clean"),
        # What a file holds may be anything.
        ([{"throttle": "hot", "others_busy": "x", "sm_mhz": None}] * 4, "clean"),
    ],
)  # fmt: skip
def test_a_gpu_that_is_slowed_down_or_shared_is_a_disturbed_measurement(states, said: str) -> None:
    assert metrics.quality(on_gpu(states, states)) == said


def test_a_clock_that_changes_makes_times_noisy_even_if_they_agree() -> None:
    fast, slow = [{"sm_mhz": 1980}] * 3, [{"sm_mhz": 1500}] * 3

    said = "noisy (the GPU's clock went from 1500 to 1980 MHz)"
    assert metrics.quality(on_gpu(fast, slow)) == said
    assert metrics.quality(on_gpu([fast[0], slow[0], slow[0]])) == said
    # One slice of many says nothing about a round.
    assert metrics.quality(on_gpu([slow[0], *fast[1:]], fast)) == "clean"


@pytest.mark.parametrize(
    ("device_ns", "share", "bound"),
    [(9_000_000, 0.9, False), (1_000_000, 0.1, True), (12_000_000, 1.0, False),
     (None, None, False)],
)  # fmt: skip
def test_a_gpu_that_waits_for_its_host_is_launch_bound(device_ns, share, bound: bool) -> None:
    record = replace(on_gpu([{}], [{}]), structure=Structure(device_ns=device_ns))
    found = metrics.metric("gpu_busy").of(record)

    assert (found and found.point) == (share and pytest.approx(share))
    assert metrics.gpu.launch_bound(record) is bound


def test_the_time_of_kernels_makes_no_other_structure() -> None:
    assert Structure(device_ns=1) == Structure(device_ns=2) == Structure()


def test_faults_are_counted_per_call() -> None:
    record = with_slices(made.record(made.EAGER, [[10.0, 10.0]]), minor_faults=12)

    assert metrics.faults(record).point == pytest.approx(2.0)


def test_a_compiled_mode_pays_when_it_has_saved_what_it_cost() -> None:
    eager = made.record(made.EAGER, [[20.0] * 3] * 3)
    name = made.EAGER.replace("/eager/", "/compile/")
    cold = (10_090_000_000, 1)
    runs = [
        made.run(number, [10.0] * 3, f"e-{number}", warmup_ns=cold,
                 compile_cache="warm" if number else "cold")
        for number in range(3)
    ]  # fmt: skip
    compiled = replace(made.record(name, [[10.0] * 3] * 3), runs=tuple(runs))

    # The first call takes 10 s more than eager's own; every further one saves 10 ms.
    assert metrics.break_even(compiled, eager).point == pytest.approx(1000)
    assert metrics.break_even(eager, eager) is None


def test_a_compiled_mode_that_may_not_be_faster_never_pays_for_sure() -> None:
    eager = made.record(made.EAGER, [[20.0] * 3, [20.0] * 3, [20.0] * 3])
    name = made.EAGER.replace("/eager/", "/compile/")
    slower = made.record(name, [[15.0] * 3, [30.0] * 3, [16.0] * 3], compile_cache="cold")

    assert metrics.break_even(slower, eager) is None


def test_what_pays_by_itself_need_not_pay_as_one_of_several() -> None:
    eager = made.record(made.EAGER, [[10.0] * 3] * 3)
    eager = replace(eager, runs=tuple(replace(one, warmup_ns=(10**7,)) for one in eager.runs))
    name = made.EAGER.replace("/eager/", "/compile/")
    lucky = made.record(name, [[8.0] * 3, [8.5] * 3, [9.0] * 3], compile_cache="cold")
    sure = made.record(name, [[5.0] * 3, [5.1] * 3, [4.9] * 3], compile_cache="cold")

    assert metrics.speedup(lucky, eager, 4).low < 1 < metrics.speedup(lucky, eager).low
    assert metrics.break_even(lucky, eager) is not None
    assert metrics.break_even(lucky, eager, 4) is None
    alone, shared = metrics.break_even(sure, eager), metrics.break_even(sure, eager, 4)
    assert alone.point == shared.point
    assert shared.low < alone.low < alone.high < shared.high


def test_parts_of_a_step_are_medians_over_rounds_of_medians() -> None:
    record = made.record(made.EAGER, [[1.0], [1.0]])
    runs = [
        replace(run, parts=(Part("backward", (1_000, 9_000, 3_000 * (1 + run.round))),))
        for run in record.runs
    ]

    found = metrics.metric("backward").of(replace(record, runs=tuple(runs)))

    assert found.point == pytest.approx((3_000 + 6_000) / 2 / 1e9)
    assert metrics.metric("forward").of(record) is None


def test_structure_is_counted_and_nothing_is_made_of_nothing() -> None:
    record = made.record(made.EAGER, [[1.0]])
    structure = Structure(graphs=2, graph_breaks={"print": 1, "item": 2}, recompiles=0, reorders=4)
    known = replace(record, structure=structure)

    values = [
        metrics.metric(name).of(known).point for name in ("graphs", "graph_breaks", "reorders")
    ]
    assert values == [2, 3, 4]
    assert metrics.metric("allocations").of(known) is None
    assert metrics.metric("graph_breaks").of(replace(record, structure=Structure())) is None
    assert metrics.metric("graphs").of(record) is None


def test_the_two_memory_methods_stand_beside_their_difference() -> None:
    memory = Memory(cpu_peak_bytes=100, cpu_high_water_bytes=98)
    record = replace(made.record(made.EAGER, [[1.0]]), memory=memory)

    assert metrics.metric("memory_methods_apart").of(record).point == pytest.approx(-0.02)


ALONE = made.EAGER.replace("cpu-t2", "cpu-t1")


def beside(name: str, share: float, rounds: int = 3) -> Record:
    """A record of 10 ms of computing per call, and as much waiting as makes this share."""
    wall = round(1e7 / (1 - share))
    slices = Slices.of(
        Slice(turn, 1, (wall,) * 3, cpu_ns=3 * 10**7, run_delay_ns=3 * (wall - 10**7))
        for turn in range(3)
    )
    one = made.record(name, [[10]] * rounds)
    return replace(one, runs=tuple(replace(run, slices=slices) for run in one.runs))


def test_nobody_waits_longer_than_there_is_time() -> None:
    run = made.run(0, [10.0])
    late = replace(run, slices=Slices.of([Slice(0, 1, (10**7,), run_delay_ns=12 * 10**6)]))

    found = metrics.run_delay(replace(made.record(ALONE, [[10]]), runs=(late,)))

    assert found.point == 1


def test_the_awake_latency_is_the_time_without_waiting() -> None:
    one = beside(ALONE, 0.5)

    assert metrics.latency(one).point == pytest.approx(0.02)
    assert metrics.latency_awake(one).point == pytest.approx(0.01)
    assert metrics.cpu_time(one).point == pytest.approx(0.01)
    assert metrics.latency_awake(one).rounds == 3


def test_a_disturbed_row_of_one_thread_shows_its_awake_latency_and_a_clean_one_does_not() -> None:
    disturbed, clean = beside(ALONE, 0.5), beside(ALONE, 0.01)

    assert isinstance(metrics.shown(disturbed), metrics.Awake)
    assert metrics.shown(disturbed).point == metrics.latency_awake(disturbed).point
    assert metrics.shown(clean) == metrics.latency(clean)


@pytest.mark.parametrize("name", [made.EAGER, ALONE.replace("cpu-t1", "cuda:0-t1")])
def test_waiting_is_not_taken_out_of_several_threads_or_of_a_gpu(name: str) -> None:
    one = beside(name, 0.5)

    assert metrics.latency_awake(one) is None
    assert metrics.shown(one) == metrics.latency(one)
    assert metrics.cpu_time(one) is not None


def test_where_waiting_was_not_counted_there_is_no_awake_latency() -> None:
    one = made.record(ALONE, [[10, 10]] * 3)

    assert metrics.latency_awake(one) is None
    assert metrics.cpu_time(one) is None
    assert metrics.latency_awake(made.failed(ALONE)) is None


def test_two_rounds_far_apart_are_too_few_and_not_a_share_of_billions() -> None:
    said = metrics.quality(made.record(made.EAGER, [[10], [100]]))

    assert said == "noisy (2 rounds: too few)"
