"""Commits are found and checked out, and nothing of that stays, whatever happens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cnnbench.errors import UsageError
from cnnbench.runner.ab import revisions
from tests.made import commit, repository


def worktrees(repo: Path) -> list[str]:
    done = subprocess.run(["git", "-C", str(repo), "worktree", "list", "--porcelain"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return [line for line in done.stdout.splitlines() if line.startswith("worktree ")]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Two commits of one file; the first has the tag ``first``."""
    path = repository(tmp_path / "repo", {"net.py": "one\n"}, tag="first")
    commit(path, {"net.py": "two\n"})
    return path


def test_a_repository_is_found_from_a_folder_in_it(repo: Path, tmp_path: Path) -> None:
    (repo / "inner").mkdir()

    assert revisions.repository(repo / "inner") == repo.resolve()
    assert revisions.repository(tmp_path / "nowhere") is None


def test_names_of_commits(repo: Path) -> None:
    first, head = revisions.commit(repo, "first"), revisions.commit(repo, "HEAD")

    assert first is not None
    assert first != head
    assert revisions.commit(repo, "HEAD~1") == first
    assert revisions.commit(repo, first[:9]) == first
    assert revisions.commit(repo, "none") is None
    assert revisions.commit(repo, "--help") is None
    assert revisions.commit(repo, "first\0") is None
    assert revisions.commit(repo, "\ud800") is None
    assert revisions.commit(repo, "HEAD:net.py") is None
    assert "first" in revisions.names(repo)


def test_a_checkout_holds_the_commit_and_is_gone_afterwards(repo: Path) -> None:
    first = revisions.commit(repo, "first") or ""
    with revisions.checked_out(repo, first) as path:
        assert (path / "net.py").read_text() == "one\n"
        assert len(worktrees(repo)) == 2

    assert not path.exists()
    assert not path.parent.exists()
    assert len(worktrees(repo)) == 1
    assert (repo / "net.py").read_text() == "two\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("x")])
def test_a_checkout_is_gone_however_it_ends(repo: Path, error: BaseException) -> None:
    def use() -> None:
        with revisions.checked_out(repo, revisions.commit(repo, "first") or "") as path:
            # Files that a user's code leaves, and such as nobody may write, are no obstacle.
            (path / "__pycache__").mkdir()
            (path / "__pycache__" / "x.pyc").write_text("")
            raise error

    with pytest.raises(type(error)):
        use()
    assert len(worktrees(repo)) == 1


def test_a_commit_that_cannot_be_checked_out_is_one_line(repo: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"^revision 000000000000 cannot be checked out: .+"),
        revisions.checked_out(repo, "0" * 40),
    ):
        pass
    assert len(worktrees(repo)) == 1


def test_hooks_of_the_user_do_not_run(repo: Path) -> None:
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repo}/ran\n")
    hook.chmod(0o755)

    with revisions.checked_out(repo, revisions.commit(repo, "first") or ""):
        pass

    assert not (repo / "ran").exists()


def test_within_a_hook_the_repository_is_still_the_one_that_was_named(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other", {"x": "y"}, tag="elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))

    assert revisions.commit(repo, "elsewhere") is None
    assert revisions.commit(repo, "first") is not None


def test_uncommitted_changes_are_counted(repo: Path) -> None:
    assert revisions.changed(repo) == 0
    (repo / "net.py").write_text("three\n")
    (repo / "new.py").write_text("")

    assert revisions.changed(repo) == 2


def test_without_git_there_is_no_repository(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)

    assert revisions.repository(repo) is None
