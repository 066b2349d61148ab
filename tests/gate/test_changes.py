from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cnnbench import gate, store
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable
from cnnbench.facts import Algorithm, Ceilings
from cnnbench.gate import Side
from cnnbench.gate.changes import of_pairs
from cnnbench.metrics import METRICS
from cnnbench.record import Record
from cnnbench.slices import Slice, Slices
from tests import made
from tests.report.test_times import EAGER, waiting


def side(*records: Record, name: str = "a", **more: object) -> Side:
    return Side(name, made.ENVIRONMENT, {one.id: one for one in records}, **more)


def row(old: Record, new: Record, **more: object) -> gate.Row:
    (only,) = gate.compare(side(old, **more), side(new, name="b")).rows
    return only


def test_runs_of_the_same_ensembles_are_paired() -> None:
    # The machine is twice as slow in the second round; the ratio does not know.
    old = made.record(made.EAGER, [[10, 10], [20, 20], [10, 10]])
    new = made.record(made.EAGER, [[11, 11], [22, 22], [11, 11]])

    change = row(old, new).change("latency")

    assert (change.how, len(change.pairs)) == ("paired", 3)
    assert change.ratio.point == pytest.approx(1.1)
    assert change.ratio.high == pytest.approx(1.1)
    assert change.drift == 0


def test_throughput_is_paired_the_other_way_round() -> None:
    old, new = (made.record(made.EAGER, [[one] * 2] * 3) for one in (10, 12.5))

    change = row(old, new).change("throughput")

    assert change.how == "paired"
    assert change.ratio.point == pytest.approx(0.8)


