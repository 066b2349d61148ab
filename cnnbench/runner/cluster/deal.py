"""Who measures which group next, on many hosts: values in, choices out. Starts nothing.

The longest group first, to a host that is free: among alike hosts no schedule ends later than 4/3
of the best one where times are as expected (Graham 1969), and where they are not, a host that is
done early simply has the next one early.

Where hosts differ, the last groups decide: a slow host that takes a long one then is waited for by
all others. So what is left for the last visits is dealt in thought to the host that would end it
first (Gonzalez, Ibarra and Sahni 1977), by the ``pace`` of each host so far, and a host that would
have nothing of it waits.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cnnbench.runner.cluster.pace import HostPace, slowness

Value = TypeVar("Value")

# A group that was on this many hosts as they were lost may be what they were lost by.
MOST_LOSSES = 3
# With no more groups left per host than this, it is worked out who would end each of them first.
_LAST_VISITS = 2
# What takes longer than expected takes longer still, by this share of the time that it has taken.
_OVERDUE = 0.5
# Hosts whose times differ by less than this are alike; a logarithm.
_LEVEL = 0.05
# A host of which nothing is known begins with no more than this part of what each has to do.
_TRIED = 0.1


@dataclass(frozen=True)
class Parcel:
    """What a host has at once: one group of the grid, or what is left of it.

    Attributes:
        group: its place in the grid.
        seconds: that it is expected to take.
        kind: of the hosts that may have it; empty for all.
        losses: hosts that were lost while they had it.
    """

    group: int
    seconds: float
    kind: str = ""
    losses: int = 0

    def suits(self, kind: str) -> bool:
        """Whether hosts of a kind may have it."""
        return self.kind in ("", kind)


@dataclass(frozen=True)
class Deal:
    """Which host has what, and what nobody has; every step makes another deal.

    Attributes:
        left: parcels that nobody has, the longest first.
        hosts: those that take part, and the kind of each.
        taken: what each host has that is at work.
        began: when it began with that, in seconds.
        paces: how long each host has taken for what it had before.
        given_up: parcels that too many hosts were lost with.
    """

    left: tuple[Parcel, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, Parcel] = field(default_factory=dict)
    began: Mapping[str, float] = field(default_factory=dict)
    paces: Mapping[str, HostPace] = field(default_factory=dict)
    given_up: tuple[Parcel, ...] = ()

    def with_more(self, parcels: Iterable[Parcel]) -> Deal:
        """The same with more to do."""
        return replace(self, left=tuple(sorted((*self.left, *parcels), key=_rank)))

    def joined(self, host: str, kind: str) -> Deal:
        """A host takes part from now on."""
        return replace(self, hosts={**self.hosts, host: kind})

    def choices(self, now: float = 0.0) -> dict[str, Parcel]:
        """What each host that is free would have next; a host without an entry waits.

        If nobody is at work and something is left for a host, somebody has an entry.

        Args:
            now: seconds, as those of ``handed`` and ``done``.
        """
        free = self.free
        if not free or not self.left:
            return {}
        if len(self.left) > _LAST_VISITS * len(self.hosts):
            return self._longest(free)
        return self._soonest(free, now)

    def choice(self, host: str, now: float = 0.0) -> Parcel | None:
        """What a host would have next; ``None`` if it is at work or nothing is left for it."""
        return self.choices(now).get(host)

    def _longest(self, free: Iterable[str]) -> dict[str, Parcel]:
        """The longest that each may have, one after the other; short ones for those not known."""
        left, found = [*self.left], {}
        for host in free:
            suited = [one for one in left if one.suits(self.hosts[host])]
            if not suited:
                continue
            found[host] = suited[0]
            others = sum(map(suited[0].suits, self.hosts.values()))
            if host not in self.paces and others > 1:
                found[host] = _first_of(suited, sum(one.seconds for one in suited) / others)
            left.remove(found[host])
        return found

    def _soonest(self, free: Iterable[str], now: float) -> dict[str, Parcel]:
        """The first of each, if everything went to the host that would end it first."""
        slow = slowness(self.paces, self.hosts)
        # Hosts that are nearly alike stand in one queue, so that few are asked for each group.
        queues: dict[tuple[str, int], list[tuple[float, str]]] = {}
        for host, kind in self.hosts.items():
            level = round(math.log(slow[host]) / _LEVEL)
            queues.setdefault((kind, level), []).append((self._ready(host, slow[host], now), host))
        for queue in queues.values():
            heapq.heapify(queue)
        waiting, found = {*free}, {}
        for parcel in self.left:
            ends = [
                (queue[0][0] + math.exp(_LEVEL * level) * parcel.seconds, (kind, level))
                for (kind, level), queue in queues.items() if parcel.suits(kind)
            ]  # fmt: skip
            if not ends:
                continue
            end, place = min(ends)
            host = queues[place][0][1]
            heapq.heapreplace(queues[place], (end, host))
            if host in waiting:
                waiting.remove(host)
                found[host] = parcel
            if not waiting:
                break
        return found

    def _ready(self, host: str, slow: float, now: float) -> float:
        """When a host is probably done with what it has."""
        if host not in self.taken:
            return now
        began = self.began[host]
        return max(began + slow * self.taken[host].seconds, now + _OVERDUE * (now - began))

    def handed(self, host: str, parcel: Parcel, now: float = 0.0) -> Deal:
        """A host has begun with what was its choice."""
        place = self.left.index(parcel)
        left = self.left[:place] + self.left[place + 1 :]
        began = {**self.began, host: now}
        return replace(self, left=left, taken={**self.taken, host: parcel}, began=began)

    def done(self, host: str, now: float = 0.0) -> Deal:
        """A host has measured what it had, and it is known how long that took."""
        pace = self.paces.get(host, HostPace()).after(
            self.taken[host].seconds, now - self.began[host]
        )
        return replace(self, taken=_without(self.taken, host), began=_without(self.began, host),
                       paces={**self.paces, host: pace})  # fmt: skip

    def lost(self, host: str) -> Deal:
        """A host takes part no more; what it had goes to another, unless it was lost too often."""
        parcel = self.taken.get(host)
        found = replace(
            self, hosts=_without(self.hosts, host), taken=_without(self.taken, host),
            began=_without(self.began, host),
        )  # fmt: skip
        if parcel is None:
            return found
        again = replace(parcel, losses=parcel.losses + 1)
        if again.losses >= MOST_LOSSES:
            return replace(found, given_up=(*found.given_up, again))
        left = list(found.left)
        bisect.insort(left, again, key=_rank)
        return replace(found, left=tuple(left))

    @property
    def free(self) -> list[str]:
        """The hosts that are not at work."""
        return [host for host in self.hosts if host not in self.taken]

    @property
    def over(self) -> bool:
        """Whether everything has been measured or given up."""
        return not self.left and not self.taken


def expected(seconds: Iterable[float], hosts: int) -> float:
    """When a number of hosts would be done with groups that all take as long as expected."""
    busy = [0.0] * max(hosts, 1)
    for one in sorted(seconds, reverse=True):
        place = busy.index(min(busy))
        busy[place] += one
    return max(busy)


def _first_of(parcels: Sequence[Parcel], share: float) -> Parcel:
    """What a host begins with of which nothing is known: short, because it may be a slow one.

    Args:
        parcels: that it may have, the longest first.
        share: seconds that each host has to work.
    """
    return next((one for one in parcels if one.seconds <= _TRIED * share), parcels[0])


def _rank(parcel: Parcel) -> tuple[float, int]:
    return -parcel.seconds, parcel.group


def _without(table: Mapping[str, Value], name: str) -> dict[str, Value]:
    return {key: value for key, value in table.items() if key != name}
