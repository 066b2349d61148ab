from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.report import FORMATS, render
from cnnbench.report.scaling import NOT_YET, ending, saturation, scaling
from cnnbench.report.table import summary
from tests import made
from tests.report.conftest import named, of, trained


def at(batch: int, milliseconds: float, mode: str = "eager"):
    name = made.EAGER.replace("b8", f"b{batch}").replace("eager", mode)
    return made.record(name, [[milliseconds] * 3] * 2)


@pytest.fixture
def curves():
    """Eager saturates at 8; channels_last still grows; one batch of it has failed."""
    failed = made.failed(made.CHANNELS_LAST.replace("b8", "b32"))
    return of(
        at(1, 2), at(8, 8), at(32, 32), at(64, 66),
        at(1, 2, "channels_last"), at(8, 6, "channels_last"), failed, at(64, 32, "channels_last"),
    )  # fmt: skip


def cells(table) -> list[dict[str, object]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize(("kind", "name"), [("table", "scaling.txt"), ("markdown", "scaling.md"),
                                            ("csv", "scaling.csv")])  # fmt: skip
def test_a_curve_looks_like_the_golden_file(curves, golden, kind: str, name: str) -> None:
    golden(name, render(scaling(curves), kind))


def test_there_is_a_row_per_mode_with_its_throughput_by_batch(curves) -> None:
    eager, other = cells(scaling(curves))

    assert eager["throughput_per_s:1"] == pytest.approx(500)
    assert eager["throughput_per_s:32"] == pytest.approx(1000)
    assert (eager["best_per_s"], eager["saturates_at"]) == (pytest.approx(1000), 8)
    assert other["throughput_per_s:32"] is None
    assert (other["mode"], other["saturates_at"]) == ("channels_last", NOT_YET)


def test_what_failed_is_explained(curves) -> None:
    assert any("made up" in note for note in scaling(curves).notes)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ({1: 100, 2: 200, 4: 204}, 2),
        ({1: 100, 2: 200, 4: 211}, NOT_YET),
        ({1: 100, 2: 200, 4: 150}, 2),
        ({1: 100, 2: 96, 4: 97}, 1),
        ({1: 100, 2: 100 / 0.95}, NOT_YET),
        ({4: 98, 1: 95, 2: 96}, 1),
        ({8: 100}, None),
        ({}, None),
    ],
)
def test_where_it_saturates(curve, expected) -> None:
    assert saturation(curve) == expected


@given(st.dictionaries(st.integers(1, 512), st.floats(1, 1e6), min_size=2))
def test_a_saturated_batch_is_close_to_the_best_and_no_smaller_one_is(curve) -> None:
    found, best = saturation(curve), max(curve.values())

    if found == NOT_YET:
        assert curve[max(curve)] == best
        return
    assert curve[found] >= 0.95 * best
    assert all(rate < 0.95 * best for batch, rate in curve.items() if batch < found)


@pytest.mark.parametrize("kind", FORMATS)
def test_hostile_and_empty_input_is_rendered(hostile_entries, kind: str) -> None:
    assert render(scaling(hostile_entries), kind)
    assert render(scaling([]), kind)


def test_a_run_ends_with_its_curves_where_a_workload_has_two_batches(curves) -> None:
    (scaled,) = ending(curves)

    assert scaled.rows == scaling(curves).rows
    assert not set(scaled.captions) & set(summary(curves).captions)


def test_one_batch_or_other_networks_at_other_batches_make_no_curve() -> None:
    other = made.record(made.EAGER.replace("lenet", "nin").replace("b8", "b2"), [[1] * 3])

    assert ending(of(at(8, 1), at(8, 2, "channels_last"))) == ()
    assert ending(of(at(8, 1), other)) == ()
    assert ending(of()) == ()


def test_optimizers_have_a_curve_each() -> None:
    table = scaling(trained())

    assert [row[1] for row in table.rows] == ["momentum"] * 2 + ["adamw"] * 2
    assert table.columns[1].name == "optimizer"
    assert not any("None" in caption for caption in scaling(of(named("a", "eager", 1))).captions)
