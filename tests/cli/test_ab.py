"""``cnnbench ab`` through the command line, with made-up numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from cnnbench import metrics, store
from cnnbench.cli.progress import PairProgress
from cnnbench.errors import WorkerDied
from cnnbench.report import FORMATS
from cnnbench.runner.ab import session
from cnnbench.runner.fake import FakeWorker
from tests import made
from tests.made import commit, repository

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture
def ab(cnnbench_cli: Callable[..., Result]) -> Callable[..., Result]:
    """``cnnbench ab`` with made-up numbers."""
    return lambda *words: cnnbench_cli("ab", "--executor", "fake", "--threads", "1", *words)


@pytest.fixture
def repo(tmp_path: Path, cnnbench_cli: Callable[..., Result]) -> Path:
    """A repository of two commits."""
    path = repository(tmp_path / "repo", {"net.py": "1\n"}, tag="v1")
    commit(path, {"net.py": "2\n"})
    return path


def test_the_same_code_is_unchanged_and_kept_as_two_runs(ab, tmp_path: Path) -> None:
    result = ab("eager", "eager", "--models", "lenet,alexnet", "--out", "out")

    assert result.exit_code == 0, result.stderr
    assert "FAKE EXECUTOR" in result.stdout
    assert "eager against eager: 2 specs: 2 unchanged" in result.stdout
    assert "smallest detectable change in this noise, with 10 pairs: about" in result.stdout
    assert "threshold 5.0 %, 3 to 10 pairs" in result.stdout
    base, head = (store.read(tmp_path / "out" / role) for role in ("base", "head"))
    assert all(record.failure is None for record in (*base.records, *head.records))
    for one, other in zip(base.records, head.records, strict=True):
        assert [run.ensemble for run in one.runs] == [run.ensemble for run in other.runs]
        assert metrics.speedup(other, one) is not None
    assert base.records[0].notes == ("base of a paired comparison: eager",)


def test_both_sides_are_measured_under_the_conditions_asked_for(ab, tmp_path: Path) -> None:
    words = ("eager", "eager", "--models", "lenet", "--out", "out", "--seed", "7")
    conditions = ("--timeout", "90s", "--l2", "cold", "--cudnn-benchmark")
    refused = ab(*words, *conditions)
    result = ab(*words, *conditions, "--device", "cuda")

    assert refused.exit_code == 2
    assert "--cudnn-benchmark: only for CUDA devices" in refused.stderr
    assert result.exit_code == 0, result.stderr
    for role in ("base", "head"):
        plan = store.read(tmp_path / "out" / role).manifest.plan
        assert (plan["seed"], plan["l2"], plan["timeout"]) == (7, "cold", 90.0)
        assert plan["cudnn_benchmark"] is True


def test_a_slower_head_is_a_regression(ab) -> None:
    result = ab("eager", "eager", "--models", "lenet", "--fake-slowdown", "0.1")

    assert result.exit_code == 1
    assert "measuring again to confirm" in result.stderr
    (estimate, low, high) = map(
        float,
        re.search(r"regression .*\+(\S+) % \[\+(\S+) %, \+(\S+) %\]", result.stdout).groups(),
    )
    assert low <= 10 <= high
    assert estimate == pytest.approx(10, abs=1)
    assert result.stderr.splitlines()[-1] == "cnnbench: 1 of 1 spec regressed"


@pytest.mark.parametrize(("threshold", "code"), [("30%", 0), ("0.3", 0), ("5%", 1)])
def test_the_threshold_decides(ab, threshold: str, code: int) -> None:
    words = ("--models", "lenet", "--fake-slowdown", "0.1", "--threshold", threshold)

    assert ab("eager", "eager", *words).exit_code == code


def test_a_faster_head_is_an_improvement(ab) -> None:
    result = ab("eager", "eager", "--models", "lenet", "--fake-slowdown", "-0.2")

    assert result.exit_code == 0
    assert "improvement" in result.stdout


def test_models_and_modes_as_sides(ab) -> None:
    models = ab("lenet", "alexnet")
    modes = ab("eager", "channels_last", "--models", "lenet")

    assert "lenet/inference-b1-3x32x32/eager/cpu-t1 -> alexnet/" in models.stdout
    assert "lenet/inference-b1-3x32x32/eager -> channels_last/cpu-t1" in modes.stdout


def test_every_pair_is_kept_and_json_has_a_row_per_metric(ab, tmp_path: Path) -> None:
    result = ab("eager", "eager", "--models", "lenet", "--json", "--out", "out")

    (row,) = (row for row in json.loads(result.stdout) if row["metric"] == "latency")
    data = json.loads((tmp_path / "out" / "verdicts.json").read_text())
    (verdict,) = data["verdicts"]
    assert row["verdict"] == verdict["verdict"]
    assert row["ratio"] == pytest.approx(1 + verdict["estimate"])
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(
        (1 + verdict["low"], 1 + verdict["high"])
    )
    assert (row["seconds"], row["resolvable"]) == (verdict["seconds"], verdict["resolvable"])
    assert (verdict["verdict"], len(verdict["log_ratios"])) == ("unchanged", verdict["pairs"])
    assert verdict["low"] <= verdict["estimate"] <= verdict["high"]
    assert data["sides"]["base"] == {"kind": "mode", "name": "eager"}


def test_a_side_that_fails_leaves_the_others_judged(ab, monkeypatch) -> None:
    task = FakeWorker.ask

    def fails(self, message, timeout):
        if message.get("task") == "measure" and "alexnet" in message["spec"] and self._who.slowdown:
            self.phase = "build"
            raise WorkerDied("the worker process exited with status 7 without an answer")
        return task(self, message, timeout)

    monkeypatch.setattr(FakeWorker, "ask", fails)
    result = ab("eager", "eager", "--models", "alexnet,lenet", "--fake-slowdown", "0.001",
                "--out", "out")  # fmt: skip

    assert result.exit_code == 3
    assert "failed" in result.stdout
    assert "unchanged" in result.stdout
    assert (
        "alexnet/inference-b1-3x224x224/eager/cpu-t1: latency: failed, head: build: the worker"
        in made.flat(result.stdout)
    )
    failed = {r.id.split("/")[0]: r.failure for r in store.read(Path("out/head")).records}
    assert failed["alexnet"].kind == "died"
    assert failed["lenet"] is None


def test_a_regression_says_more_than_a_failure(ab) -> None:
    words = ("--models", "fake:raises,lenet", "--fake-slowdown", "0.2")

    assert ab("eager", "eager", *words).exit_code == 1


@pytest.mark.parametrize("model", ["fake:raises", "fake:dies", "fake:hangs"])
def test_whatever_happens_to_a_worker_is_exit_code_3(ab, model: str) -> None:
    result = ab("lenet", model)

    assert result.exit_code == 3
    assert "head: build: " in made.flat(result.stdout)


def test_strict_turns_inconclusive_into_exit_code_4(ab) -> None:
    # Half the threshold: where no rule can decide.
    words = ("eager", "eager", "--models", "lenet", "--fake-slowdown", "0.0247")

    assert ab(*words).exit_code == 0
    result = ab(*words, "--strict")
    assert result.exit_code == 4
    assert "inconclusive" in result.stdout
    assert "the interval is too wide" in made.flat(result.stdout)


def test_revisions_are_named_with_their_commits(ab, repo: Path) -> None:
    result = ab("v1", "main", "--repo", repo, "--models", "net:net", "--out", "out")

    assert result.exit_code == 0, result.stderr
    sides = json.loads(Path("out/verdicts.json").read_text())["sides"]
    assert f"base: v1 ({sides['base']['commit'][:9]})" in result.stdout
    assert [sides[role]["name"] for role in ("base", "head")] == ["v1", "main"]
    assert len(sides["base"]["commit"]) == 40
    for role in ("base", "head"):
        manifest = store.read(Path("out") / role).manifest
        assert (manifest.revision, manifest.dirty) == (sides[role]["commit"], False)
    assert sides["base"]["commit"] != sides["head"]["commit"]


def test_notices_about_what_a_revision_does_not_hold(ab, repo: Path) -> None:
    (repo / "net.py").write_text("3\n")

    words = ("--repo", repo, "--models", "lenet")
    first, second = ab("v1", "main", *words), ab("v1", ".", *words)

    assert "not part of any revision: 1 uncommitted change; use '.' for" in first.stderr
    assert "lenet: part of cnnbench, so it is the same in both revisions" in first.stderr
    assert "uncommitted" not in second.stderr
    assert "head: the working tree" in second.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give BASE and HEAD"),
        (["nope", "lenet"], "unknown revision, model or mode 'nope'"),
        (["rev:main", "HEAD"], "this is not a git repository; see --repo"),
        (["lenet", "eager"], "both must be of"),
        (["lenet", "alexnet", "--models", "lenet"], "drop --models"),
        (["eager", "bf16", "--modes", "fp16"], "drop --modes"),
        (["eager", "bf16", "--models", "lenett"], "did you mean lenet"),
        (["eager", "tf32", "--device", "cpu"], "exists on cuda only"),
        (["eager", "bf16", "--size", "8", "--input", "3x8x8"], "mutually exclusive; keep one"),
        (["eager", "bf16", "--models", "alexnet", "--size", "8"], "cannot take 8x8"),
        (["eager", "bf16", "--threshold", "0"], "is not a share such as 2%"),
        (["eager", "bf16", "--threshold", "x%"], "'x%' is not a share"),
        (["eager", "bf16", "--pairs", "1..3"], "is not a range such as 3..10"),
        (["eager", "bf16", "--pairs", "5..3"], "is not a range"),
        (["eager", "bf16", "--core", "4096"], "may only run on"),
        (["eager", "bf16", "--repo", "."], "not a git repository"),
        (["--python-a", "no/such"], "is not an interpreter"),
        (["eager", "bf16", "--format", "cvs"], "unknown format 'cvs'; did you mean csv?"),
    ],
)
def test_bad_input_is_one_line(ab, words: list[str], said: str) -> None:
    result = ab(*words)

    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_revisions_need_models(ab, repo: Path) -> None:
    result = ab("v1", "main", "--repo", repo)

    assert result.exit_code == 2
    assert "--models package.module:factory" in result.stderr


def test_a_directory_that_holds_something_is_not_written_to(ab, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("")
    result = ab("eager", "bf16", "--models", "lenet", "--out", "out")

    assert result.exit_code == 2
    assert "out holds other files" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious"]


def test_ctrl_c_keeps_what_was_judged(ab, monkeypatch, tmp_path: Path) -> None:
    task = FakeWorker.ask
    asked = []

    def interrupts(self, message, timeout):
        if message.get("task") == "measure":
            asked.append(message["spec"])
            if len(asked) > 12 and "lenet" in message["spec"]:
                raise KeyboardInterrupt
        return task(self, message, timeout)

    monkeypatch.setattr(FakeWorker, "ask", interrupts)
    result = ab("eager", "eager", "--models", "lenet,alexnet", "--fake-slowdown", "0.0247",
                "--pairs", "3..9", "--out", "out")  # fmt: skip

    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("cnnbench: interrupted; ")
    known = [line for line in result.stderr.splitlines() if "interrupted after" in line]
    assert re.search(r"lenet/.*: interrupted after \d+ pairs: .* % \[.*\], no verdict$", known[0])
    assert store.read(tmp_path / "out" / "base").manifest.specs


def test_ctrl_c_says_what_seemed_slower_and_that_it_began_to_confirm(ab, monkeypatch) -> None:
    real = PairProgress.working

    def interrupts(self, comparison, number, *, confirming):
        real(self, comparison, number, confirming=confirming)
        if confirming and number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(PairProgress, "working", interrupts)
    words = ("eager", "eager", "--models", "lenet", "--fake-slowdown", "0.5", "--out", "out")
    loud, quiet = ab(*words), ab(*words[:-1], "other", "--quiet")

    assert (loud.exit_code, quiet.exit_code) == (130, 130)
    assert re.search(r"seems slower, \+\d+.* %.*; measuring again to confirm\n", loud.stderr)
    for said in (loud.stderr, quiet.stderr):
        assert re.search(r"interrupted after 3 pairs: \+\d.*, seems slower, not confirmed\n", said)


def test_quiet_is_quiet(ab) -> None:
    result = ab("eager", "eager", "--models", "lenet", "--quiet", "--out", "out")

    assert result.stderr == "kept in out: base, head, verdicts.json\n"


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_says_what_was_found(ab, kind: str) -> None:
    words = ("--models", "lenet,alexnet", "--fake-slowdown", "0.1", "--format", kind, "-o", "out")

    result = ab("eager", "channels_last", *words)

    text = Path("out").read_text()
    assert (result.exit_code, result.stdout) == (0, "")
    assert text.count("lenet/inference") >= 1
    assert text.count("improvement") >= 2
    assert text.count("alexnet/inference") >= 1


def test_files_for_ci_hold_what_the_terminal_shows(ab, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    words = ("--models", "fake:raises,lenet,alexnet", "--fake-slowdown", "0.1")

    result = ab("eager", "eager", *words, "--ci", "github", "--junit", "ab.xml",
                "--markdown", "ab.md", "--json")  # fmt: skip

    assert result.exit_code == 1
    assert {row["verdict"] for row in json.loads(result.stdout) if row["verdict"]} == {
        "failed", "regression",
    }  # fmt: skip
    assert result.stderr.count("::error title=regression%3A ") == 2
    assert "::error title=failed%3A fake" in result.stderr
    assert "latency: regression, " in result.stderr
    suite = ET.parse(tmp_path / "ab.xml").getroot()[0]
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "errors")} == {
        "name": "cnnbench ab", "tests": "3", "failures": "2", "errors": "1",
    }  # fmt: skip
    for name in ("ab.md", "summary.md"):
        page = (tmp_path / name).read_text()
        assert page.startswith("<!-- cnnbench ab -->\n### cnnbench ab: 3 specs: 2 regressions")
        assert "build: ValueError: made up" in page
        assert "smallest detectable change in this noise" in page


def test_a_neighbour_and_what_it_cost_stand_beside_the_verdict(ab, monkeypatch) -> None:
    finish = session._outcome

    def waited(*words):
        return replace(finish(*words), waited=2, off_cpu=0.25)

    monkeypatch.setattr(session, "_outcome", waited)
    result = ab("eager", "eager", "--models", "lenet", "--wide")

    assert "the time spent waiting for it is excluded (2 of" in result.stdout
    assert "no core" in result.stdout
    assert "25.0 %" in result.stdout


def test_a_mode_that_answers_wrongly_is_a_regression_however_fast(ab, tmp_path: Path) -> None:
    result = ab(
        "eager", "channels_last", "--models", "cnnbench.worker.oracles:wrong",
        "--input", "16x8x8", "--out", "out",
    )  # fmt: skip

    assert result.exit_code == 1, result.output
    assert "output: ok -> wrong (made up)" in result.stdout
    (verdict,) = json.loads((tmp_path / "out" / "verdicts.json").read_text())["verdicts"]
    assert [verdict["output"][role]["status"] for role in ("base", "head")] == ["ok", "wrong"]
