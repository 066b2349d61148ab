"""The suites of bench/ run, and their files say which machine they are of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import imported

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    pytest.importorskip("pytest_benchmark")
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    chosen = "spec_id or one_look or (b1-3x32x32 and eager) or resnet50"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "bench", "--benchmark-only", "-q", "-k", chosen,
         "--benchmark-max-time=0.01", "--benchmark-json", str(path), "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        # A worker of pytest-xdist would not time; what it starts takes itself for one.
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def test_the_suites_run_and_state_the_machine(written: Path) -> None:
    data = json.loads(written.read_text(encoding="utf8"))

    assert len(data["benchmarks"]) == 5
    machine = data["machine_info"]
    assert set(machine["cpu"]) == {"brand_raw", "count"}
    assert len(machine["cnnbench_fingerprint"]) == 12
    assert machine["flags"]["threads"] >= 1
    assert "cnnbench" in data


def test_their_files_can_be_imported(written: Path) -> None:
    environment, records = imported.read([written])

    assert len(records) == 5
    assert environment.hard["torch"]["version"]
    assert any("/inference-b1-3x32x32/eager/" in one.id for one in records)


def test_the_ordinary_tests_do_not_collect_them() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf8")

    assert 'testpaths = ["tests"]' in text
