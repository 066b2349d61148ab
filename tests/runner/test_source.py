from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cnnbench.runner.source import source


@pytest.fixture
def repository(tmp_path) -> Path:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1", encoding="utf8")
    git("add", "file")
    git("commit", "-m", "one")
    return tmp_path


def test_a_clean_tree_has_a_revision(repository: Path) -> None:
    found = source(repository)

    assert found.revision is not None
    assert len(found.revision) == 40
    assert found.dirty is False


def test_a_change_that_is_not_committed_is_told(repository: Path) -> None:
    (repository / "file").write_text("2", encoding="utf8")

    assert source(repository).dirty is True


def test_outside_of_a_repository_nothing_is_known(tmp_path) -> None:
    found = source(tmp_path)

    assert (found.revision, found.dirty) == (None, None)


def test_without_git_nothing_is_known(repository: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert source(repository).revision is None
