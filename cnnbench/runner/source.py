"""The revision of the user's repository, from git; empty outside of a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cnnbench.gate.baseline import Source

_SECONDS = 20.0


def source(folder: Path | None = None) -> Source:
    """The revision that is checked out in a folder, by default the current one."""
    revision = _git(folder, "rev-parse", "--verify", "HEAD")
    if revision is None:
        return Source()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Source(revision=revision, dirty=None if changes is None else bool(changes))


def _git(folder: Path | None, *words: str) -> str | None:
    command = ["git", "-C", str(folder or Path.cwd()), *words]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with fixed words
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
