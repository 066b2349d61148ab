from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from cnnbench import store
from cnnbench.report.exporting import EXPORTS
from cnnbench.report.variables import TABLES
from tests import made
from tests.report.test_times import waiting


@pytest.fixture
def run(tmp_path, eager, twice_as_fast, failed):
    return made.directory(tmp_path / "run", [eager, twice_as_fast, failed])


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_format_is_shown_and_written_alike(cnnbench_cli, run, kind: str) -> None:
    shown = cnnbench_cli("export", run, "--format", kind)
    written = cnnbench_cli("export", run, "--format", kind, "-o", "out")

    assert (shown.exit_code, written.exit_code) == (0, 0)
    assert (run.parent / "out").read_bytes() == shown.stdout_bytes
    assert shown.stderr == "cnnbench: left out: 1 failed spec\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--format", "asv-json"], "unknown export format 'asv-json'"),
        (["gone", "--format", "bmf"], "gone is not a cnnbench run"),
        (["run"], "Missing option '--format'"),
        (["--format", "tidy"], "--format tidy needs run directories"),
        (["gone", "--format", "tidy"], "gone does not exist"),
        (["run", "--format", "tidy", "-o", "x.xlsx"],
         "x.xlsx: tidy is CSV or Parquet; name the file .csv or .parquet"),
        (["--format", "dictionary", "-o", "x.csv.gz"], "name the file .csv or .parquet"),
        (["gone*", "--format", "slices"], "no run matches 'gone*'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(cnnbench_cli, run, words, message) -> None:
    done = cnnbench_cli("export", *words)

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_there_and_back_again(cnnbench_cli, run, eager, twice_as_fast) -> None:
    cnnbench_cli("export", run, "--format", "pytest-benchmark", "-o", "a.json")

    back = cnnbench_cli("import", "a.json", "--out", "back")

    rounds = f"{eager.rounds} rounds"
    assert eager.rounds > 1
    assert (back.exit_code, back.stderr) == (0, f"back: 2 benchmarks, {rounds}\n")
    rows = json.loads(cnnbench_cli("report", "back", "--format", "json").stdout)
    assert [row["spec"] for row in rows] == [eager.id, twice_as_fast.id]
    assert [row["mode"] for row in rows] == [one.spec.mode.text for one in (eager, twice_as_fast)]
    assert rows[0]["latency_median_s"] == pytest.approx(0.010)
    assert rows[0]["rounds"] == eager.rounds
    assert rows[0]["status"] == "unchecked"


def test_imported_histories_can_be_compared_and_gated(cnnbench_cli, tmp_path) -> None:
    for name, milliseconds in (("old", 10), ("new", 30)):
        files = []
        for number in range(3):
            time = milliseconds * (1 + number / 1000)
            one = made.directory(tmp_path / f"{name}{number}", [made.record(made.EAGER, [[time]])])
            files.append(f"{name}{number}.json")
            cnnbench_cli("export", one, "--format", "pytest-benchmark", "-o", files[-1])
        assert cnnbench_cli("import", *files, "--out", name).exit_code == 0
    assert cnnbench_cli("baseline", "save", "old").exit_code == 0

    worse = cnnbench_cli("check", "--baseline", "baseline.json", "new")
    fine = cnnbench_cli("check", "--baseline", "baseline.json", "old")

    assert (worse.exit_code, worse.stderr) == (1, "cnnbench: 1 of 1 spec regressed\n")
    assert fine.exit_code == 0


def test_import_says_what_is_wrong_in_one_line(cnnbench_cli, run, tmp_path) -> None:
    (tmp_path / "a.json").write_text("[]")

    done = cnnbench_cli("import", "a.json", "--out", "back")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "not a pytest-benchmark file" in done.stderr
    assert not (tmp_path / "back").exists()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_data_have_every_record_of_every_run_below_a_place(
    cnnbench_cli, tmp_path, eager, twice_as_fast, failed
) -> None:
    made.directory(tmp_path / "all" / "a", [eager, failed])
    made.directory(tmp_path / "all" / "b", [twice_as_fast])

    shown = cnnbench_cli("export", "all", "--format", "tidy")
    written = cnnbench_cli("export", "all/*", "--format", "tidy", "-o", "out.csv")

    assert (shown.exit_code, written.exit_code) == (0, 0), shown.stderr + written.stderr
    assert (tmp_path / "out.csv").read_bytes() == shown.stdout_bytes
    found = rows(shown.stdout)
    assert [row["run"] for row in found] == ["a", "a", "b"]
    assert [row["failed"] for row in found] == ["false", "true", "false"]
    assert list(found[0]) == [one.name for one in TABLES["records"]]


def test_slices_are_rows_too(cnnbench_cli, run, eager, twice_as_fast) -> None:
    done = cnnbench_cli("export", run, "--format", "slices")

    found = rows(done.stdout)
    total = sum(len(one.slices) for record in (eager, twice_as_fast) for one in record.runs)
    assert len(found) == total
    assert float(found[0]["median_s"]) == pytest.approx(0.010)
    assert json.loads(found[0]["samples_ns"]) == list(eager.runs[0].slices.ns[0])


def test_the_dictionary_needs_no_run(cnnbench_cli) -> None:
    found = rows(cnnbench_cli("export", "--format", "dictionary").stdout)

    for table, some in TABLES.items():
        names = [row["name"] for row in found if row["table"] == table]
        assert names == [one.name for one in some]
    assert {row["type"] for row in found} == {"text", "integer", "number", "truth"}
    assert all(row["meaning"] and row["source"] and row["empty"] for row in found)


@pytest.mark.parametrize("kind", ["tidy", "slices", "dictionary"])
def test_parquet_is_for_a_file_that_is_named_so(cnnbench_cli, run, tmp_path, kind: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    places = [] if kind == "dictionary" else [run]

    text = cnnbench_cli("export", *places, "--format", kind).stdout
    done = cnnbench_cli("export", *places, "--format", kind, "-o", "out.parquet")

    assert (done.exit_code, done.output) == (0, "")
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.num_rows == len(rows(text))
    assert found.schema.names == text.splitlines()[0].split(",")


def test_without_pyarrow_parquet_is_one_line_and_no_file(cnnbench_cli, run, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    done = cnnbench_cli("export", run, "--format", "tidy", "-o", "out.parquet")

    assert done.exit_code == 2
    assert done.stderr == (
        "cnnbench: Parquet needs pyarrow; install it with: pip install 'cnnbench[parquet]'\n"
    )
    assert not (run.parent / "out.parquet").exists()


def test_a_damaged_run_leaves_no_half_of_a_file(cnnbench_cli, tmp_path, eager) -> None:
    made.directory(tmp_path / "all" / "a", [eager])
    bad = made.directory(tmp_path / "all" / "b", [eager])
    with (bad / store.RECORDS).open("a") as file:
        file.write('{"id":"half')
    torn = cnnbench_cli("export", "all", "--format", "tidy", "-o", "torn.csv")
    (bad / store.ENVIRONMENT).write_text("[]")

    done = cnnbench_cli("export", "all", "--format", "tidy", "-o", "out.csv")

    assert torn.exit_code == 0
    assert "incomplete line skipped" in torn.stderr
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "environment.json" in done.stderr
    assert not (tmp_path / "out.csv").exists()
    nowhere = cnnbench_cli("export", "all/a", "--format", "tidy", "-o", "gone/out.csv")
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (2, 1)


def test_what_was_copied_is_exported_once_and_said(cnnbench_cli, tmp_path, eager) -> None:
    for name in ("a", "b"):
        made.directory(tmp_path / "all" / name, [eager])

    tidy = cnnbench_cli("export", "all", "--format", "tidy")
    other = cnnbench_cli("export", "all/a", "all/b", "--format", "bmf")
    page = cnnbench_cli("site", "all", "-o", "site")

    assert [row["run"] for row in rows(tidy.stdout)] == ["a"]
    assert "all/b: 1 record left out, of which an earlier run holds a copy" in tidy.stderr
    assert list(json.loads(other.stdout)) == [eager.id]
    for one in (other, page):
        assert "left out: all/b, whose records are all in other runs" in one.stderr
        assert one.exit_code == 0


def test_times_that_hold_waiting_are_said(cnnbench_cli, tmp_path) -> None:
    spoilt = waiting(made.EAGER.replace("cpu-t2", "cpu-t1"), 0.5)
    made.directory(tmp_path / "busy", [spoilt, made.failed(made.BF16)])

    done = cnnbench_cli("export", "busy", "--format", "github-action-benchmark")

    assert "cnnbench: 1 of 1 time held waiting for a core" in done.stderr
    (row,) = json.loads(done.stdout)
    assert row["extra"].endswith("disturbed (no core 50 % of the time)")
