"""A cluster in this process: hosts of several kinds that answer in any order, and are lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnbench.codec import decode
from cnnbench.record import Record
from cnnbench.runner.cluster import serving
from cnnbench.runner.cluster.hosts import Event, Finished, HostAnswered, HostLost, Measured, Node


@dataclass
class Ear:
    """A watcher of hosts that remembers."""

    rows: list[Record] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    shown: list[tuple[str, str, int, int]] = field(default_factory=list)

    def working(self, what: str, done: int, total: int) -> None:
        raise AssertionError("hosts are shown by themselves")

    def working_on(self, where: str, what: str, done: int, total: int) -> None:
        self.shown.append((where, what, done, total))

    def noted(self, text: str) -> None:
        self.lines.append(text)

    def first(self, records: Sequence[Record]) -> None:
        pass

    def finished(self, record: Record) -> None:
        self.rows.append(record)


@dataclass
class Host:
    """A host of a kind.

    Attributes:
        kind: part of its environment.
        change: what of its introduction is otherwise.
        comes: it is there after so many events.
        silent: it never says what it is.
    """

    kind: str = "A"
    change: Mapping[str, Any] = field(default_factory=dict)
    comes: int = 0
    silent: bool = False


class PretendedCluster:
    """Hosts by name.

    Attributes:
        heard: every event, as it was given out.
        orders: (host, ids) as they were handed out.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        loses: Callable[[str, PretendedCluster], str] = lambda host, cluster: "",
        seed: int = 0,
        on_hand: Callable[[], None] = lambda: None,
        returns: bool = False,
    ) -> None:
        """Hosts.

        Args:
            hosts: by name.
            loses: asked before each event of a host: why it is lost, or nothing.
            seed: of the order of events.
            on_hand: called whenever something is handed out.
            returns: a host that was lost is there again at once.
        """
        self._hosts = dict(hosts)
        self._loses = loses
        self._chance = random.Random(seed)
        self._on_hand = on_hand
        self._returns = returns
        self._gone: set[str] = set()
        self._invited: dict[str, dict[str, Any]] = {}
        self._environments: dict[str, Any] = {}
        self._busy: dict[str, Iterator[list[dict[str, Any]]]] = {}
        self.heard: list[Event] = []
        self.orders: list[tuple[str, tuple[str, ...]]] = []
        self.left: list[str] = []
        self.closed = False
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def nodes(self) -> list[Node]:
        found = self._hosts.items()
        there = (name for name, host in found if host.comes <= len(self.heard))
        return [Node(name, name) for name in there if name not in self._gone]

    def unfit(self) -> list[str]:
        return []

    def invite(self, node: Node, asked: dict[str, Any]) -> None:
        assert node.id not in self._invited
        self._invited[node.id] = asked

    def hand(self, node: Node, order: dict[str, Any]) -> None:
        assert node.id not in self._busy, "two measurements on one host"
        self._on_hand()
        self.orders.append((node.id, tuple(order["specs"])))
        self._busy[node.id] = serving.measured(order, self._environments[node.id])

    def wait(self, seconds: float) -> Event | None:
        self.now += 2.0
        asked = [name for name in self._invited if not self._hosts[name].silent]
        names = [*asked, *self._busy]
        if not names:
            self.now += seconds
            return None
        self.heard.append(self._event(self._chance.choice(names)))
        return self.heard[-1]

    def _event(self, name: str) -> Event:
        node, host = Node(name, name), self._hosts[name]
        if why := self._loses(name, self):
            self._invited.pop(name, None)
            self._busy.pop(name, None)
            self._gone |= set() if self._returns else {name}
            return HostLost(node, why)
        if name in self._invited:
            message = serving.introduction(self._invited.pop(name))
            message["environment"]["hard"] = {"fake": True, "kind": host.kind}
            message |= host.change
            found = decode(serving.Introduction, message, name)
            self._environments[name] = found.environment
            return HostAnswered(node, message)
        records = next(self._busy[name], None)
        if records is None:
            del self._busy[name]
            return Finished(node)
        return Measured(node, records)

    def leave(self, node: Node) -> None:
        self.left.append(node.id)

    def close(self) -> None:
        self._busy.clear()
        self.closed = True
