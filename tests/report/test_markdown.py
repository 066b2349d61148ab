from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.report import markdown
from cnnbench.report.table import Column, Table, summary


def test_a_summary_looks_like_the_golden_file(found, golden) -> None:
    golden("summary.md", markdown.render(summary(found)))


def cells(line: str) -> list[str]:
    """As GitHub cuts a row: at every pipe without a backslash."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]


def test_every_row_has_a_cell_per_column(found) -> None:
    table = summary(found)
    lines = [line for line in markdown.render(table).splitlines() if line.startswith("|")]

    assert len(lines) == 2 + len(table.rows)
    assert {len(cells(line)) for line in lines} == {len(table.columns)}


def test_numbers_are_aligned_to_the_right(found) -> None:
    table = summary(found)
    rule = markdown.render(table).splitlines()[len(table.captions) * 2 + 1]

    kinds = [column.kind for column in table.columns]
    assert cells(rule) == [":--" if kind == "text" else "--:" for kind in kinds]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>", "&lt;script&gt;"),
        ("a|b", "a\\|b"),
        ("a\n\n# b", "a \\# b"),
        ("[t](http://e)", "[t\\](http:<!-- -->//e)"),
        ("![t](http://e)", "![t\\](http:<!-- -->//e)"),
        ("`code`", "\\`code\\`"),
        ("*b* _i_ ~~s~~", "\\*b\\* \\_i\\_ \\~\\~s\\~\\~"),
        ("&lt;", "&amp;lt;"),
        ("a\\|b", "a\\\\\\|b"),
        ("channels_last", "channels_last"),
        ("10 ms [9 ms, 11 ms]", "10 ms [9 ms, 11 ms]"),
        ("a\x1b[31m\x00b\u202e", "a[31mb"),
        ("by @user, @org/team", "by @<!-- -->user, @<!-- -->org/team"),
        ("a@b.example", "a@<!-- -->b.example"),
        ("https://e.example www.e.example", "https:<!-- -->//e.example www<!-- -->.e.example"),
        ("mailto:a HTTP://e", "mailto:<!-- -->a HTTP:<!-- -->//e"),
        ("fixes #12, o/r#3, GH-4", "fixes \\#<!-- -->12, o/r\\#<!-- -->3, GH<!-- -->-4"),
        ("impl=mec@64x56x56-k64-3x3-p1", "impl=mec@64x56x56-k64-3x3-p1"),
        ("::error::x", "&#58;:error::x"),
        ("a ##[error]x", "a \\#\\#[error]x"),
    ],
)
def test_markup_comes_out_as_text(text: str, expected: str) -> None:
    assert markdown.escape(text) == expected


@given(st.text(max_size=40))
def test_any_text_stays_one_inert_cell(text: str) -> None:
    table = Table((Column("a", "a"), Column("b", "b")), ((text, "end"),))
    lines = markdown.render(table).splitlines()

    assert len(lines) == 3
    assert len(cells(lines[2])) == 2
    assert cells(lines[2])[1] == "end"
    assert "<" not in lines[2].replace("<!-- -->", "")
    assert not [c for c in lines[2] if unicodedata.category(c)[0] == "C"]


def test_hostile_captions_and_notes_stay_one_line_each(hostile) -> None:
    text = markdown.render(hostile)

    # caption, blank, header, rule, row, blank, note
    assert len(text.splitlines()) == 7
    assert "<" not in text.replace("<!-- -->", "")


def test_a_dollar_is_no_mathematics() -> None:
    assert markdown.escape("costs $5 to $6") == r"costs \$5 to \$6"
