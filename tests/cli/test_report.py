from __future__ import annotations

import csv
import io
import json

import pytest

from cnnbench import store
from tests import made


@pytest.fixture
def run(tmp_path, eager, twice_as_fast, failed):
    return made.directory(tmp_path / "a", [eager, twice_as_fast, failed])


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_every_format_is_shown_and_written_alike(cnnbench_cli, run, kind: str) -> None:
    shown = cnnbench_cli("report", run, "--format", kind)
    written = cnnbench_cli("report", run, "--format", kind, "-o", "out")

    assert (shown.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert (run.parent / "out").read_bytes() == shown.stdout_bytes


def test_the_table_is_the_default(cnnbench_cli, run) -> None:
    default, table = (cnnbench_cli("report", run, *w).stdout for w in ([], ["--format", "table"]))

    assert default == table
    assert "2.00x" in table


def test_csv_and_json_hold_the_same_rows(cnnbench_cli, run) -> None:
    rows = list(csv.DictReader(io.StringIO(cnnbench_cli("report", run, "--format", "csv").stdout)))
    objects = json.loads(cnnbench_cli("report", run, "--format", "json").stdout)

    assert [row["spec"] for row in rows] == [row["spec"] for row in objects]
    assert list(rows[0]) == list(objects[0])


def test_several_directories_join(cnnbench_cli, run, eager) -> None:
    other = made.directory(run.parent / "b", [eager])

    rows = json.loads(cnnbench_cli("report", run, other, "--format", "json").stdout)

    assert [row["run"] for row in rows] == ["a", "a", "a", "b"]


def test_a_pivot_has_a_column_per_mode(cnnbench_cli, run) -> None:
    text = cnnbench_cli("report", run, "--pivot", "mode", "--format", "markdown").stdout

    header = next(line for line in text.splitlines() if line.startswith("| model"))
    assert header == "| model | eager | channels_last | vs eager | amp=bf16 | vs eager |"


def test_a_pivot_shows_the_metric_that_is_asked_for(cnnbench_cli, run) -> None:
    words = ["--pivot", "batch", "--metric", "params", "--format", "csv"]

    assert "61706.0" in cnnbench_cli("report", run, *words).stdout


def test_a_torn_line_is_told_and_the_rest_is_shown(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    path.write_bytes(path.read_bytes()[:-20])

    result = cnnbench_cli("report", run)

    assert result.exit_code == 0
    assert result.stderr == f"cnnbench: {path}:3: torn line skipped (a writer was killed here)\n"
    assert "channels_last" in result.stdout


def test_a_run_killed_in_its_first_record_is_an_empty_table(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    path.write_bytes(path.read_bytes()[:50])

    result = cnnbench_cli("report", run)

    assert result.exit_code == 0
    assert "torn line" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere"], "nowhere is not a cnnbench run: it has no manifest.json"),
        (["a", "--format", "markdwon"], "unknown format 'markdwon'; did you mean markdown"),
        (["a", "--pivot", "modes"], "unknown field 'modes'; did you mean mode"),
        (["a", "--pivot", "mode", "--metric", "x"], "unknown metric 'x'"),
        (["a", "-o", "no/such/place"], "no/such/place: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_on_stderr(cnnbench_cli, run, words, text: str) -> None:
    result = cnnbench_cli("report", *words)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("cnnbench: ")
    assert text in result.stderr


@pytest.mark.parametrize("name", [store.MANIFEST, store.ENVIRONMENT, store.RECORDS])
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\0", b"[1, 2]\n", b'{"name": 1}\n'])
def test_foreign_files_are_one_line_without_a_traceback(cnnbench_cli, run, name, data) -> None:
    (run / name).write_bytes(data)

    result = cnnbench_cli("report", run)

    empty = name == store.RECORDS and data in (b"", b"{")
    assert result.exit_code == (0 if empty else 2)
    assert result.stderr.count("\n") == (0 if data == b"" and empty else 1)
    assert "Traceback" not in result.stderr
    assert str(run) in (result.stderr or str(run))


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_scaling_is_shown_in_every_format(cnnbench_cli, tmp_path, kind: str) -> None:
    records = [made.record(made.EAGER.replace("b8", f"b{n}"), [[n + 1] * 3] * 2) for n in (1, 8)]
    path = made.directory(tmp_path / "curve", records)

    result = cnnbench_cli("report", path, "--scaling", "--format", kind)

    assert result.exit_code == 0
    assert "not yet" in result.stdout


def test_scaling_and_pivot_are_two_tables(cnnbench_cli, run) -> None:
    result = cnnbench_cli("report", run, "--scaling", "--pivot", "mode")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
