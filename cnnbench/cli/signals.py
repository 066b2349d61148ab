"""Signals that end a command as Ctrl-C does: processes go, what was measured is kept."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What CI and `timeout` send, and what a closed terminal sends.
_LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


class Heard:
    """The signal that ended a command.

    Attributes:
        number: of the signal; that of Ctrl-C until another comes.
    """

    def __init__(self) -> None:
        self.number = int(signal.SIGINT)

    @property
    def exit_code(self) -> int:
        """As shells have it: 128 and the number."""
        return 128 + self.number

    def interrupt(self, number: int, _: object) -> None:
        """Handle a signal: whatever is going on ends in good order."""
        self.number = number
        for one in _LIKE_CTRL_C:
            # A second one (systemd sends both, a runner several) must not break the clearing up.
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[Heard]:
    """Handle signals within the context, except those that somebody ignores (nohup) or handles."""
    found = Heard()
    ours = [one for one in _LIKE_CTRL_C if signal.getsignal(one) is signal.SIG_DFL]
    if current_thread() is not main_thread():
        ours = []
    try:
        for one in ours:
            signal.signal(one, found.interrupt)
        yield found
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)
