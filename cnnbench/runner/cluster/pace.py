"""How fast hosts are beside each other, learned from how long they took for what they measured.

Expected times are rough, so one group says little of its host. How much they differ on one host is
told from how much hosts differ, and a host is believed to differ from the others only as far as
that is more (a random-effects model; its variances by ANOVA, as in Searle, Casella and McCulloch,
Variance Components, 1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Until there are two groups of one host: what one group of a host weighs beside all hosts.
_UNKNOWN = 1.0


@dataclass(frozen=True)
class HostPace:
    """How long a host has taken, over what was expected; logarithms.

    Attributes:
        groups: that it has measured.
        total, squares: sums over them of the logarithm of the ratio, and of its square.
    """

    groups: int = 0
    total: float = 0.0
    squares: float = 0.0

    def after(self, expected: float, seconds: float) -> HostPace:
        """The same with one more group; one without a time says nothing."""
        if expected <= 0 or seconds <= 0:
            return self
        ratio = math.log(seconds / expected)
        return HostPace(self.groups + 1, self.total + ratio, self.squares + ratio * ratio)


def slowness(paces: Mapping[str, HostPace], hosts: Iterable[str]) -> dict[str, float]:
    """What each host takes for a group, over what is expected of it; 1 while nothing is known.

    Args:
        paces: what is known, by host.
        hosts: asked for; one of which nothing is known is like all others.
    """
    known = [one for one in paces.values() if one.groups]
    count = sum(one.groups for one in known)
    if not count:
        return dict.fromkeys(hosts, 1.0)
    mean = sum(one.total for one in known) / count
    weight = _weight(known, count, mean)
    found = {}
    for host in hosts:
        pace = paces.get(host)
        if pace is None or not pace.groups or math.isinf(weight):
            found[host] = math.exp(mean)
        else:
            found[host] = math.exp((pace.total + weight * mean) / (pace.groups + weight))
    return found


def _within(known: list[HostPace]) -> float:
    """The variance of groups on the same host; 0 while no host has had two."""
    more = sum(one.groups for one in known) - len(known)
    squares = sum(one.squares - one.total**2 / one.groups for one in known)
    return max(squares, 0.0) / more if more else 0.0


def _weight(known: list[HostPace], count: int, mean: float) -> float:
    """How many groups of a host what is known of all hosts weighs: one variance over the other."""
    hosts = len(known)
    if count <= hosts or hosts < 2:
        return _UNKNOWN
    within = _within(known)
    between = sum(one.groups * (one.total / one.groups - mean) ** 2 for one in known)
    size = count - sum(one.groups**2 for one in known) / count
    differs = (between - (hosts - 1) * within) / size
    return within / differs if differs > 0 else math.inf
