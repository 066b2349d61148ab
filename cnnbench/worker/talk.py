"""A worker's side of the protocol: it reports its phase, answers, and waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.codec import encode
from cnnbench.requests import Request, parse

if TYPE_CHECKING:
    from cnnbench.channel import Channel


class Talk:
    """A worker's side of the protocol."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.phase = "start"

    def enter(self, phase: str) -> None:
        """Report which phase begins."""
        self.phase = phase
        self._channel.send({"phase": phase})

    def answer(self, result: Any) -> None:
        """Send a result."""
        self._channel.send({"result": encode(result)})

    def next(self) -> Request[Any]:
        """Wait, asleep, for the next command."""
        return parse(self._channel.receive())
