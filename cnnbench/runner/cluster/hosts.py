"""What a campaign asks of a cluster, and what it hears from it.

Everything that crosses is JSON, so that hosts with another cnnbench are refused in words before
anything of theirs is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cnnbench.channel import Message


@dataclass(frozen=True)
class Node:
    """A host of a cluster.

    Attributes:
        id: the cluster's own, never used again.
        name: for people.
    """

    id: str
    name: str


@dataclass(frozen=True)
class HostAnswered:
    """A host has said what it is: ``serving.introduction``."""

    node: Node
    message: Message


@dataclass(frozen=True)
class Measured:
    """A host has measured some of what it has.

    Attributes:
        node: the host.
        records: all that is known of some specs, as JSON.
    """

    node: Node
    records: Sequence[Message]


@dataclass(frozen=True)
class Finished:
    """A host is done with what it had."""

    node: Node


@dataclass(frozen=True)
class HostLost:
    """A host does not go on with what it had, and is to be asked anew if it is still there."""

    node: Node
    why: str


Event = HostAnswered | Measured | Finished | HostLost


class Cluster(Protocol):
    """Hosts that measure one thing at a time each."""

    def nodes(self) -> Sequence[Node]:
        """The hosts that are there now and may measure."""

    def unfit(self) -> Sequence[str]:
        """A line for each host that is there and may not."""

    def invite(self, node: Node, asked: Message) -> None:
        """Ask a host what it is, once nothing else is measured there; ``HostAnswered`` comes."""

    def hand(self, node: Node, order: Message) -> None:
        """Have a host measure a group: ``Measured`` comes now and then, and ``Finished``.

        Nothing further is measured before the next ``wait``, so that what came is on disk by then.
        """

    def wait(self, seconds: float) -> Event | None:
        """The next that is heard; ``None`` if nothing is within a number of seconds."""

    def leave(self, node: Node) -> None:
        """Let a host go, which is needed no more or refused."""

    def close(self) -> None:
        """Let all hosts go; whatever they measure ends."""
