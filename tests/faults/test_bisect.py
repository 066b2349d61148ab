"""Real networks of a made repository: a layer more, a loop, and a commit that does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made import commit, repository

ROOT = Path(__file__).resolve().parents[2]
NET = """
from torch import nn


class Tiny(nn.Sequential):
    def forward(self, x):
        sum(range({loop}))
        return super().forward(x)


def tiny():
    return Tiny(nn.Conv2d(3, 8, 3), *[nn.Conv2d(8, 8, 3, padding=1) for _ in range({convs})])
"""


def net(convs: int = 4, loop: int = 0) -> dict[str, str]:
    return {"nets.py": NET.format(convs=convs, loop=loop)}


def bisect(repo: Path, *words: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "bisect", "v1", "main", "--models", "nets:tiny",
         "--input", "3x16x16", "--device", "cpu", "--threads", "1", "--json", "--quiet",
         "--out", str(repo.parent / "out"), *words],
        cwd=repo, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(["git", "-C", str(repo), "worktree", "list"], capture_output=True,
                            text=True, check=True)  # fmt: skip
    assert len(listed.stdout.splitlines()) == 1
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_loop_that_no_structure_shows_is_found_by_the_clock(tmp_path: Path) -> None:
    path = repository(tmp_path / "repo", net(), tag="v1")
    commit(path, net(loop=60_000))

    found = bisect(path, "--threshold", "50%", "--slices", "3", "--no-explain")

    assert found["culprit"]["place"] == 1  # type: ignore[index]
    assert found["structure"] == []
    (step,) = found["steps"]  # type: ignore[misc]
    assert (step["verdict"], step["low"] > 0.5) == ("regression", True)


def test_a_layer_is_found_without_a_clock_beside_a_commit_that_does_not_import(
    tmp_path: Path,
) -> None:
    path = repository(tmp_path / "repo", net(), tag="v1")
    commit(path, {"nets.py": "import layers_that_are_missing\n"})
    commit(path, net(convs=5))

    found = bisect(path, "--structure-only")

    (change,) = found["structure"]  # type: ignore[misc]
    assert [one["place"] for one in change["commits"]] == [1, 2]
    texts = [one["text"] for told in change["differences"].values() for one in told]
    assert any("operators: aten::conv2d" in one and "5 -> 6" in one for one in texts), texts
    assert found["steps"] == []
    (skipped,) = found["skipped"]  # type: ignore[misc]
    assert (skipped["place"], "layers_that_are_missing" in skipped["reason"]) == (1, True)
