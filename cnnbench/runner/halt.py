"""Ends what several threads measure: all of them, at once, wherever each of them waits."""

from __future__ import annotations

import os


class Halted(BaseException):
    """The measurement was ended from outside; not an error of what was being measured."""


class Halt:
    """A wish to end that wakes every thread that waits for a worker; ``select`` takes it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._wished = False

    def fileno(self) -> int:
        """What is readable once the wish has been expressed."""
        return self._read

    def wish(self) -> None:
        """End everything; nobody reads the byte, so that everybody sees it."""
        if not self._wished:
            self._wished = True
            os.write(self._write, b"!")

    def obey(self) -> None:
        """Raise if the end is wished for.

        Raises:
            Halted: it is.
        """
        if self._wished:
            raise Halted

    def close(self) -> None:
        """Give the files back; nobody may wait any more."""
        os.close(self._read)
        os.close(self._write)
