"""Files as the package reads and writes them: regular ones only; whole or not at all.

What lies in a directory may be a pipe that never ends or a link to a file elsewhere, because
directories come from other people too.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEVICES = Path("/dev")


def opened(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe or a device.
    """
    # Asked before it is opened, because opening some devices does something.
    _regular(path.stat(), path)
    return os.fdopen(_checked(path, os.O_RDONLY), "rb")


def read_text(path: Path) -> str:
    """The content of a regular file in UTF-8.

    Raises:
        OSError: as ``opened``.
        UnicodeDecodeError: it is not UTF-8.
    """
    with opened(path) as file:
        return file.read().decode("utf8")


def appending(path: Path) -> int:
    """A descriptor that reads and appends to a regular file, which is made if it is missing.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a link, which nothing is written through", str(path))
    return _checked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)


def _checked(path: Path, flags: int) -> int:
    # Without waiting for the other end of a pipe.
    file = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        _regular(os.fstat(file), path)
    except OSError:
        os.close(file)
        raise
    return file


def _regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds all of it, or what was there before.

    A link at this place is replaced; the file that it leads to stays as it is.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """The same part by part: what is written is there once all of it is.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb"
        ) as file:
            if path.is_file() and not path.is_symlink():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_named(path: Path, data: bytes) -> None:
    """Write a file that the user named: through a link, and into a pipe or device.

    Raises:
        OSError: it cannot be written.
    """
    with writing_named(path) as file:
        file.write(data)


@contextmanager
def writing_named(path: Path) -> Iterator[BinaryIO]:
    """The same part by part.

    Raises:
        OSError: it cannot be written.
    """
    target = path.resolve()
    special = path.exists() and not path.is_file()
    # What a shell redirected lies below /dev; where no file can be made, one may be writable.
    if special or path.is_relative_to(_DEVICES) or not os.access(target.parent, os.W_OK):
        with path.open("wb") as file:
            yield file
    else:
        with replacing(target) as file:
            yield file
