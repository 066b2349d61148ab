from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.report import latex
from cnnbench.report.selection import Selection, view
from cnnbench.report.table import Column, Table, summary


def test_a_summary_looks_like_the_golden_file(found, golden) -> None:
    golden("summary.tex", latex.render(summary(found)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b", r"a\_b"),
        ("50 %", r"50 \%"),
        ("a & b", r"a \& b"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("$x^2$ #1 ~", r"\$x\textasciicircum{}2\$ \#1 \textasciitilde{}"),
        ("<script>", r"\textless{}script\textgreater{}"),
        ("a\n\nb\x1b[31m", "a b{[}31m"),
        ("--", "{-}{-}"),
        ("::error::x", "{:}:error::x"),
    ],
)
def test_markup_comes_out_as_text(text: str, expected: str) -> None:
    assert latex.escape(text) == expected


@given(st.text(max_size=40))
def test_any_text_stays_one_inert_cell(text: str) -> None:
    escaped = latex.escape(text)

    # Without the commands that escape wrote itself, nothing of TeX is left but braces in pairs.
    known = r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar)\{\}"
    rest = re.sub(rf"{known}|\\symbol\{{34\}}|\\ensuremath\{{\\mu\}}|\\[#$%&_{{}}]", "", escaped)
    rest = re.sub(r"\{[\[\]'`-]\}", "", rest)
    assert not re.search(r"[\\#$%&_{}^~\n]", rest)


def test_every_row_has_a_cell_per_column(found) -> None:
    table = view(found, Selection(group_by="mode"), people=True)
    lines = latex.render(table).splitlines()

    rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(table.columns)}
    assert len(rows) == 1 + len(table.rows)
    assert sum("multicolumn" in line for line in lines) == len(table.groups)


def test_hostile_text_comes_out_inert(hostile) -> None:
    text = latex.render(hostile)

    assert "<script" not in text
    assert "\x1b" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_takes_it(found, hostile, every_kind, tmp_path) -> None:
    ascii_only = str.maketrans({"\u202e": None})
    some = [summary(found), hostile, every_kind, Table((Column("a", "a"),), (("[x] -- ''",),))]
    body = "\n".join(latex.render(one).translate(ascii_only) for one in some)
    source = (
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    )
    (tmp_path / "a.tex").write_text(source, encoding="utf8")

    done = subprocess.run(
        ["pdflatex", "-no-shell-escape", "-halt-on-error", "a.tex"],
        cwd=tmp_path, capture_output=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-800:]
