"""Standard streams that may be closed, full or gone, as under daemons and cron.

Work goes on without them: messages that nobody can read are dropped, and whether standard output
took everything is looked at once, when the command has ended.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer


class Outlet(io.RawIOBase):
    """A descriptor that is written to as long as it takes anything.

    Attributes:
        lost: why something was not written; ``None`` if all was, or if its reader has gone, which
            is no error (``| head``).
    """

    def __init__(self, descriptor: int, *, closed: bool) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._open = not closed
        self.lost: str | None = None

    def writable(self) -> bool:
        """Always; what cannot be written is dropped."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Buffer, /) -> int:
        """Write, or drop; the number of bytes dealt with."""
        size = memoryview(data).nbytes
        if not self._open:
            self.lost = self.lost or "it is closed; redirect it to a file"
            return size
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # Who made a shared pipe or terminal non-blocking did not mean us.
            select.select([], [self._descriptor], [])
            return 0
        except OSError as error:
            self._open = False
            if error.errno != errno.EPIPE:
                self.lost = error.strerror
            return size


class Streams:
    """The standard streams of this process; made before anything is printed or opened."""

    def __init__(self) -> None:
        closed = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
        if any(closed):
            _occupy()
        self._out: Outlet | None = None
        # Where somebody else has put streams of theirs, those stay.
        if sys.stdout is sys.__stdout__:
            self._out = Outlet(1, closed=closed[1])
            sys.stdout = _text(self._out, sys.stdout, "strict")
        if sys.stderr is sys.__stderr__:
            sys.stderr = _text(Outlet(2, closed=closed[2]), sys.stderr, "backslashreplace")

    def ended(self) -> str | None:
        """What was lost on standard output, in a line; ``None`` if nothing was."""
        if sys.stdout is not None:
            sys.stdout.flush()
        lost = None if self._out is None else self._out.lost
        return None if lost is None else f"standard output: {lost}"


def read_by_nobody() -> bool:
    """Whether standard output was closed from the start: who did that wants nothing printed."""
    return sys.__stdout__ is None and isinstance(_raw(sys.stdout), Outlet)


def _raw(stream: TextIO | None) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)


def _text(outlet: Outlet, before: TextIO | None, errors: str) -> TextIO:
    """A text stream into an outlet, in the encoding of the one that it replaces."""
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding="utf8" if before is None else before.encoding,
        errors=errors if before is None else before.errors,
        newline="\n",
        line_buffering=outlet.isatty() or outlet.fileno() == 2,
    )


def _occupy() -> None:
    """Make descriptors 0, 1 and 2 exist.

    Otherwise the next files opened would be standard streams, and whatever a library or another
    process prints would end up in them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
