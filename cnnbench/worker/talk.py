"""A worker's side of the protocol: it reports its phase, answers, and waits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cnnbench.codec import encode
from cnnbench.requests import parse

if TYPE_CHECKING:
    from cnnbench.channel import Channel
    from cnnbench.messages import Request


class Talk:
    """A worker's side of the protocol.

    A process that a network forks goes on as if it were the worker; it ends before it says a word.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._process = os.getpid()
        self.phase = "start"

    def enter(self, phase: str) -> None:
        """Report which phase begins."""
        self._stay_alone()
        self.phase = phase
        self._channel.send({"phase": phase})

    def answer(self, result: Any) -> None:
        """Send a result."""
        self._stay_alone()
        self._channel.send({"result": encode(result)})

    def keep(self, result: Any) -> None:
        """Send the answer as far as it is known, for the case that this process dies before it."""
        self._stay_alone()
        self._channel.send({"kept": encode(result)})

    def next(self) -> Request[Any]:
        """Wait, asleep, for the next command."""
        self._stay_alone()
        return parse(self._channel.receive())

    def _stay_alone(self) -> None:
        if os.getpid() != self._process:
            os._exit(0)
