"""Revisions of a git repository: found, checked out beside it, and removed again.

Knows git and folders; nothing of networks or measuring.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.errors import UsageError
from cnnbench.gate.bisected import Commit
from cnnbench.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

# A name with a number of generations behind it, such as HEAD~2 or main^.
_ANCESTOR = re.compile(r"(.+?)((?:[~^][0-9]{0,4})+)")
_GENERATIONS = re.compile(r"([~^])([0-9]*)")
_HASH = re.compile(r"[0-9a-f]{40}")
# What git itself says to do about a repository that belongs to another user.
_TRUSTED = re.compile(r"^\s*(git config --global --add safe\.directory .+)$", flags=re.MULTILINE)
# What may stand in a command that is offered.
_PLAIN = re.compile(r"[\w./-]+", flags=re.ASCII)
# How the names of worktrees begin.
_NAME = "cnnbench-"


def repository(folder: Path) -> Path | None:
    """The root of the repository of a folder; ``None`` if it is in no repository."""
    if shutil.which("git") is None or not folder.is_dir():
        return None
    done = _git(folder, "rev-parse", "--show-toplevel")
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else None


def unusable(folder: Path) -> str:
    """Why git finds no repository in a folder that may well be in one; empty if it is in none."""
    if shutil.which("git") is None:
        return "git is not installed, or not in PATH"
    # As in a container that has a checkout of the host's mounted.
    trusted = _TRUSTED.search(_git(folder, "rev-parse", "--show-toplevel").stderr)
    if trusted is None:
        return ""
    return f"git refuses this repository of another user; if you trust it: {trusted[1]}"


def commit(repo: Path, name: str) -> str | None:
    """The hash of the commit that a name refers to; ``None`` if there is no such commit."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    try:
        done = _git(repo, *words)
    except ValueError:
        # A file may hold what cannot be said to a program: a zero byte, half a character.
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def is_shallow(repo: Path) -> bool:
    """Whether a clone holds only the latest part of the history, as CI systems fetch it."""
    return _git(repo, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def fetching(repo: Path, name: str = "") -> str:
    """How to fetch what a shallow clone lacks, as the end of a sentence; empty if it is whole.

    Args:
        repo: the clone.
        name: of a commit that it does not have; without, all of the history is lacking.
    """
    if not is_shallow(repo):
        return ""
    return f"; this clone is shallow: git fetch {_what_to_fetch(repo, name)}"


def _what_to_fetch(repo: Path, name: str) -> str:
    """The least that brings a commit of that name: some generations, one tip, or everything."""
    remotes = _git(repo, "remote").stdout.split()
    remote = "origin" if "origin" in remotes or not remotes else remotes[0]
    base = _ANCESTOR.fullmatch(name)
    tip = commit(repo, base[1]) if base else None
    generations = sum(
        int(count or 1) if kind == "~" else 1
        for kind, count in _GENERATIONS.findall(base[2] if base else "")
    )
    if base is not None and tip is not None:
        return f"--deepen={generations} {remote} {tip}"
    owner, slash, branch = (base[1] if base else name).partition("/")
    if slash and owner in remotes and _PLAIN.fullmatch(branch):
        depth = f"--depth={1 + generations}"
        return f"{depth} {owner} {branch}:refs/remotes/{owner}/{branch}"
    if _HASH.fullmatch(name):
        return f"--depth=1 {remote} {name}"
    return f"--unshallow --tags {remote}"


def is_past(repo: Path, name: str) -> bool:
    """Whether a commit is HEAD or in its history."""
    found = commit(repo, name)
    words = ("merge-base", "--is-ancestor", str(found), "HEAD")
    return found is not None and _git(repo, *words).returncode == 0


def line(repo: Path, good: str, bad: str) -> tuple[Commit, ...]:
    """The commits from one to a later one along first parents, both ends included, oldest first.

    What a merge brought in counts as one commit, the merge.

    Raises:
        UsageError: the first is not on that line.
    """
    form = "--format=%H%x00%P%x00%s"
    # As the user's configuration may not change it.
    plain = ("-c", "log.showSignature=false")
    done = _git(
        repo, *plain, "log", "--first-parent", "--reverse", "-z", form, f"{good}..{bad}", "--"
    )
    fields = done.stdout.removesuffix("\0").split("\0") if done.stdout else []
    rows = [fields[place : place + 3] for place in range(0, len(fields), 3)]
    if not rows or done.returncode != 0:
        raise UsageError(f"no commit lies after {good[:9]} up to {bad[:9]}; is their order right?")
    before = rows[0][1].partition(" ")[0]
    if before != good:
        why = fetching(repo) or _fork(before)
        raise UsageError(f"{good[:9]} is not among the first parents of {bad[:9]}{why}")
    told = _git(repo, *plain, "log", "-1", "--format=%s", good, "--").stdout.strip()
    return (Commit(good, told), *(Commit(sha, subject) for sha, _, subject in rows))


def first_parents(repo: Path) -> dict[str, int]:
    """The commits from the first one to HEAD along first parents -> their places, oldest first.

    Empty where there is no commit; of a shallow clone, what it has.
    """
    done = _git(repo, "rev-list", "--first-parent", "--reverse", "HEAD", "--")
    return {sha: place for place, sha in enumerate(done.stdout.split())}


def _fork(before: str) -> str:
    """Where the two lines part, as the end of a sentence."""
    return f"; the last one in both histories is {before[:9]}" if before else ""


def names(repo: Path) -> list[str]:
    """Branches and tags."""
    done = _git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags")
    return done.stdout.split()


def changed(repo: Path) -> int:
    """The number of files with uncommitted changes, of new ones those of Python only.

    Other new files, such as results, are no part of what is compared.
    """
    known = _git(repo, "status", "--porcelain", "--untracked-files=no")
    new = _git(repo, "ls-files", "--others", "--exclude-standard", "--", "*.py")
    return len([*known.stdout.splitlines(), *new.stdout.splitlines()])


@contextmanager
def checked_out(repo: Path, revision: str) -> Iterator[Path]:
    """A temporary worktree of a commit; it is gone when the context ends, however it ends.

    Raises:
        UsageError: git cannot check it out.
    """
    with scratch_directory() as folder:
        # The last part of a worktree's path is its name in the repository.
        path = folder.resolve() / f"{_NAME}{folder.name[-8:]}"
        _forget_abandoned(repo, folder.parent.resolve())
        try:
            # A hook of the user's must not run because something is measured.
            hooks = ("-c", f"core.hooksPath={os.devnull}")
            done = _git(repo, *hooks, "worktree", "add", "--detach", str(path), revision)
            if done.returncode != 0:
                last = done.stderr.strip().splitlines()[-1:] or ["git gives no reason"]
                raise UsageError(f"revision {revision[:12]} cannot be checked out: {last[0]}")
            yield path
        finally:
            _removed(repo, path)


def _forget_abandoned(repo: Path, scratch: Path) -> None:
    """Have the repository forget worktrees of ours whose scratch directory has been swept away."""
    listed = _git(repo, "worktree", "list", "--porcelain").stdout.splitlines()
    places = [line.partition(" ")[2] for line in listed if line.startswith("worktree ")]
    for path in map(Path, places):
        ours = path.name.startswith(_NAME) and path.parent.parent == scratch
        if ours and not path.parent.exists():
            _removed(repo, path)


def _removed(repo: Path, path: Path) -> None:
    """Take a worktree away, and what the repository knows of it.

    Not by ``worktree prune``: worktrees of the user's that are out of reach just now would go too.
    """
    remove = ("worktree", "remove", "--force", "--force", str(path))
    if _git(repo, *remove).returncode != 0:
        shutil.rmtree(path, ignore_errors=True)
        _git(repo, *remove)


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # In a hook, git points these at the repository and index of the moment.
    hidden = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(  # noqa: S603 - no shell; names of the user's come after the options
        ["git", "--no-optional-locks", "-C", str(folder), *words],  # noqa: S607 - the user's git
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
        # Ctrl-C is ours to handle: git shall finish what it does.
        start_new_session=True,
        env=variables | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
    )
