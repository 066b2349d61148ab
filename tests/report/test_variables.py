"""Records as data: the dictionary is true of every column, and files give every value back."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.errors import Unsupported
from cnnbench.metrics import METRICS
from cnnbench.report.table import tidy
from cnnbench.report.variables import (
    DICTIONARY,
    ROWS,
    TABLES,
    explained,
    frames,
    records_of,
    written,
)
from cnnbench.report.variables import tidy as tidy_variables
from cnnbench.report.variables.rows import values
from cnnbench.report.variables.variable import Variable, plain
from tests import made

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.store import StoredRun

# Nothing that a text of a record can hold is lost on its way.
ODD = 'a, "b"; c\'s\ttab\nline two\r\n=1+1, ünï'

# With an argument that is q, a comma, a quotation mark and a line break.
NAMED = (
    "a.b:c?x=%22q%2C%5C%22%5Cn%22/training-adam-b2-3x8x8-regions=4/channels_last+amp=bf16/cpu-t1"
)


@pytest.fixture
def run(tmp_path: Path, eager, twice_as_fast, failed) -> StoredRun:
    odd = replace(made.failed(f"{made.WORKLOAD}/bf16/cpu-t2", ODD), notes=(ODD,))
    layer = made.record("conv:k4-3x3-p1/inference-b1-3x8x8/eager/cpu-t1", [[1.5]])
    named = made.record(NAMED, [[2, 3], [4, 5]])
    records = [eager, twice_as_fast, failed, odd, layer, named]
    return store.read(made.directory(tmp_path / "run", records))


def rows_of(run: StoredRun, table: str) -> list[object]:
    return list(ROWS[table](records_of([run])))


def test_the_dictionary_says_all_of_every_column() -> None:
    for table, some in TABLES.items():
        names = [one.name for one in some]
        assert len(set(names)) == len(names), table
        for one in some:
            assert all((one.name, one.type, one.meaning, one.source, one.empty)), one.name
            assert (one.unit == "") == (one.type in {"text", "truth"}) or one.unit in {
                "pixels", "nanosecond", ""}, one.name  # fmt: skip
    assert [one.variable.name for one in explained() if one.table == "records"] == [
        one.name for one in TABLES["records"]
    ]
    assert {one.name for one in DICTIONARY} == {
        "table", "name", "type", "unit", "meaning", "source", "empty",
    }  # fmt: skip


def test_every_metric_says_where_it_comes_from() -> None:
    told = " ".join(names for names, _, _ in tidy_variables._METRICS).split()

    assert sorted(told) == sorted(metric.name for metric in METRICS)


def test_the_first_columns_are_those_of_the_csv_report() -> None:
    names = [column.name for column in tidy([]).columns]

    assert [one.name for one in TABLES["records"]][: len(names)] == names


def test_units_stand_in_the_names() -> None:
    ends = {"s": "_s", "byte": "_bytes", "J": "_j", "Hz": "_hz", "percent": "_percent"}
    for one in (*TABLES["records"], *TABLES["slices"]):
        if one.unit in ends:
            assert one.name.endswith(ends[one.unit]), one.name
        if one.name.endswith(("_bytes", "_s", "_j")) and one.unit not in ends:
            assert one.unit in {"1/s", "FLOP/s"}, one.name


def test_every_record_is_a_row_and_failed_ones_say_so(run: StoredRun) -> None:
    table = TABLES["records"]
    names = [one.name for one in table]
    rows = [dict(zip(names, row, strict=True)) for row in values(table, rows_of(run, "records"))]

    assert [row["spec"] for row in rows] == [one.id for one in run.records]
    assert [row["failed"] for row in rows] == [one.failure is not None for one in run.records]
    first, odd, layer, named = rows[0], rows[3], rows[4], rows[5]
    assert first["latency_median_s"] == pytest.approx(0.010)
    assert (first["macs"], first["params"]) == (made.COST.macs, made.COST.params)
    assert first["samples"] == 3 * first["slices"]
    assert (first["cpu"], first["cores_usable"], first["fake"]) == ("A Processor", 2, False)
    assert (odd["status"], odd["failure_message"], odd["notes"]) == ("failed", ODD, ODD)
    assert (odd["flaw"], odd["withheld"], odd["latency_median_s"]) == ("failed", True, None)
    assert (layer["source"], first["source"], named["source"]) == ("layer", "cnnbench", "user")
    assert (first["family"], first["year"], layer["family"]) == ("LeNet", 1998, None)
    assert json.loads(str(named["arguments"])) == {"x": 'q,"\n'}
    assert (named["regions"], first["regions"]) == (4, None)
    assert (named["mode_precision"], named["mode_memory_format"]) == ("amp=bf16", "channels_last")
    assert (first["mode_precision"], first["mode_compiler"]) == ("fp32", "eager")


def test_values_are_of_the_types_of_the_dictionary(run: StoredRun) -> None:
    kinds = {"text": str, "integer": int, "number": float, "truth": bool}
    for name, table in TABLES.items():
        for row in values(table, rows_of(run, name)):
            for one, value in zip(table, row, strict=True):
                assert value is None or type(value) is kinds[one.type], one.name


def test_csv_gives_every_value_back(run: StoredRun) -> None:
    for name, table in TABLES.items():
        text = "".join(written.as_csv(table, rows_of(run, name)))
        expected = list(values(table, rows_of(run, name)))

        header, *rows = csv.reader(io.StringIO(text, newline=""))

        assert header == [one.name for one in table]
        for row, wanted in zip(rows, expected, strict=True):
            for one, cell, value in zip(table, row, wanted, strict=True):
                assert read(cell, one) == (inert(value) if one.type == "text" else value), one.name


def read(cell: str, variable: Variable) -> object:
    reader = {"text": str, "integer": int, "number": float, "truth": lambda text: text == "true"}
    return reader[variable.type](cell) if cell else None


def inert(value: object) -> object:
    return written.cell(value) if isinstance(value, str) else value


@given(st.text(), st.text())
def test_any_text_survives_csv(one: str, other: str) -> None:
    table = [Variable(name, "text", "", "m", "s", "e", lambda row, at=at: row[at])
             for at, name in enumerate(("a", "b"))]  # fmt: skip

    rows = list(csv.reader(io.StringIO("".join(written.as_csv(table, [(one, other)])), newline="")))

    clean = [text.encode("utf8", "replace").decode("utf8") for text in (one, other)]
    assert rows == [["a", "b"], [inert(text) or "" for text in clean]]


def test_pandas_reads_the_csv_with_the_types_of_the_dictionary(run: StoredRun) -> None:
    table = TABLES["records"]
    dtypes = {"text": "string", "integer": "Int64", "number": "float64", "truth": "boolean"}
    text = "".join(written.as_csv(table, rows_of(run, "records")))

    data = pd.read_csv(io.StringIO(text), dtype={one.name: dtypes[one.type] for one in table})

    assert list(data["spec"]) == [one.id for one in run.records]
    assert list(data["failed"]) == [one.failure is not None for one in run.records]
    assert data["macs"].dropna().tolist()[0] == made.COST.macs


@pytest.mark.parametrize("name", TABLES)
def test_parquet_has_the_types_of_the_dictionary_and_every_value(run, tmp_path, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table, path = TABLES[name], tmp_path / "out.parquet"
    with path.open("wb") as file:
        written.write_parquet(table, rows_of(run, name), file)

    found = parquet.read_table(path)

    kinds = {"text": "string", "integer": "int64", "number": "double", "truth": "bool"}
    assert found.schema.names == [one.name for one in table]
    assert [str(one.type) for one in found.schema] == [kinds[one.type] for one in table]
    for one, field in zip(table, found.schema, strict=True):
        assert field.metadata[b"unit"].decode() == one.unit
        assert field.metadata[b"meaning"].decode() == one.meaning
    wanted = list(values(table, rows_of(run, name)))
    rows = [tuple(row[one.name] for one in table) for row in found.to_pylist()]
    assert rows == wanted
    data = pd.read_parquet(path)
    assert len(data) == len(wanted)
    assert str(data[table[0].name].iloc[0]) == wanted[0][0]


def test_parquet_is_written_in_row_groups(run: StoredRun, tmp_path: Path, monkeypatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(written, "PORTION", 4)
    with (tmp_path / "out.parquet").open("wb") as file:
        written.write_parquet(TABLES["records"], rows_of(run, "records"), file)

    found = parquet.ParquetFile(tmp_path / "out.parquet")

    groups = [found.metadata.row_group(one).num_rows for one in range(found.num_row_groups)]
    assert groups == [4, 2]


def test_without_pyarrow_one_line_says_what_installs_it(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(Unsupported, match=r"pip install 'cnnbench\[parquet\]'"):
        written.refuse_parquet()


def test_a_frame_has_the_types_of_the_dictionary(run: StoredRun) -> None:
    data = frames.frame(TABLES["records"], records_of([run]))

    assert [str(data[name].dtype) for name in ("macs", "latency_median_s", "failed")] == [
        "Int64", "float64", "boolean",
    ]  # fmt: skip
    assert list(data["spec"]) == [one.id for one in run.records]
    assert data["optimizer"].tolist()[0] == ""
    assert len(frames.frame(TABLES["records"], [])) == 0


def test_a_value_of_another_type_is_an_error_of_ours() -> None:
    for kind, wrong in (("integer", 1.5), ("number", "1"), ("truth", 1), ("integer", True)):
        with pytest.raises(TypeError, match=r"x: \w+ is not of the dictionary's type"):
            Variable("x", kind, "", "m", "s", "e", lambda row: row).value(wrong)
    number = Variable("x", "number", "", "m", "s", "e", lambda row: row)
    integer = replace(number, type="integer")
    assert (number.value(math.inf), number.value(10**400)) == (None, None)
    assert (integer.value(2**70), integer.value(3.0)) == (None, 3)


def test_what_a_file_made_up_is_left_out(run: StoredRun) -> None:
    environment = replace(
        run.environment, hard={**run.environment.hard, "cpu": ["x"], "memory_gib": True},
        soft={"hypervisor": "maybe", "load": []},
    )  # fmt: skip
    odd = replace(
        run, environment=environment, manifest=replace(run.manifest, plan={"rounds": "5"})
    )
    names = [one.name for one in TABLES["records"]]

    row = next(values(TABLES["records"], records_of([odd])))

    found = dict(zip(names, row, strict=True))
    for name in ("cpu", "host_memory_bytes", "hypervisor", "load_1min", "plan_rounds"):
        assert found[name] is None, name


# What no figure of a file can be, although JSON as Python reads it has it.
NO_FIGURES = (math.nan, math.inf, -math.inf, 10**400, "abc", [], {}, True)


@pytest.mark.parametrize("odd", NO_FIGURES, ids=[f"{one}"[:9] for one in NO_FIGURES])
def test_figures_that_are_none_leave_their_cells_empty(run: StoredRun, odd: object) -> None:
    # A load or quota of another type than a number is refused where the environment is read.
    number = odd if isinstance(odd, int | float) else math.nan
    hard = {**run.environment.hard, "memory_gib": odd, "cpu_quota": number, "cores_total": odd}
    soft = {"load": [number]}
    bad = replace(
        run,
        environment=replace(run.environment, hard=hard, soft=soft),
        manifest=replace(run.manifest, plan={"budget": odd, "seed": odd}),
    )
    names = [one.name for one in TABLES["records"]]

    rows = list(values(TABLES["records"], records_of([bad])))

    found = dict(zip(names, rows[0], strict=True))
    for name in ("host_memory_bytes", "cpu_quota_cores", "cores_total", "load_1min",
                 "plan_budget_s", "plan_seed"):  # fmt: skip
        assert found[name] is None, name
    assert len(rows) == len(run.records)


@pytest.mark.parametrize(
    ("written_down", "cell"),
    [(5, None), ("abc", None), ({"avx2": 1}, None), (True, None), (["avx2", 5, "fma"], "avx2,fma")],
)
def test_instruction_sets_are_a_list_of_names(run: StoredRun, written_down, cell) -> None:
    hard = {**run.environment.hard, "instruction_sets": written_down, "memory_gib": 1e308}
    bad = replace(run, environment=replace(run.environment, hard=hard))
    names = [one.name for one in TABLES["records"]]

    found = dict(zip(names, next(values(TABLES["records"], records_of([bad]))), strict=True))

    assert (found["instruction_sets"], found["host_memory_bytes"]) == (cell, None)


def test_what_a_driver_said_may_be_beyond_every_number() -> None:
    assert (plain(10**400, int, float), plain(math.nan, int, float)) == (None, None)
    assert (plain(10**300, int, float), plain("a", str), plain(3.5, float)) == (10**300, "a", 3.5)
