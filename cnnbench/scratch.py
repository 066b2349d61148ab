"""Scratch directories that go with their process, however that ends.

A directory holds a lock for as long as its process lives. What a killed process left has none any
more, and the next to want a scratch directory clears it away: never another user's, never one whose
owner lives, also not in another container on the same disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "cnnbench-"
_LOCK = ".owner"


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new directory of this process; it is gone when the context ends."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
        lock = _owned(Path(folder))
        try:
            yield Path(folder)
        finally:
            os.close(lock)


def _owned(folder: Path) -> int:
    """Lock a directory; its lock is in place only when it is held, so that nobody takes it."""
    new = folder / f"{_LOCK}.new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    new.rename(folder / _LOCK)
    return lock


@cache
def sweep(where: Path) -> None:
    """Remove the directories of dead processes of this user, once per process."""
    try:
        found = [Path(one.path) for one in os.scandir(where) if one.name.startswith(_PREFIX)]
    except OSError:
        return
    for folder in found:
        _remove_abandoned(folder)


def _remove_abandoned(folder: Path) -> None:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # its owner lives
    finally:
        os.close(lock)
