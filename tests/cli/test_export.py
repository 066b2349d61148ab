from __future__ import annotations

import json

import pytest

from cnnbench.report.exporting import EXPORTS
from tests import made


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
    ],
)
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
