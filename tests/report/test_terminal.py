from __future__ import annotations

import unicodedata

from cnnbench.report import terminal
from cnnbench.report.table import Column, Table, summary


def test_a_summary_looks_like_the_golden_file(found, golden) -> None:
    golden("summary.txt", terminal.render(summary(found)))


def test_every_kind_of_number_looks_like_the_golden_file(every_kind, golden) -> None:
    golden("kinds.txt", terminal.render(every_kind))


def test_columns_are_aligned(every_kind) -> None:
    lines = terminal.render(every_kind).splitlines()
    rule = next(line for line in lines if set(line) == {"-", " "})
    gaps = [index for index, character in enumerate(rule) if character == " "]
    start = lines.index(rule) + 1

    for line in [lines[start - 2], *lines[start : start + len(every_kind.rows)]]:
        padded = line.ljust(len(rule))
        assert {padded[gap] for gap in gaps} == {" "}


def test_nothing_that_a_terminal_obeys_comes_out(hostile, hostile_entries) -> None:
    for table in (hostile, summary(hostile_entries)):
        text = terminal.render(table)

        assert not [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]


def test_a_hostile_line_break_makes_no_new_line(hostile) -> None:
    lines = terminal.render(hostile).splitlines()

    # caption, blank, header, rule, row, blank, note
    assert len(lines) == 7


def test_a_long_name_is_never_cut() -> None:
    name = "n" * 300
    text = terminal.render(Table((Column("a", "a"), Column("b", "b")), ((name, "x"),)))

    assert name in text


def test_no_line_ends_in_a_blank(found) -> None:
    lines = terminal.render(summary(found)).splitlines()

    assert [line for line in lines if line != line.rstrip()] == []


def test_what_is_empty_in_every_row_is_not_said_of_every_row() -> None:
    columns = (Column("name", "name"), Column("by", "bound by"), Column("at", "processor"))
    table = Table(columns, (("one", "", "fast"), ("two", "", "fast")))

    text = " ".join(terminal.render(table, width=12).split())

    assert "in every row: processor fast" in text
    assert "bound by" not in text
    assert "in every row" not in terminal.render(
        Table(columns[:2], (("one", ""), ("two", ""))), width=8
    )


def test_columns_with_one_heading_are_counted_where_they_are_left_out() -> None:
    columns = (
        Column("name", "name"),
        *(Column(f"gain:{n}", "vs eager", detail=1) for n in range(3)),
        Column("last", "last"),
    )
    table = Table(columns, (("a", "1" * 30, "2" * 30, "3" * 30, "here"),))

    text = terminal.render(table, width=40)

    assert "here" in text
    assert text.endswith("not shown (--wide): vs eager (3 columns)\n")
