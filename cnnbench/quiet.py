"""Whether the cores that this process may use are free now, and waiting until they are.

The load average lags by a minute and counts what has ended; a short sample of the kernel's own
clocks does not. Standard library only; without Linux's files nothing is known and nothing is said.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import machine

if TYPE_CHECKING:
    from collections.abc import Callable

# Twenty of the kernel's ticks: short enough to go before every run, and it tells a busy core.
SAMPLE_SECONDS = 0.2
# Work that comes and goes is quiet in single samples, so several must agree.
SAMPLES = 3
PAUSE_SECONDS = 1.0

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_GROUP = Path("/sys/fs/cgroup/cpu.stat")
# Fields of a core's line of /proc/stat: guests are in user's time already, the rest is not busy.
_COUNTED, _IDLE = 8, (3, 4)


@dataclass(frozen=True)
class CoreUse:
    """What of the usable cores was taken over a short sample.

    Attributes:
        busy: cores that were at work, or taken by a hypervisor.
        cores: that this process may use.
        quota: cores of time that the control group allows, if it limits them.
        group: cores of time that the control group used, if that is known.
        waiting: share of the sample in which some process of the machine waited for a core, if the
            kernel says it.
    """

    busy: float
    cores: int
    quota: float | None = None
    group: float | None = None
    waiting: float | None = None

    @property
    def limit(self) -> float:
        """Cores of time that can be had at most."""
        return self.cores if self.quota is None else min(self.cores, self.quota)

    @property
    def free(self) -> float:
        """Cores of time that are left."""
        left = self.cores - self.busy
        if self.quota is not None:
            left = min(left, self.quota - (self.group or 0.0))
        return max(0.0, left)


def read() -> CoreUse | None:
    """How busy the cores are now, in a fifth of a second; ``None`` if it cannot be known."""
    cores = _usable()
    began, before = time.monotonic(), (_ticks(cores), _group_seconds(), _waiting_seconds())
    time.sleep(SAMPLE_SECONDS)
    passed, after = time.monotonic() - began, (_ticks(cores), _group_seconds(), _waiting_seconds())
    busy = share(before[0], after[0])
    if busy is None:
        return None
    group, waiting = (
        None if old is None or new is None else max(0.0, new - old) / passed
        for old, new in zip(before[1:], after[1:], strict=True)
    )
    waited = None if waiting is None else min(1.0, waiting)
    return CoreUse(busy * len(cores), len(cores), machine.cpu_quota(), group, waited)


def freest_core() -> int | None:
    """The usable core with the least work on it just now, and on its hyperthread siblings.

    Work on the core itself only makes this process wait, which is known afterwards; work on a
    sibling makes it slower, which is not. Equal ones are drawn, so that not all that ask at once
    get the same.

    Returns:
        Its number, after a fifth of a second; ``None`` where processes cannot be kept on cores.
    """
    usable = sorted(_usable())
    beside = {core: _siblings(core) for core in usable}
    seen = sorted({*usable, *(other for found in beside.values() for other in found)})
    before = {core: _ticks(frozenset({core})) for core in seen}
    if len(usable) > 1:
        time.sleep(SAMPLE_SECONDS)
    busy = {core: share(before[core], _ticks(frozenset({core}))) or 0.0 for core in seen}
    load = {core: busy[core] + sum(busy[other] for other in beside[core]) for core in usable}
    least = min(load.values(), default=0.0)
    equal = [core for core in usable if load[core] <= least]
    return random.choice(equal) if equal else None


def _siblings(core: int) -> frozenset[int]:
    """Other hyperthreads of a core; a virtual machine often does not say."""
    text = machine.read_text(_SIBLINGS.format(core)) or ""
    parts = [part.partition("-") for part in text.strip().split(",")]
    try:
        found = {one for low, _, high in parts for one in range(int(low), int(high or low) + 1)}
    except ValueError:
        return frozenset()
    return frozenset(found - {core})


def until_quiet(limit: float, is_quiet: Callable[[], bool]) -> bool:
    """Wait until several samples in a row are quiet, at most for a time.

    Args:
        limit: seconds.
        is_quiet: takes a sample.

    Returns:
        Whether it is quiet; with too little time for several samples, whether the last one was.
    """
    end, calm = time.monotonic() + limit, 0
    while True:
        calm = calm + 1 if is_quiet() else 0
        left = end - time.monotonic()
        if calm >= SAMPLES or left <= 0:
            return calm > 0
        time.sleep(min(PAUSE_SECONDS, left))


def share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """The busy share of the time between two readings of busy and all ticks."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return max(0, after[0] - before[0]) / (after[1] - before[1])


def ticks(text: str, cores: frozenset[int]) -> tuple[int, int] | None:
    """Busy and all ticks of some cores in the text of ``/proc/stat``; ``None`` if one is absent."""
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    found = [
        [int(word) for word in words[1 : 1 + _COUNTED]]
        for words in lines
        if words[0][3:].isdigit() and int(words[0][3:]) in cores
    ]
    if len(found) != len(cores):
        return None
    whole = sum(map(sum, found))
    return whole - sum(one[index] for one in found for index in _IDLE), whole


def _usable() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())


def _ticks(cores: frozenset[int]) -> tuple[int, int] | None:
    return ticks(machine.read_text("/proc/stat") or "", cores) if cores else None


def _group_seconds() -> float | None:
    """CPU time that the control group has used."""
    for line in (machine.read_text(_GROUP) or "").splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) / 1e6
    return None


def _waiting_seconds() -> float | None:
    """For how long some process of the machine has waited for a core."""
    first = (machine.read_text("/proc/pressure/cpu") or "").partition("\n")[0]
    _, found, total = first.partition("total=")
    return int(total) / 1e6 if found else None
