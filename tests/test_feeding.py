"""What a pipeline gives against what a network needs, and epochs: arithmetic on made records."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import feeding, stats, store
from cnnbench.record import Part
from cnnbench.report import epochs
from cnnbench.stats import Estimate
from tests import made

NETWORK = "lenet/training-b10-3x32x32/eager/cpu-t1"
PIPELINE = "input:cifar-train/inference-b10-3x32x32{}/eager/cpu-t1"
ALONE = PIPELINE.format("")
WORKED = PIPELINE.format("-workers=1")


def measured(name: str, *rounds: float):
    """A record with rounds of so many milliseconds per call."""
    return made.record(name, [[one] * 3 for one in rounds])


def test_a_network_is_fed_by_what_makes_its_shape() -> None:
    network, other = measured(NETWORK, 10, 10), measured(made.EAGER.replace("32", "64"), 10, 10)
    mnist = measured("input:mnist/inference-b10-1x28x28/eager/cpu-t1", 1, 1)
    single = measured("input:flip/inference-b10-3x224x224/eager/cpu-t1", 1, 1)
    failed = made.failed(ALONE)

    found = feeding.feedings([network, other, measured(WORKED, 1, 1), mnist, single, failed])

    assert [(one.network.id, one.pipeline.id) for one in found] == [(NETWORK, WORKED)]


@pytest.mark.parametrize(
    ("batches", "verdict", "processes"),
    [
        ((5, 5.1, 4.9), "enough", (1, 1)),
        ((25, 25.1, 24.9), "short", (3, 3)),
        ((10, 11, 9), "unclear", None),
        ((5,), "unclear", None),
    ],
)
def test_the_interval_of_the_ratio_decides(batches, verdict, processes) -> None:
    steps = (10, 10.1, 9.9)[: len(batches)]

    (one,) = feeding.feedings([measured(NETWORK, *steps), measured(ALONE, *batches)])

    assert one.verdict == verdict
    assert one.ratio.point == pytest.approx(10 / stats.median(batches))
    if processes is not None:
        assert one.processes == processes
    elif len(batches) == 1:
        assert one.processes is None


@given(
    needs=st.floats(1, 1e6), gives=st.floats(1, 1e6),
    widths=st.tuples(st.floats(1.001, 2), st.floats(1.001, 2)), rounds=st.integers(2, 9),
)  # fmt: skip
def test_the_interval_of_a_ratio_holds_it_and_is_wider_than_each_of_two(
    needs: float, gives: float, widths: tuple[float, float], rounds: int
) -> None:
    a, b = (
        Estimate(point, point / width, point * width, rounds)
        for point, width in zip((needs, gives), widths, strict=True)
    )

    found = feeding.ratio(a, b)

    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.point * (1 + 1e-9)
    assert found.high >= found.point * (1 - 1e-9)
    # Degrees of freedom add up, so quantiles may shrink, but errors add in squares.
    narrow = stats.t_quantile(0.975, 2 * (rounds - 1)) / stats.t_quantile(0.975, rounds - 1)
    assert math.log(found.high / found.low) >= 2 * narrow * math.log(max(widths)) * (1 - 1e-9)


def test_without_workers_the_times_of_step_and_batch_add_up() -> None:
    network, pipeline = measured(NETWORK, 10, 10, 10), measured(ALONE, 5, 5, 5)

    found = feeding.epoch(network, pipeline, 95, 1)

    assert found.steps == 10
    assert found.seconds is not None
    assert found.seconds.point == pytest.approx(10 * 0.015)
    assert found.limit == feeding.IN_TURN


def test_the_sums_interval_is_carried_through() -> None:
    network, pipeline = measured(NETWORK, 9, 10, 11), measured(ALONE, 4, 5, 6)

    found = feeding.epoch(network, pipeline, 1000, 1).seconds

    assert found == stats.total([[0.9, 1.0, 1.1], [0.4, 0.5, 0.6]])


@pytest.mark.parametrize(
    ("batch", "point", "limit"), [(5, 0.1, feeding.STEP), (40, 0.4, feeding.INPUT)]
)
def test_with_workers_the_slower_of_both_decides(batch, point, limit) -> None:
    network, pipeline = measured(NETWORK, 10, 10), measured(WORKED, batch, batch)

    found = feeding.epoch(network, pipeline, 100, 2)

    assert found.seconds is not None
    assert found.seconds.point == pytest.approx(point)
    assert found.limit == limit


def test_overlapping_times_take_the_larger_ends() -> None:
    network, pipeline = measured(NETWORK, 10, 10.1, 9.9), measured(WORKED, 8, 9.8, 12)
    alone = feeding.epoch(network, None, 100, 2).seconds

    found = feeding.epoch(network, pipeline, 100, 2).seconds

    assert found is not None
    assert alone is not None
    assert found.point == alone.point
    assert found.low == alone.low
    assert found.high > alone.high


def test_nothing_follows_where_workers_would_take_cores_from_the_network() -> None:
    network, pipeline = measured(NETWORK, 10, 10), measured(WORKED, 5, 5)

    assert feeding.epoch(network, pipeline, 100, 1) == feeding.Epoch(10, None, feeding.CROWDED)
    assert feeding.epoch(network, pipeline, 100, None).seconds is not None


def test_a_pipeline_of_another_batch_counts_by_the_picture() -> None:
    network = measured(NETWORK, 10, 10)
    pipeline = measured(ALONE.replace("b10", "b40"), 20, 20)

    found = feeding.epoch(network, pipeline, 100, 2).seconds

    assert found is not None
    assert found.point == pytest.approx(10 * (0.010 + 0.005))


def test_a_part_that_was_never_timed_has_no_share() -> None:
    parts = (Part("wrap", (10, 10)), Part("flip", ()))
    record = measured(ALONE, 1)
    timed = replace(record, runs=tuple(replace(run, parts=parts) for run in record.runs))

    assert feeding.shares(timed) == {"wrap": 1.0}


def test_shares_of_a_recipe_add_up_to_one_and_ignore_a_batch_that_waited() -> None:
    parts = (Part("wrap", (10, 10, 900)), Part("flip", (20, 20, 20)), Part("rest", (10, 10, 10)))
    record = measured(ALONE, 1, 1)
    timed = replace(record, runs=tuple(replace(run, parts=parts) for run in record.runs))

    found = feeding.shares(timed)

    assert found == {"wrap": 0.25, "flip": 0.5, "rest": 0.25}
    assert feeding.shares(record) == {}
    assert feeding.shares(measured(NETWORK, 1)) == {}


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_sum_on_a_gpu_is_said_to_be_the_most(tmp_path: Path, device: str) -> None:
    records = [measured(name.replace("cpu", device), 5, 5) for name in (NETWORK, ALONE)]
    run = store.read(made.directory(tmp_path, records))

    table = epochs.to_table([run], 100, people=True)

    assert len([one for one in table.notes if one.startswith("sum:")]) == 1
    assert any("a sum is the most" in one for one in table.notes) == (device != "cpu")
