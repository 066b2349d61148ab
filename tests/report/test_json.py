from __future__ import annotations

import json

import pytest

from cnnbench.errors import UnknownName
from cnnbench.report import FORMATS, render
from cnnbench.report.json import render as to_json
from cnnbench.report.table import Table, summary, tidy


def test_a_tidy_table_looks_like_the_golden_file(found, golden) -> None:
    golden("tidy.json", to_json(tidy(found)))


def test_rows_are_objects_with_the_names_of_the_columns(found) -> None:
    table = tidy(found)

    rows = json.loads(to_json(table))

    assert [tuple(row.values()) for row in rows] == list(table.rows)
    assert all(list(row) == [column.name for column in table.columns] for row in rows)


def test_what_was_not_measured_is_null(found) -> None:
    assert json.loads(to_json(tidy(found)))[2]["latency_median_s"] is None


def test_an_interval_stands_beside_its_point(every_kind) -> None:
    rows = json.loads(to_json(every_kind))

    assert rows[2]["seconds"] == {"point": 2.0, "low": 1.5, "high": 2.5}


def test_hostile_text_reads_back_as_it_was(hostile) -> None:
    assert json.loads(to_json(hostile))[0]["name"] == hostile.rows[0][0]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_table(name: str, found, every_kind, hostile) -> None:
    for table in (tidy(found), summary(found), every_kind, hostile, tidy([]), Table((), ())):
        assert isinstance(render(table, name), str)


def test_an_unknown_format_comes_with_the_closest(every_kind) -> None:
    with pytest.raises(UnknownName, match="unknown format 'markdwon'; did you mean markdown"):
        render(every_kind, "markdwon")
