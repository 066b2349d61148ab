"""The folder of a site: written whole in place of an earlier one, never over files of others."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

from cnnbench import files
from cnnbench.errors import StoreError
from cnnbench.report.site import names
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What tells the folder of a site from any other.
MARK = "cnnbench-site.json"


def refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds something and is no site.

    Raises:
        StoreError: it is such a folder, or no folder, or cannot be read.
    """
    try:
        full = path.exists() and any(path.iterdir())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    if full and not _marked(path):
        raise StoreError(f"{path} holds files and is no site of cnnbench; choose another --out")


def _marked(path: Path) -> bool:
    mark = path / MARK
    return mark.is_file() and not mark.is_symlink()


def write(path: Path, pages: Iterable[tuple[str, str]]) -> int:
    """Write the files of a site; pages that an earlier one left are removed, other files stay.

    Args:
        path: the folder, which is made if it is missing.
        pages: file name and text.

    Returns:
        the number of pages.

    Raises:
        StoreError: the folder is not ours, or cannot be written.
    """
    refuse_foreign(path)
    written = set()
    try:
        path.mkdir(parents=True, exist_ok=True)
        # First, so that what a killed build leaves is a site that the next one replaces.
        files.replace(path / MARK, f"{json.dumps({'cnnbench': VERSION})}\n".encode())
        for name, text in pages:
            _write(path / name, text)
            written.add(name)
        for old in path.iterdir():
            if names.is_page(old.name) and old.name not in written:
                old.unlink()
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror}") from error
    return sum(map(names.is_page, written))


def _write(path: Path, text: str) -> None:
    """A file that can be made again at any time: not waited for until it is on the disk.

    Raises:
        OSError: it cannot be written, or a link or a folder lies there.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a link, which nothing is written through", str(path))
    # Half of a surrogate pair, which JSON may hold, has no encoding.
    data = text.encode("utf8", "replace")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
