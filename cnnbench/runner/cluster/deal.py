"""Who measures which group next, on many hosts: values in, choices out. Starts nothing.

The longest group first, always to a host that is free: no schedule ends later than 4/3 of the best
one where times are as expected (Graham 1969), and where they are not, a host that is done early
simply has the next one early.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

Value = TypeVar("Value")

# A group that was on this many hosts as they were lost may be what they were lost by.
MOST_LOSSES = 3


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
        given_up: parcels that too many hosts were lost with.
    """

    left: tuple[Parcel, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, Parcel] = field(default_factory=dict)
    given_up: tuple[Parcel, ...] = ()

    def with_more(self, parcels: Iterable[Parcel]) -> Deal:
        """The same with more to do."""
        return replace(self, left=tuple(sorted((*self.left, *parcels), key=_rank)))

    def joined(self, host: str, kind: str) -> Deal:
        """A host takes part from now on."""
        return replace(self, hosts={**self.hosts, host: kind})

    def choice(self, host: str) -> Parcel | None:
        """What a host would have next; ``None`` if it is at work or nothing is left for it."""
        if host in self.taken or host not in self.hosts:
            return None
        kind = self.hosts[host]
        return next((one for one in self.left if one.suits(kind)), None)

    def handed(self, host: str, parcel: Parcel) -> Deal:
        """A host has begun with what was its choice."""
        place = self.left.index(parcel)
        left = self.left[:place] + self.left[place + 1 :]
        return replace(self, left=left, taken={**self.taken, host: parcel})

    def done(self, host: str) -> Deal:
        """A host has measured what it had."""
        return replace(self, taken=_without(self.taken, host))

    def lost(self, host: str) -> Deal:
        """A host takes part no more; what it had goes to another, unless it was lost too often."""
        parcel = self.taken.get(host)
        found = replace(
            self, hosts=_without(self.hosts, host), taken=_without(self.taken, host)
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


def _rank(parcel: Parcel) -> tuple[float, int]:
    return -parcel.seconds, parcel.group


def _without(table: Mapping[str, Value], name: str) -> dict[str, Value]:
    return {key: value for key, value in table.items() if key != name}
