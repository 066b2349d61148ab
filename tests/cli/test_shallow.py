"""Clones one commit deep, as CI systems make them: what they lack is said with what fetches it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.runner.ab import revisions
from tests.made import commit, flat, git, repository

if TYPE_CHECKING:
    from click.testing import Result

WHAT = ("--models", "net:net", "--threads", "1", "--executor", "fake")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four commits on ``main``, the first of them ``v1``; a branch ``work/topic`` of one more."""
    path = repository(tmp_path_factory.mktemp("shallow") / "origin", {"net.py": "0\n"}, tag="v1")
    for place in range(3):
        commit(path, {"net.py": f"{place + 1}\n"})
    git(path, "switch", "--quiet", "--create", "work/topic")
    commit(path, {"net.py": "9\n"})
    return path


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    """The branch, one commit deep, and nothing else; HEAD is detached, as in a pipeline."""
    path = tmp_path / "clone"
    # Of a path, git would copy everything.
    words = ("--quiet", "--depth=1", "--no-tags", "--branch", "work/topic", f"file://{origin}")
    subprocess.run(["git", "clone", *words, str(path)], check=True)
    git(path, "checkout", "--quiet", "--detach")
    return path


def told(result: Result) -> list[str]:
    """The command of git's that a message ends with."""
    found = re.search(r"this clone is shallow: (git fetch [^);]+)", flat(result.output))
    assert found is not None, result.output
    return shlex.split(found[1])


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("HEAD~1", "--deepen=1"),
        ("HEAD^", "--deepen=1"),
        ("HEAD~2^", "--deepen=3"),
        ("origin/main", "--depth=1"),
        ("origin/main~2", "--depth=3"),
        ("v1", "--unshallow"),
        ("hash", "--depth=1"),
    ],
)
def test_an_unknown_revision_says_how_deep_to_fetch_and_that_is_enough(
    cnnbench_cli: Callable[..., Result], origin: Path, clone: Path, name: str, least: str
) -> None:
    if name == "hash":
        name = revisions.commit(origin, "v1") or ""
    words = ("ab", name, "HEAD", "--repo", clone, *WHAT)
    refused = cnnbench_cli(*words)
    command = told(refused)

    assert refused.exit_code == 2
    assert least in command
    subprocess.run(["git", "-C", str(clone), *command[1:]], check=True, capture_output=True)
    assert revisions.commit(clone, name) == revisions.commit(origin, name.removeprefix("origin/"))
    assert cnnbench_cli(*words).exit_code == 0


def test_a_whole_clone_and_a_name_that_is_no_commit_are_not_taken_for_shallow(
    cnnbench_cli: Callable[..., Result], origin: Path, clone: Path
) -> None:
    whole = cnnbench_cli("ab", "v2", "HEAD", "--repo", origin, *WHAT)
    odd = cnnbench_cli("ab", "rev:origin/a;b", "HEAD", "--repo", clone, *WHAT)

    assert "this clone is shallow" not in whole.stderr
    assert told(odd) == ["git", "fetch", "--unshallow", "--tags", "origin"]


def test_a_bisection_says_that_the_line_is_cut(
    cnnbench_cli: Callable[..., Result], origin: Path, clone: Path
) -> None:
    good = revisions.commit(origin, "v1") or ""
    git(clone, "fetch", "--quiet", "--depth=1", "origin", good)
    words = ("bisect", good, "HEAD", "--repo", clone, *WHAT, "--fake-culprit", "HEAD~1")
    refused = cnnbench_cli(*words)

    assert "is not among the first parents of" in refused.stderr
    subprocess.run(["git", "-C", str(clone), *told(refused)[1:]], check=True, capture_output=True)
    result = cnnbench_cli(*words)
    assert result.exit_code == 0, result.output


def test_check_says_why_the_revision_of_the_baseline_file_is_not_measured_even_if_quiet(
    cnnbench_cli: Callable[..., Result],
    origin: Path,
    clone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = tmp_path / "old"
    subprocess.run(["git", "clone", "--quiet", str(origin), str(old)], check=True)
    git(old, "checkout", "--quiet", "HEAD~1")
    monkeypatch.chdir(old)
    kept, fake = tmp_path / "kept", ("--executor", "fake")
    model = ("--models", "lenet", "--device", "cpu", "--threads", "1", "--rounds", "2")
    assert cnnbench_cli("run", *model, "--out", kept, *fake).exit_code == 0
    assert cnnbench_cli("baseline", "save", kept, "-o", tmp_path / "base.json").exit_code == 0
    monkeypatch.chdir(clone)
    words = ("check", "--baseline", tmp_path / "base.json", "--quiet", *fake, "--out")
    refused = cnnbench_cli(*words, tmp_path / "one")

    assert "of the baseline file is not in this repository; this clone is shallow:" in flat(
        refused.stdout
    )
    subprocess.run(["git", "-C", str(clone), *told(refused)[1:]], check=True, capture_output=True)
    assert "measured side by side" in cnnbench_cli(*words, tmp_path / "two").stdout
