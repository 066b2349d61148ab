"""JSON lines over a socket: the only thing that crosses the process border.

A worker's stdout and stderr are not part of it, so nothing that a model prints can corrupt a
result. Both sides use this module; it knows nothing of what the messages mean.
"""

from __future__ import annotations

import array
import json
import socket
import time
from typing import Any

Message = dict[str, Any]

# A reply is never larger than this; more means that the other side is broken.
_LIMIT = 64 << 20


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of a socket pair; messages are JSON objects, one per line."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other side reads an end of file."""
        self._socket.close()

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send a message, and with it a copy of an open file descriptor.

        Raises:
            ChannelClosed: the other side no longer reads.
        """
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            # A timeout that is left from receiving must not apply to sending.
            self._socket.settimeout(None)
            if descriptor is not None:
                # The descriptor travels with the first byte; sendmsg may take less than all.
                sent = socket.send_fds(self._socket, [line], [descriptor])
                line = line[sent:]
            self._socket.sendall(line)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, timeout: float | None = None) -> Message:
        """Wait for the next message, asleep.

        Raises:
            ChannelClosed: end of file, or something that is not a message.
            TimeoutError: nothing came within ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ChannelClosed(f"not a message: {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise ChannelClosed(f"not a message: {line[:80]!r}")
        return message

    @property
    def pending(self) -> bool:
        """Whether a complete message has arrived that has not been received yet."""
        return b"\n" in self._buffer

    def take_descriptor(self) -> int:
        """The file descriptor that came with the last message that carried one."""
        return self._descriptors.pop(0)

    def _fill(self, deadline: float | None) -> None:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
        else:
            self._socket.settimeout(None)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        self._descriptors += _descriptors(ancillary)
        if not data or len(self._buffer) > _LIMIT:
            raise ChannelClosed("end of file" if not data else "message too long")
        self._buffer += data


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def pair() -> tuple[Channel, socket.socket]:
    """A channel for this process and the raw other end to hand to another."""
    ours, theirs = socket.socketpair()
    return Channel(ours), theirs
