from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cnnbench import axes
from cnnbench.errors import UnknownName
from cnnbench.report import render
from cnnbench.report.pivot import frame, pivot
from cnnbench.report.table import tidy
from tests import made
from tests.report.conftest import named, of, trained


def cells(table) -> list[dict[str, object]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def test_a_pivot_by_mode_looks_like_the_golden_file(found, golden) -> None:
    golden("pivot.md", render(pivot(found, "mode"), "markdown"))


def test_by_mode_there_is_a_row_per_workload_and_a_speedup_per_mode(found) -> None:
    rows = cells(pivot(found, "mode"))

    assert len(rows) == 2
    assert rows[0]["latency_median_s:eager"] == pytest.approx(0.010)
    assert rows[0]["latency_median_s:channels_last"] == pytest.approx(0.005)
    assert rows[0]["speedup:channels_last"] == pytest.approx(2)
    assert rows[0]["latency_median_s:amp=bf16"] is None
    assert rows[1]["latency_median_s:channels_last"] is None


def test_by_batch_modes_become_rows(found) -> None:
    rows = cells(pivot(found, "batch", "throughput"))

    assert {row["mode"] for row in rows} == {"eager", "channels_last", "amp=bf16"}
    eager = next(row for row in rows if row["mode"] == "eager")
    assert eager["throughput_per_s:8"] == pytest.approx(800)
    assert eager["throughput_per_s:1"] == pytest.approx(500)


@pytest.mark.parametrize("field", axes.pivots())
@pytest.mark.parametrize("kind", ["json", "csv", "markdown", "table"])
def test_every_field_pivots_in_every_format(found, field: str, kind: str) -> None:
    text = render(pivot(found, field, "params"), kind)

    assert "lenet" in text


def test_nothing_is_lost_when_a_metric_is_pivoted(found) -> None:
    numbers = [
        value
        for row in cells(pivot(found, "mode")) for name, value in row.items()
        if name.startswith("latency") and value is not None
    ]  # fmt: skip

    tidied = frame(found)["latency_median_s"].dropna()
    assert sorted(numbers) == sorted(tidied)


def test_equal_specs_of_two_runs_are_two_rows(eager) -> None:
    both = [*of(eager, run="a"), *of(replace(eager, notes=()), run="b")]

    assert [row["run"] for row in cells(pivot(both, "mode"))] == ["a", "b"]


def test_a_json_pivot_is_json(found) -> None:
    rows = json.loads(render(pivot(found, "mode"), "json"))

    assert rows[0]["model"] == "lenet"


def test_an_unknown_field_or_metric_comes_with_the_closest(found) -> None:
    with pytest.raises(UnknownName, match="unknown field 'modes'; did you mean mode"):
        pivot(found, "modes")
    with pytest.raises(UnknownName, match="unknown metric 'latncy'; did you mean latency"):
        pivot(found, "mode", "latncy")


def test_the_frame_is_the_tidy_table(found) -> None:
    data = frame(found)

    assert list(data.columns) == [column.name for column in tidy(found).columns]
    assert len(data) == len(found)
    assert data.loc[0, "spec"] == made.EAGER


def test_no_records_pivot_to_no_rows() -> None:
    assert pivot([], "mode").rows == ()


@pytest.mark.parametrize("field", ["mode", "batch"])
def test_optimizers_stand_apart(field: str) -> None:
    found = [*trained(), *of(named("lenet", "eager", 1))]

    table = pivot(found, field)

    numbers = [value for row in table.rows for value in row if isinstance(value, float)]
    latencies = [entry.estimates["latency"].point for entry in found]
    assert set(latencies) <= set(numbers)
    assert "optimizer" in [column.name for column in table.columns]
