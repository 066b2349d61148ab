from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import cnnbench

ROOT = Path(__file__).resolve().parents[2]
RUN = ("run", "--models", "lenet", "--executor", "fake", "--out", "run")
REPORTS = {"environment.json", "manifest.json", "records.jsonl", "report.csv", "report.md"}
CLOSED = "cnnbench: standard output: it is closed; redirect it to a file"
FULL = "cnnbench: standard output: No space left on device"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def shell(tmp_path):
    """A command in a shell, with redirections."""

    def call(*words: object, how: str = "") -> Ended:
        line = f'exec "$@" {how}'
        done = subprocess.run(
            ["sh", "-c", line, "sh", sys.executable, "-m", "cnnbench", *map(str, words)],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr.strip())

    return call


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "stored"
    cnnbench.run("lenet", "eager,channels_last", out=path, executor="fake")
    return path


@pytest.mark.parametrize("how", ["2>&-", ">&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_a_run_needs_no_streams(shell, tmp_path, how: str) -> None:
    done = shell(*RUN, how=how)

    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == REPORTS
    assert "Traceback" not in done.err


def test_nothing_of_a_run_lands_in_a_file_in_place_of_a_closed_stream(shell, tmp_path) -> None:
    shell(*RUN, how="<&- >&- 2>&-")

    for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines():
        assert json.loads(line)["schema"]


@pytest.mark.parametrize(("how", "said"), [(">&-", CLOSED), (">/dev/full", FULL)])
@pytest.mark.parametrize(
    "words", [("report", "stored"), ("list",), ("--help",), ("export", "stored", "--format", "bmf")]
)
def test_what_could_not_be_shown_is_one_line(shell, stored, words, how: str, said: str) -> None:
    done = shell(*words, how=how)

    assert (done.code, done.err) == (2, said)


@pytest.mark.parametrize("how", [">&-", ">/dev/full", "<&- >&- 2>&-"])
def test_a_report_to_a_file_needs_no_standard_output(shell, stored, tmp_path, how: str) -> None:
    done = shell("report", stored, "-o", "report.txt", how=how)

    assert (done.code, done.err) == (0, "")
    assert "lenet" in (tmp_path / "report.txt").read_text()


def test_a_run_with_a_full_disk_behind_its_output_is_kept(shell, tmp_path) -> None:
    done = shell(*RUN, "--quiet", how=">/dev/full")

    assert (done.code, done.err.splitlines()[-1]) == (2, FULL)
    assert {path.name for path in (tmp_path / "run").iterdir()} == REPORTS


@pytest.mark.parametrize("how", [">&-", ">/dev/full", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_failed_check_keeps_its_exit_code(shell, stored, tmp_path, how: str) -> None:
    cnnbench.run("lenet,alexnet", "eager", out=tmp_path / "more", executor="fake")

    done = shell("check", stored, "--baseline", "more", "--junit", "junit.xml", how=how)

    assert done.code == 3
    assert (tmp_path / "junit.xml").exists()


def test_a_check_without_output_is_known_by_its_exit_code(shell, stored) -> None:
    assert shell("check", stored, "--baseline", stored, how=">&-").code == 0


@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_bad_input_has_its_exit_code_without_anybody_to_tell(shell, how: str) -> None:
    assert shell("report", "nowhere", how=how).code == 2


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_is_no_error(tmp_path, stream: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writer}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cnnbench", *RUN], cwd=tmp_path, timeout=120, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, **streams,
        )  # fmt: skip
    finally:
        os.close(writer)

    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == REPORTS
