"""Two revisions really measured: one slow layer more, and everything that can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import store
from tests import made
from tests.faults.test_faults import children_of, wait_for
from tests.made import commit, repository

ROOT = Path(__file__).resolve().parents[2]

BASE = """
import os
import time

import torch
from torch import nn


def _convs(count):
    return [nn.Conv2d(8, 8, 3, padding=1) for _ in range(count)]


def tiny(convs=4):
    return nn.Sequential(nn.Conv2d(3, 8, 3), *_convs(convs))


def same():
    return nn.Sequential(nn.Conv2d(3, 8, 3), *_convs(4))


def gone():
    return same()


class Dies(nn.Sequential):
    pass


class Hangs(nn.Sequential):
    pass


def dies():
    return Dies(same())


def hangs():
    return Hangs(same())
"""

HEAD = (
    BASE.replace("convs=4", "convs=12")
    .replace("def gone", "def gone_for_good")
    .replace("class Dies(nn.Sequential):\n    pass", '''class Dies(nn.Sequential):
    def forward(self, x):
        if not x.is_meta:
            os._exit(7)
        return super().forward(x)''')
    .replace("class Hangs(nn.Sequential):\n    pass", '''class Hangs(nn.Sequential):
    def forward(self, x):
        if not x.is_meta:
            time.sleep(3600)
        return super().forward(x)''')
)  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """``base`` and ``main``: the second has eight convolutions more, and faults."""
    path = repository(tmp_path / "repo", {"mynets/__init__.py": "", "mynets/nets.py": BASE}, "base")
    commit(path, {"mynets/nets.py": HEAD})
    return path


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """Another version of the same package, installed, that must never be imported."""
    path = tmp_path / "installed" / "mynets"
    path.mkdir(parents=True)
    (path / "__init__.py").write_text("raise SystemExit('the installed one')\n")
    return path.parent


def start(repo: Path, *words: str, path: Path | None = None) -> subprocess.Popen[str]:
    paths = [str(ROOT), *([str(path)] if path else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "cnnbench", "ab", *words],
        cwd=repo, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests under nohup has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip


def worktrees(repo: Path) -> int:
    done = subprocess.run(["git", "-C", str(repo), "worktree", "list"], capture_output=True,
                          text=True, check=True)  # fmt: skip
    return len(done.stdout.splitlines())


SMALL = ("--input", "3x32x32", "--device", "cpu", "--threads", "1", "--slices", "6")


@pytest.mark.slow
def test_a_slow_layer_is_caught_and_each_fault_costs_one_verdict(
    repo: Path, decoy: Path, tmp_path: Path
) -> None:
    names = ("tiny", "same", "gone", "dies", "hangs")
    models = ",".join(f"mynets.nets:{name}" for name in names)
    out = tmp_path / "out"
    # What explanations are is tested elsewhere, and real ones take minutes.
    process = start(repo, "base", "main", "--models", models, *SMALL, "--threshold", "50%",
                    "--timeout", "20", "--no-explain", "--out", str(out), path=decoy)  # fmt: skip
    text, errors = process.communicate(timeout=900)

    assert process.returncode == 1, errors
    assert "5 specs: 1 regression, 3 failed" in text
    kept = json.loads((out / "verdicts.json").read_text())["verdicts"]
    verdicts = {one["base"].split("/")[0].partition(":")[2]: one for one in kept}
    assert verdicts["tiny"]["verdict"] == "regression"
    assert verdicts["tiny"]["estimate"] > 0.3
    assert len(verdicts["tiny"]["log_ratios_confirmation"]) >= 3
    assert verdicts["same"]["verdict"] in {"unchanged", "inconclusive"}
    assert {verdicts[name]["verdict"] for name in ("gone", "dies", "hangs")} == {"failed"}
    assert "has no 'gone'" in verdicts["gone"]["reason"]
    assert "head: first call: the worker process exited with status 7" in verdicts["dies"]["reason"]
    assert "no answer within 20 s" in verdicts["hangs"]["reason"]
    assert worktrees(repo) == 1
    runs = {record.id.split("/")[0]: record.runs for record in store.read(out / "head").records}
    assert len(runs["mynets.nets:tiny"]) >= 6
    assert runs["mynets.nets:dies"] == ()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_measurement_leaves_no_process_and_no_worktree(
    repo: Path, sent: int
) -> None:
    process = start(repo, "base", "main", "--models", "mynets.nets:same", *SMALL)
    wait_for(lambda: worktrees(repo) == 3 and children_of(process.pid))
    starters = children_of(process.pid)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 128 + sent
    assert errors.strip().splitlines()[-1].startswith("cnnbench: interrupted")
    assert worktrees(repo) == 1
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in starters))


def test_a_base_without_the_model_is_one_line(repo: Path) -> None:
    process = start(repo, "main", "base", "--models", "mynets.nets:gone", *SMALL)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 2
    (line,) = errors.strip().splitlines()
    assert line.startswith("cnnbench: base, main (")
    assert "has no 'gone'" in line


def interpreter(path: Path, *options: str) -> str:
    """The interpreter of this process under another name."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {" ".join(options)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_without_torch_is_one_line(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "bare", "-S")
    process = start(tmp_path, "--python-b", python, "--models", "lenet", "--threads", "1")
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 2
    (line,) = errors.strip().splitlines()
    assert line == f"cnnbench: head, {python}: that interpreter has no torch; install it there"


@pytest.mark.slow
def test_two_interpreters_are_told_apart_and_named(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "other")
    process = start(tmp_path, "--python-b", python, "--models", "lenet", "--threads", "1",
                    "--slices", "3", "--threshold", "100%", "--out", "out")  # fmt: skip
    text, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    shown = made.flat(text)
    assert f"base: {sys.executable}, torch 2." in shown
    assert f"head: {python}, torch 2." in shown
    assert "unchanged" in text
