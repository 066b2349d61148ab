"""The format that is meant: by its name, a second name, or the suffix of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Suffix -> its format.
SUFFIXES = {
    ".md": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex", ".txt": "table",
    ".html": "html",
}  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_of_the_file_decides_where_no_format_is_given(
    cnnbench_cli, fake_run, tmp_path, suffix: str
) -> None:
    del fake_run
    kind = SUFFIXES[suffix]

    named = cnnbench_cli("report", "run", "-o", f"x{suffix}")
    asked = cnnbench_cli("report", "run", "--format", kind, "-o", f"plain-{kind}")

    assert (named.exit_code, asked.exit_code) == (0, 0), named.output
    texts = [(tmp_path / name).read_text() for name in (f"x{suffix}", f"plain-{kind}")]
    # The names of a page's plots are new every time.
    assert texts[0][:2000] == texts[1][:2000]


@pytest.mark.parametrize("second", ["md", "text", "txt", "tex"])
def test_a_format_has_the_name_of_its_suffix_too(cnnbench_cli, fake_run, second: str) -> None:
    del fake_run
    own = "table" if second == "text" else SUFFIXES[f".{second}"]

    results = [cnnbench_cli("report", "run", "--format", one) for one in (own, second)]

    assert results[1].exit_code == 0
    assert results[0].stdout == results[1].stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "csv", "-o", "x.html"], "x.html is named after html, but csv is asked for"),
        (["--json", "-o", "x.md"], "x.md is named after markdown, but json is asked for"),
        (["--format", "html", "-o", "x.txt"], "x.txt is named after table, but html is asked for"),
    ],
)
def test_a_file_named_after_another_format_is_one_line(
    cnnbench_cli, fake_run, tmp_path, words: list[str], said: str
) -> None:
    del fake_run

    done = cnnbench_cli("report", "run", *words)

    assert (done.exit_code, done.stderr) == (2, f"cnnbench: {said}; keep one\n")
    assert not (tmp_path / words[-1]).exists()


def test_a_suffix_of_a_format_that_the_command_has_not_is_one_line(cnnbench_cli) -> None:
    done = cnnbench_cli("cost", "lenet", "-o", "x.html", "--executor", "fake")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "unknown format 'html'; it is one of table, csv" in done.stderr


def test_another_suffix_says_nothing_and_exports_have_formats_of_their_own(
    cnnbench_cli, fake_run, tmp_path
) -> None:
    del fake_run

    table = cnnbench_cli("report", "run", "-o", "x.log")
    export = cnnbench_cli("export", "run", "--format", "timm", "-o", "x.txt")

    assert (table.exit_code, export.exit_code) == (0, 0)
    assert (tmp_path / "x.log").read_text() == cnnbench_cli("report", "run").stdout


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_page_is_not_poured_onto_a_terminal(cnnbench_cli, fake_run, tmp_path) -> None:
    del fake_run
    main, terminal = os.openpty()
    words = [sys.executable, "-m", "cnnbench", "report", "run", "--format", "html"]
    try:
        done = subprocess.run(words, cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE,
                              env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, timeout=300,
                              check=False)  # fmt: skip
    finally:
        os.close(terminal)
        os.close(main)
    piped = cnnbench_cli(*words[3:])

    assert done.returncode == 2
    assert done.stderr == (
        "cnnbench: html is no text for a terminal; give a file: -o report.html\n"
    )
    assert (piped.exit_code, piped.stdout[:2]) == (0, "<!")