def test_work_over_time_is_paired_like_the_time_and_knows_that_the_work_changed() -> None:
    old, new = (made.record(made.EAGER, [[one] * 2, [2 * one] * 2] * 2) for one in (10, 12.5))
    half = replace(new, cost=replace(made.COST, macs=made.COST.macs // 2))

    same, less = (row(old, one).change("effective_flops") for one in (new, half))

    assert (same.how, len(same.pairs)) == ("paired", 4)
    assert same.ratio.point == pytest.approx(0.8)
    assert less.ratio.point == pytest.approx(0.4)
    assert less.ratio.low == pytest.approx(less.ratio.high)  # the rounds agree


@pytest.mark.parametrize("name", ["effective_flops", "executed_flops", "roof_share"])
def test_what_follows_from_a_time_has_its_interval_apart(name: str) -> None:
    ceilings = Ceilings({"float32 conv": 1e12}, {"1000": 1e12}, 1000, 2)
    algorithm = Algorithm("direct", 3_400_000, 1000, None, None)
    more = {"ceilings": (ceilings,), "algorithm": algorithm}
    old = made.record(made.EAGER, [[10], [11], [12]], ensemble="x", **more)
    new = made.record(made.EAGER, [[20], [21], [26]], ensemble="y", **more)

    change, time = row(old, new).change(name), row(old, new).change("latency")

    assert change.how == "apart"
    assert change.ratio.point == pytest.approx(1 / time.ratio.point)
    assert change.shift.error == pytest.approx(time.shift.error)


def test_what_describes_a_measurement_is_no_exact_change() -> None:
    loud = made.record(made.EAGER, [[10, 14], [10, 14]])
    calm = made.record(made.EAGER, [[10, 11], [10, 11]])

    change = row(calm, loud).change("spread")

    assert change.how == "described"
    assert (change.ratio.low, change.ratio.high) == (None, None)
    found = [one for one in METRICS if one.nature == "described"]
    assert {one.name for one in found} >= {"spread", "run_delay", "steal", "others", "faults"}


def test_no_work_at_all_is_compared_all_the_same() -> None:
    nothing = replace(made.COST, macs=0)
    old, new = (made.record(made.EAGER, [[one]] * 2, cost=nothing) for one in (10, 20))

    assert row(old, new).change("effective_flops").ratio.point == 1


def test_other_runs_are_compared_apart_with_welchs_interval_and_drift() -> None:
    old = made.record(made.EAGER, [[10], [11], [12], [10], [11]], ensemble="x")
    new = made.record(made.EAGER, [[20], [21], [26]], ensemble="y")

    change = row(old, new).change("latency")

    # By hand: logs of the rounds; variances over n; Welch-Satterthwaite; t(0.99, df rounded down).
    a, b = [math.log(v) for v in (10, 11, 12, 10, 11)], [math.log(v) for v in (20, 21, 26)]
    parts = [(_variance(v) / len(v), len(v) - 1) for v in (a, b)]
    total = sum(part for part, _ in parts)
    freedom = math.floor(total**2 / sum(part**2 / n for part, n in parts))
    assert change.how == "apart"
    assert change.shift.freedom == freedom
    assert change.shift.error == pytest.approx(math.sqrt(total), rel=1e-6)
    assert change.ratio.point == pytest.approx(21 / 11)
    assert change.drift == pytest.approx(3 * 0.05 * math.sqrt(2))


def _variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((one - mean) ** 2 for one in values) / (len(values) - 1)


def test_learnt_noise_and_sessions_replace_the_usual_drift() -> None:
    old, new = (made.record(made.EAGER, [[10], [11]], ensemble=name) for name in "xy")

    change = row(old, new, noise={made.EAGER: 0.01}, sessions={made.EAGER: 4}).change("latency")

    assert change.drift == pytest.approx(3 * 0.01 * math.sqrt(1 / 4 + 1))


def test_one_round_has_a_ratio_without_an_interval() -> None:
    old, new = (made.record(made.EAGER, [[one]], ensemble=f"{one}") for one in (10, 11))

    change = row(old, new).change("latency")

    assert change.ratio.point == pytest.approx(1.1)
    assert (change.ratio.low, change.shift.error) == (None, None)


def test_counts_and_bytes_are_exact() -> None:
    old = made.record(made.EAGER, [[10]])
    new = replace(old, cost=replace(made.COST, params=2 * made.COST.params))

    changes = {name: row(old, new).change(name) for name in ("params", "macs", "peak_memory")}

    assert {one.how for one in changes.values()} == {"exact"}
    assert [one.ratio.point for one in changes.values()] == [2, 1, 1]


def test_what_nobody_measured_is_no_change_and_what_one_measured_is_unknown() -> None:
    old = made.record(made.EAGER, [[10]])

    found = row(old, replace(old, memory=None))

    assert found.change("cuda_memory") is None
    assert found.change("peak_memory").how == "unknown"
    assert found.change("peak_memory").ratio is None


def test_nothing_over_nothing_is_the_same_and_something_over_nothing_has_no_ratio() -> None:
    old = made.record(made.EAGER, [[10]])
    new = replace(old, runs=(replace(old.runs[0], check=replace(old.runs[0].check, error=0.1)),))

    assert row(old, old).change("error").ratio.point == 1
    assert row(old, new).change("error").ratio is None


def test_missing_added_and_failed_are_rows(eager, same, failed) -> None:
    comparison = gate.compare(
        side(eager, same, made.record(made.BF16, [[1]])), side(eager, failed, name="b")
    )

    states = {one.spec: (one.state, one.reason) for one in comparison.rows}
    assert states == {
        made.EAGER: (None, ""),
        made.CHANNELS_LAST: ("missing", "not in b"),
        made.BF16: ("failed", "first call: ValueError: made up"),
    }
    assert [one.spec for one in comparison.common] == [made.EAGER, made.BF16]


def test_what_failed_before_and_works_now_is_added(eager, failed) -> None:
    now = made.record(made.BF16, [[1]])

    comparison = gate.compare(side(eager, failed), side(eager, now, name="b"))

    assert (comparison.rows[1].state, comparison.rows[1].reason) == (
        "added", "failed in a: ValueError: made up",
    )  # fmt: skip


def test_nothing_in_common_is_refused_with_an_example_of_each(eager, same) -> None:
    with pytest.raises(Incomparable, match=r"no spec in common.*one has lenet.*channels_last"):
        gate.compare(side(eager), side(same, name="b"))
    with pytest.raises(Incomparable, match="b is empty"):
        gate.compare(side(eager), side(name="b"))


def test_unlike_environments_say_which_facts_differ(eager) -> None:
    hard = {**made.ENVIRONMENT.hard, "torch": {"version": "2.1"}, "cores_usable": 4, "new": [1, 2]}
    other = replace(side(eager, name="b"), environment=Environment(hard=hard))

    assert gate.compare(side(eager), other).unlike == (
        "cores_usable: 2 -> 4",
        "new: none -> 1 2",
        "torch.version: 2.0 -> 2.1",
    )


def test_a_disturbed_record_carries_it_along() -> None:
    calm = made.record(made.EAGER, [[10]] * 3, ensemble="x")
    late = Slices.of([Slice(0, 1, (10_000_000,), run_delay_ns=5_000_000)])
    runs = tuple(replace(run, slices=late, ensemble=f"y{n}") for n, run in enumerate(calm.runs))

    assert row(calm, replace(calm, runs=runs)).change("latency").disturbed.startswith("disturbed")


def test_the_geometric_mean_is_over_rows() -> None:
    old = [made.record(name, [[10, 10]] * 3) for name in (made.EAGER, made.BF16)]
    new = [made.record(made.EAGER, [[20, 20]] * 3), made.record(made.BF16, [[5, 5]] * 3)]

    mean = gate.compare(side(*old), side(*new, name="b")).geometric_mean("latency")

    assert mean.point == pytest.approx(1)
    assert (mean.low, mean.high) == (pytest.approx(1), pytest.approx(1))


def test_drift_does_not_average_out_over_rows() -> None:
    names = (made.EAGER, made.BF16, made.CHANNELS_LAST)
    old, new = ([made.record(n, [[10]] * 3, ensemble=e) for n in names] for e in "xy")

    mean = gate.compare(side(*old), side(*new, name="b")).geometric_mean("latency")

    assert math.log(mean.high) == pytest.approx(3 * 0.05 * math.sqrt(2))


def test_a_mean_without_any_interval_is_a_point(eager) -> None:
    old, new = (made.record(made.EAGER, [[one]], ensemble=f"{one}") for one in (10, 11))

    mean = gate.compare(side(old), side(new, name="b")).geometric_mean("latency")

    assert (mean.point, mean.low) == (pytest.approx(1.1), None)
    assert gate.compare(side(old), side(new)).geometric_mean("cuda_memory") is None


def test_pairs_from_elsewhere_become_a_change() -> None:
    change = of_pairs("throughput", [math.log(1.25)] * 3)

    assert change.ratio.point == pytest.approx(0.8)
    assert (change.how, change.old) == ("paired", None)


def test_a_stored_run_is_a_side(tmp_path, eager) -> None:
    run = store.read(made.directory(tmp_path / "run", [eager]))

    assert list(gate.side_of(run).records) == [made.EAGER]
    assert gate.side_of(run).name == "run"


def test_throughput_agrees_with_latency_where_waiting_is_taken_out() -> None:
    old, new = waiting(EAGER, 0.0), waiting(EAGER, 0.5)
    apart = replace(new, runs=tuple(replace(run, ensemble=f"y{run.round}") for run in new.runs))

    found = row(old, apart)
    time, rate = found.change("latency"), found.change("throughput")

    assert (time.ratio.point, rate.ratio.point) == pytest.approx((1, 1), rel=1e-4)
    assert [one.point for one in rate.shown] == pytest.approx([800, 800], rel=1e-4)
    assert rate.new.point == pytest.approx(400, rel=1e-4)
