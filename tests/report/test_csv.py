from __future__ import annotations

import csv
import io

import pytest

from cnnbench.inert import visible
from cnnbench.report import csv as format_csv
from cnnbench.report.table import Column, Table, tidy
from cnnbench.stats import Estimate


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_tidy_table_looks_like_the_golden_file(found, golden) -> None:
    golden("tidy.csv", format_csv.render(tidy(found)))


def test_numbers_are_not_rounded_and_fit_together(found) -> None:
    good = [row for row in rows(format_csv.render(tidy(found))) if row["status"] == "ok"]

    assert len(good) == 3
    for row in good:
        time, rate = float(row["latency_median_s"]), float(row["throughput_per_s"])
        assert rate * time == pytest.approx(int(row["batch"]), rel=1e-12)
        assert int(row["flops"]) == 2 * int(row["macs"])


def test_what_was_not_measured_is_empty(found) -> None:
    failed = rows(format_csv.render(tidy(found)))[2]

    assert (failed["latency_median_s"], failed["cuda_peak_bytes"]) == ("", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "::", "  ::"])
def test_no_text_is_a_formula_or_a_command_of_a_ci_system(start: str) -> None:
    text = format_csv.render(Table((Column("a", "a"),), ((f"{start}cmd()",),)))

    assert rows(text)[0]["a"] == f"'{start}cmd()"


def test_a_row_is_a_line_without_characters_that_are_obeyed() -> None:
    value = "a\x1b[31m\n::error::\r\t\u202eb\u2028\ud800é"
    text = format_csv.render(Table((Column("a", "a"),), ((value,),)))

    shown = r"a\x1b[31m\n::error::\r\t\u202eb\u2028\ud800é"
    assert text == f"a\r\n{shown}\r\n"
    assert shown.replace("é", r"\xe9").encode().decode("unicode_escape") == value


def test_negative_numbers_stay_numbers() -> None:
    text = format_csv.render(Table((Column("a", "a", "number"),), ((-1.5,), (Estimate(-2.0),))))

    assert text == "a\r\n-1.5\r\n-2.0\r\n"


def test_hostile_text_reads_back_with_escapes(hostile_entries) -> None:
    (row,) = rows(format_csv.render(tidy(hostile_entries)))

    assert row["model"].startswith("'=cmd")
    assert row["notes"] == visible(hostile_entries[0].record.notes[0])
    assert row["error"].endswith(visible(hostile_entries[0].record.failure.message))
