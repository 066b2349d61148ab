"""How fast a core is while another works: detects undeclared hyperthreads.

A virtual machine may show every hyperthread as a core of its own. Two such cores share one set of
arithmetic units and caches, so what runs on one decides how fast the other is, and nothing else in
the guest shows it. So it is measured: a fixed piece of Python on one core, by turns with the other
core busy and idle. Caches and memory that real cores share as well are hardly touched by it.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnbench.doctor import Beside
from cnnbench.runner.ab.pair import pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# By turns so often; a neighbour that comes and goes meanwhile shall not decide.
_TURNS = 9
# What switching to or from a signal's effect may take.
_SETTLE_SECONDS = 0.002
# More cores than this are not asked, so that a large machine does not take long.
_MOST = 7


def slowest(most: int = _MOST) -> Beside | None:
    """The first usable core, with the core whose work slows it down most.

    ``None`` with one usable core, or where processes cannot be kept on cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    first, *others = sorted(os.sched_getaffinity(0))
    found = [beside(first, other) for other in others[:most]]
    return min(found, key=lambda one: one.speed, default=None)


def beside(core: int, other: int) -> Beside:
    """One pair of cores, in about a third of a second."""
    with pinned(core), _busy(other) as busy:
        return Beside(core, other, speed(_piece, busy))


def speed(piece: Callable[[], float], busy: Callable[[bool], None]) -> float:
    """Idle over busy: the ratio of the medians of a piece of work.

    Args:
        piece: does the work and returns its seconds.
        busy: starts and stops the other core's work.
    """
    times: dict[bool, list[float]] = {True: [], False: []}
    piece()
    for _ in range(_TURNS):
        for state, found in times.items():
            busy(state)
            found.append(piece())
    return statistics.median(times[False]) / statistics.median(times[True])


def _piece() -> float:
    """Seconds of about ten milliseconds of Python."""
    start = time.perf_counter()
    total = 0
    for number in range(150_000):
        total += number & 7
    return time.perf_counter() - start


@contextmanager
def _busy(core: int) -> Iterator[Callable[[bool], None]]:
    """A process that spins on a core whenever it is told to."""
    spin = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    words = [sys.executable, "-c", spin]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)  # noqa: S603 - this interpreter
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        process.stdout.readline()

        def switch(on: bool) -> None:
            process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)
            time.sleep(_SETTLE_SECONDS)

        yield switch
    finally:
        process.kill()
        process.communicate()
