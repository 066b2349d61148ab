from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench.errors import UnknownName
from cnnbench.record import Memory
from cnnbench.report import FORMATS, render
from cnnbench.report.overview import overview
from cnnbench.report.selection import Selection, fact, keep, known, view
from cnnbench.report.table import Column, Table, summary, tidy
from cnnbench.stats import Estimate
from tests import made
from tests.report.conftest import of
from tests.report.test_times import waiting


def column(table: Table, name: str) -> list[object]:
    index = [one.name for one in table.columns].index(name)
    return [row[index] for row in table.rows]


def test_an_empty_selection_is_the_whole_table(found) -> None:
    assert view(found, Selection(), people=True) == summary(found)
    assert view(found, Selection(), people=False) == tidy(found)


def test_columns_come_in_the_order_asked_for_and_none_is_dropped(found) -> None:
    wanted = Selection(columns=("mode", "model", "device"))

    table = view(found, wanted, people=True)

    assert [one.name for one in table.columns] == ["mode", "model", "device"]
    assert set(column(table, "device")) == {"cpu"}


def test_a_metric_goes_by_its_name_and_people_get_its_interval(found) -> None:
    wanted = Selection(columns=("latency", "peak_memory"))

    machine, people = (view(found, wanted, people=one) for one in (False, True))

    assert [one.name for one in machine.columns] == ["latency_median_s", "cpu_peak_bytes"]
    assert machine.rows[0][0] == pytest.approx(0.010)
    assert isinstance(people.rows[0][0], Estimate)


def test_rows_are_sorted_and_what_was_not_measured_comes_last(found) -> None:
    up = view(found, Selection(sort=("latency",)), people=False)
    down = view(found, Selection(sort=("-latency",)), people=False)

    assert column(up, "latency_median_s") == pytest.approx([0.002, 0.005, 0.010, None])
    assert column(down, "latency_median_s") == pytest.approx([0.010, 0.005, 0.002, None])


def test_the_first_name_decides_first(found) -> None:
    table = view(found, Selection(sort=("batch", "-mode")), people=False)

    assert column(table, "batch") == [1, 8, 8, 8]
    assert column(table, "mode") == ["eager", "eager", "channels_last", "amp=bf16"]


def test_groups_hold_together_in_the_order_of_their_first_row(found) -> None:
    table = view(found, Selection(group_by="mode"), people=True)

    assert table.groups == (("mode eager", 2), ("mode channels_last", 1), ("mode amp=bf16", 1))
    assert column(table, "mode") == ["eager", "eager", "channels_last", "amp=bf16"]
    assert table.parts[1] == ("mode channels_last", 2, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_every_row_of_groups_once(kind: str, found) -> None:
    table = view(found, Selection(group_by="batch"), people=False)

    text = render(table, kind)

    plain = text.replace("{-}", "-").replace(r"\_", "_")  # as LaTeX writes these two
    assert [plain.count(entry.record.id) for entry in found] == [1] * len(found)
    assert ("batch 8" in text) == (kind not in {"csv", "json"})


def test_a_filter_keeps_what_fits(found) -> None:
    assert [e.record.id for e in keep(found, "status=ok batch=8 latency<6ms")] == [
        made.CHANNELS_LAST
    ]
    assert keep(found, "") == found


def test_a_filter_that_nothing_fits_says_so(found) -> None:
    table = view(found, Selection(filter="batch=3"), people=True)

    assert table.rows == ()
    assert table.notes == ("no row of 4 matches the filter batch=3; nearest: batch 1",)
    for kind in ("table", "markdown", "latex"):
        assert "no row of 4 matches" in render(table, kind)


def test_what_the_catalogue_knows_may_be_asked_for(eager) -> None:
    (entry,) = of(eager)
    table = view([entry], Selection(columns=("family", "year", "top1")), people=True)

    assert table.rows == ((fact(entry, "family"), fact(entry, "year"), None),)
    assert fact(entry, "family") == "LeNet"


def test_unknown_columns_come_with_the_closest(found) -> None:
    for wanted in (
        Selection(columns=("latncy",)), Selection(sort=("-latncy",)), Selection(group_by="latncy"),
    ):  # fmt: skip
        with pytest.raises(UnknownName, match="unknown column 'latncy'; did you mean latency"):
            view(found, wanted, people=True)


def test_every_known_column_fills_every_format(found) -> None:
    names = tuple(known(people=True))

    table = view(found, Selection(columns=names), people=True)

    shown = [column.name for column in table.columns]
    assert set(shown) == {column.name for column, _ in known(people=True).values()}
    assert len(shown) == len(set(shown))
    assert all(isinstance(one, Column) for one in table.columns)
    for kind in FORMATS:
        assert "channels" in render(table, kind)


def test_memory_is_that_of_the_device_that_computes_wherever_it_is_named() -> None:
    cpu = made.record(made.EAGER, [[10]] * 3)
    gpu = replace(
        cpu,
        id=cpu.id.replace("cpu-t2", "cuda-t2"),
        memory=Memory(cpu_peak_bytes=1 << 20, cuda_allocated_bytes=8 << 20),
    )
    found = of(cpu, gpu)

    table = view(found, Selection(columns=("memory",)), people=False)

    assert [row[0] for row in table.rows] == [3 << 20, 8 << 20]
    assert [column.name for column in table.columns] == ["memory"]
    assert [one.record.id for one in keep(found, "memory<4MiB")] == [cpu.id]
    (shown,) = (one for one in overview(found, width=None).columns if one.title == "memory")
    assert shown.name == "memory"


def test_a_filter_means_the_latency_that_tables_show() -> None:
    found = of(waiting(made.EAGER.replace("cpu-t2", "cpu-t1"), 0.5))

    assert keep(found, "latency<15ms") == found
    assert keep(found, "latency>15ms") == []
    assert keep(found, "latency_median_s>15ms") == found  # by the clock
